//! The outline: a log without its payloads.
//!
//! It answers `term(i)` for every entry without a read, in memory that grows with the number of leaders rather than
//! with the number of entries. The core and every backend keep theirs with these very methods, so they cannot disagree.

use serde::{Deserialize, Serialize};

use super::{ConfState, Entry, EntryId, EntryKind, LogIndex, Term};
use crate::storage::{Result, StorageError};

/// Where a log begins and ends, where its terms change, and the configuration entries in it.
///
/// Invariants ([`LogOutline::is_valid`]):
/// - `terms` begins at the entry after the base (if the log holds any), indexes and terms rise strictly along it, and no
///   term is below the base's;
/// - `base.index <= last_index`, equal when the log is empty; before the first entry of all there is term 0;
/// - every configuration lies above the base and not beyond `last_index`, in rising order, and is itself valid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogOutline {
    base: EntryId,
    last_index: LogIndex,
    terms: Vec<(LogIndex, Term)>,
    configs: Vec<(LogIndex, ConfState)>,
}

impl LogOutline {
    /// An empty log that starts after `base`.
    pub fn new(base: EntryId) -> LogOutline {
        LogOutline { base, last_index: base.index, ..LogOutline::default() }
    }

    /// The outline that these parts make, for backends that keep them apart: the base, the last index, where terms change
    /// ([`LogOutline::terms`]) and the configuration entries; `None` where they contradict each other.
    pub fn from_parts(
        base: EntryId,
        last_index: LogIndex,
        terms: Vec<(LogIndex, Term)>,
        configs: Vec<(LogIndex, ConfState)>,
    ) -> Option<LogOutline> {
        let outline = LogOutline { base, last_index, terms, configs };
        outline.is_valid().then_some(outline)
    }

    /// The entry before the first one kept; its term anchors log matching.
    pub fn base(&self) -> EntryId {
        self.base
    }

    /// The index of the first entry kept, or of the first one to come.
    pub fn first_index(&self) -> LogIndex {
        self.base.index.next()
    }

    /// The index of the last entry; that of the base when the log is empty.
    pub fn last_index(&self) -> LogIndex {
        self.last_index
    }

    /// The last entry; the base when the log is empty.
    pub fn last(&self) -> EntryId {
        EntryId { term: self.terms.last().map_or(self.base.term, |(_, term)| *term), index: self.last_index }
    }

    /// The term of the entry at `index`, the base's included; `None` below the base and beyond the end.
    pub fn term(&self, index: LogIndex) -> Option<Term> {
        if index < self.base.index || index > self.last_index {
            return None;
        }
        let after = self.terms.partition_point(|(first, _)| *first <= index);
        Some(after.checked_sub(1).and_then(|run| self.terms.get(run)).map_or(self.base.term, |(_, term)| *term))
    }

    /// Whether the log holds (or is based on) exactly this entry.
    pub fn contains(&self, id: EntryId) -> bool {
        self.term(id.index) == Some(id.term)
    }

    /// The largest index not beyond `upto` whose term is at most `term`: the hint of fast conflict backup (section 5.3).
    /// `None` where even the base lies beyond, or has a larger term.
    pub fn last_not_after(&self, upto: LogIndex, term: Term) -> Option<EntryId> {
        let mut index = upto.min(self.last_index);
        loop {
            let found = self.term(index)?;
            if found <= term {
                return Some(EntryId { term: found, index });
            }
            let run = self.terms.partition_point(|(first, _)| *first <= index);
            let (first, _) = self.terms.get(run.checked_sub(1)?)?;
            index = first.prev();
        }
    }

    /// Where terms change: the first entry of each term and that term, oldest first; empty when the log is.
    pub fn terms(&self) -> &[(LogIndex, Term)] {
        &self.terms
    }

    /// The configuration entries above the base, oldest first.
    pub fn configs(&self) -> &[(LogIndex, ConfState)] {
        &self.configs
    }

    /// Appends `entries`, replacing whatever stands from the first of them on.
    ///
    /// # Errors
    /// `Invalid` as [`LogOutline::check_append`]; nothing has changed then.
    pub fn append(&mut self, entries: &[Entry]) -> Result<()> {
        self.check_append(entries)?;
        if let Some(first) = entries.first() {
            self.truncate(first.index);
        }
        for entry in entries {
            if self.terms.last().is_none_or(|(_, term)| *term != entry.term) {
                self.terms.push((entry.index, entry.term));
            }
            self.last_index = entry.index;
            if entry.kind == EntryKind::Config {
                self.configs.push((entry.index, decode_config(entry)?));
            }
        }
        Ok(())
    }

    /// Whether `entries` may be appended.
    ///
    /// # Errors
    /// `Invalid` for a gap, an entry at or below the base or above [`LogIndex::MAX`], a term that goes back, or a
    /// configuration entry that holds no valid configuration.
    pub fn check_append(&self, entries: &[Entry]) -> Result<()> {
        let Some(first) = entries.first() else { return Ok(()) };
        if first.index <= self.base.index || first.index > self.last_index.next() {
            return Err(StorageError::invalid(format!(
                "append at {}; expected an index from {} to {}",
                first.index,
                self.first_index(),
                self.last_index.next()
            )));
        }
        let mut previous =
            EntryId { index: first.index.prev(), term: self.term(first.index.prev()).unwrap_or(self.base.term) };
        for entry in entries {
            if entry.index != previous.index.next() || entry.index > LogIndex::MAX || entry.term < previous.term {
                return Err(StorageError::invalid(format!(
                    "append of {} after {previous}; expected index {} and a term that does not go back",
                    entry.id(),
                    previous.index.next()
                )));
            }
            if entry.kind == EntryKind::Config {
                decode_config(entry)?;
            }
            previous = entry.id();
        }
        Ok(())
    }

    /// Drops entries up to and including `id`, which becomes the base.
    ///
    /// # Errors
    /// `Invalid` where the log does not hold `id`; nothing has changed then.
    pub fn compact_to(&mut self, id: EntryId) -> Result<()> {
        self.check_compact(id)?;
        let run_of_first = self.terms.partition_point(|(first, _)| *first <= id.index.next());
        self.terms.drain(..run_of_first.saturating_sub(1));
        if id.index == self.last_index {
            self.terms.clear();
        } else if let Some((first, _)) = self.terms.first_mut() {
            *first = (*first).max(id.index.next());
        }
        self.configs.retain(|(index, _)| *index > id.index);
        self.base = id;
        Ok(())
    }

    /// Whether the log may be compacted to `id`.
    ///
    /// # Errors
    /// `Invalid` where the log does not hold `id`.
    pub fn check_compact(&self, id: EntryId) -> Result<()> {
        if self.contains(id) {
            return Ok(());
        }
        Err(StorageError::invalid(format!(
            "compaction to {id}; the log reaches from {} (base) to {} and has term {} there",
            self.base,
            self.last(),
            self.term(id.index).map_or("none".to_owned(), |term| term.to_string())
        )))
    }

    /// Empties the log and starts it after `base`.
    pub fn reset(&mut self, base: EntryId) {
        *self = LogOutline::new(base);
    }

    /// Whether the invariants listed on the type hold; bytes from outside are refused where they do not.
    pub fn is_valid(&self) -> bool {
        let runs_rise = self.terms.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1);
        let first_run = match self.terms.first() {
            None => self.last_index == self.base.index,
            Some((first, term)) => *first == self.first_index() && *term >= self.base.term,
        };
        let within = self.terms.last().is_none_or(|(first, _)| *first <= self.last_index);
        let configs = self.configs.is_sorted_by(|a, b| a.0 < b.0)
            && self.configs.first().is_none_or(|(index, _)| *index > self.base.index)
            && self.configs.last().is_none_or(|(index, _)| *index <= self.last_index)
            && self.configs.iter().all(|(_, conf)| conf.is_valid());
        let origin = self.base.index != LogIndex::ZERO || self.base == EntryId::ZERO;
        self.last_index <= LogIndex::MAX && origin && runs_rise && first_run && within && configs
    }

    /// Drops the entry at `from`, which is above the base, and all after it.
    fn truncate(&mut self, from: LogIndex) {
        self.terms.truncate(self.terms.partition_point(|(first, _)| *first < from));
        self.configs.truncate(self.configs.partition_point(|(index, _)| *index < from));
        self.last_index = self.last_index.min(from.prev());
    }
}

fn decode_config(entry: &Entry) -> Result<ConfState> {
    match crate::codec::decode::<ConfState>(&entry.payload) {
        Ok(conf) if conf.is_valid() => Ok(conf),
        Ok(_) => {
            Err(StorageError::invalid(format!("entry {} holds a configuration that contradicts itself", entry.id())))
        }
        Err(error) => Err(StorageError::invalid(format!("entry {} holds no configuration: {error}", entry.id()))),
    }
}
