//! The newest entries of the log, in memory: where peers' tasks and the apply task look before they read the disk.
//!
//! Entries come in before anything else of their `Ready` is handed out, so that whoever is told of an entry finds it here
//! or on the disk, never in neither. It must never let go of an entry whose save has no receipt yet: the disk need not
//! show it.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use eraft_core::{Entry, LogChange, LogIndex};

/// A run of entries without a gap, shared by the tasks of one node.
///
/// Invariants:
/// - indexes rise by one along `entries`;
/// - `bytes` is the sum of their sizes;
/// - over `max_bytes` only as far as entries from `pinned_from` on need it.
#[derive(Debug)]
pub(crate) struct EntryCache {
    max_bytes: u64,
    run: Mutex<Run>,
}

#[derive(Debug, Default)]
struct Run {
    entries: VecDeque<Entry>,
    bytes: u64,
    /// Entries from here on have no receipt; `None` when all have.
    pinned_from: Option<LogIndex>,
}

impl EntryCache {
    /// An empty cache that keeps at most `max_bytes` of saved entries.
    pub(crate) fn new(max_bytes: u64) -> EntryCache {
        EntryCache { max_bytes, run: Mutex::default() }
    }

    /// Takes in what a save is about to change, before that save is submitted. Its entries stay until
    /// [`EntryCache::unpin`].
    pub(crate) fn change(&self, log: &LogChange) {
        let mut run = self.lock();
        match log {
            LogChange::Keep | LogChange::CompactTo(_) => {}
            LogChange::Reset { .. } => *run = Run::default(),
            LogChange::Append(entries) => run.append(entries),
        }
        run.evict(self.max_bytes);
    }

    /// Only entries from `pinned_from` on still wait for their receipt.
    pub(crate) fn unpin(&self, pinned_from: Option<LogIndex>) {
        let mut run = self.lock();
        run.pinned_from = pinned_from;
        run.evict(self.max_bytes);
    }

    /// The entries of `range` from its start on, as many as `max_bytes` allows but at least one; `None` where the first
    /// is not here.
    pub(crate) fn read(&self, range: &Range<LogIndex>, max_bytes: u64) -> Option<Vec<Entry>> {
        let run = self.lock();
        let first = run.entries.front()?.index;
        let skip = usize::try_from(range.start.0.checked_sub(first.0)?).ok()?;
        let mut room = max_bytes;
        let mut found = Vec::new();
        for entry in run.entries.iter().skip(skip).take_while(|entry| entry.index < range.end) {
            match room.checked_sub(entry.size_bytes()) {
                Some(left) => room = left,
                None if found.is_empty() => room = 0,
                None => break,
            }
            found.push(entry.clone());
        }
        if found.is_empty() { None } else { Some(found) }
    }

    /// How many entries it holds, and their bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        let run = self.lock();
        (run.entries.len() as u64, run.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first().map(|entry| entry.index) else { return };
        while self.entries.back().is_some_and(|last| last.index >= first) {
            self.bytes -= self.entries.pop_back().map_or(0, |entry| entry.size_bytes());
        }
        if self.entries.back().is_some_and(|last| last.index.next() != first) {
            // A gap: what lies between was saved long ago. Whatever is before it can be read from the disk.
            self.entries.clear();
            self.bytes = 0;
        }
        self.bytes += entries.iter().map(Entry::size_bytes).sum::<u64>();
        self.entries.extend(entries.iter().cloned());
        self.pinned_from = Some(self.pinned_from.map_or(first, |pinned| pinned.min(first)));
    }

    fn evict(&mut self, max_bytes: u64) {
        while self.bytes > max_bytes
            && let Some(first) = self.entries.front()
            && self.pinned_from.is_none_or(|pinned| first.index < pinned)
        {
            self.bytes -= first.size_bytes();
            self.entries.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use eraft_core::Term;

    use super::*;

    fn entries(term: u64, range: Range<u64>) -> LogChange {
        LogChange::Append(range.map(|index| Entry::command(Term(term), LogIndex(index), vec![0; 68])).collect())
    }

    fn read(cache: &EntryCache, range: Range<u64>, max_bytes: u64) -> Option<Vec<(u64, u64)>> {
        let found = cache.read(&(LogIndex(range.start)..LogIndex(range.end)), max_bytes)?;
        Some(found.iter().map(|entry| (entry.term.0, entry.index.0)).collect())
    }

    #[test]
    fn an_entry_without_a_receipt_is_kept_whatever_the_bound() {
        let cache = EntryCache::new(250);
        cache.change(&entries(1, 1..11));
        assert_eq!(cache.size(), (10, 1000));
        cache.unpin(Some(LogIndex(6)));
        assert_eq!(cache.size(), (5, 500));
        cache.unpin(None);
        assert_eq!(cache.size(), (2, 200));
        assert_eq!(read(&cache, 9..11, 1000), Some(vec![(1, 9), (1, 10)]));
    }

    #[test]
    fn an_append_replaces_what_stands_from_its_first_index_on() {
        let cache = EntryCache::new(10_000);
        cache.change(&entries(1, 1..6));
        cache.change(&entries(2, 3..5));
        assert_eq!(read(&cache, 1..9, 10_000), Some(vec![(1, 1), (1, 2), (2, 3), (2, 4)]));
        assert_eq!(cache.size(), (4, 400));
    }

    #[test]
    fn a_read_stays_within_its_bytes_but_gives_at_least_one_entry() {
        let cache = EntryCache::new(10_000);
        cache.change(&entries(1, 1..6));
        assert_eq!(read(&cache, 2..6, 1), Some(vec![(1, 2)]));
        assert_eq!(read(&cache, 2..6, 299), Some(vec![(1, 2), (1, 3)]));
        assert_eq!(read(&cache, 2..3, 299), Some(vec![(1, 2)]));
    }

    #[test]
    fn a_read_that_begins_outside_finds_nothing() {
        let cache = EntryCache::new(10_000);
        assert_eq!(read(&cache, 1..6, 1000), None);
        cache.change(&entries(1, 3..6));
        assert_eq!(read(&cache, 2..6, 1000), None);
        assert_eq!(read(&cache, 6..7, 1000), None);
    }

    #[test]
    fn a_gap_drops_what_stands_before_it() {
        let cache = EntryCache::new(10_000);
        cache.change(&entries(1, 1..3));
        cache.change(&entries(1, 7..8));
        assert_eq!(read(&cache, 1..9, 1000), None);
        assert_eq!(read(&cache, 7..9, 1000), Some(vec![(1, 7)]));
    }
}
