//! What a store keeps, and the one way it changes.
//!
//! [`RaftState::check`] and [`RaftState::apply`] are the write half of the storage contract as plain data: every
//! backend calls them at submission, against what is already queued, so that no two backends disagree on what is
//! `Invalid`.

use serde::{Deserialize, Serialize};

use super::{ClusterId, Entry, EntryId, LogIndex, LogOutline, NodeId, SnapshotMeta, StoreId, Term};
use crate::storage::{Result, StorageError, StorageErrorKind};

/// The part of the state that must be durable before a node answers (figure 2 of the paper), and the commit index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardState {
    /// The latest term this node has seen.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<NodeId>,
    /// What it knew to be committed when this was saved; never trusted beyond the log.
    pub commit: LogIndex,
}

/// Whose data a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The member of it.
    pub node: NodeId,
    /// This very store, drawn at random when it was created.
    pub store: StoreId,
}

/// Whose data an opener expects to find; what is `None` is not checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The cluster.
    pub cluster: Option<ClusterId>,
    /// The member of it.
    pub node: Option<NodeId>,
}

impl Expected {
    /// This member of this cluster.
    pub fn exactly(cluster: ClusterId, node: NodeId) -> Expected {
        Expected { cluster: Some(cluster), node: Some(node) }
    }

    /// Whoever's it is.
    pub fn any() -> Expected {
        Expected::default()
    }

    /// Checks what was found at `location`.
    ///
    /// # Errors
    /// `WrongIdentity`, with expected against found.
    pub fn check(&self, found: &Identity, location: &str) -> Result<()> {
        if self.cluster.is_some_and(|cluster| cluster != found.cluster)
            || self.node.is_some_and(|node| node != found.node)
        {
            let or_any = |id: Option<String>| id.unwrap_or_else(|| "any".to_owned());
            return Err(StorageError::new(
                StorageErrorKind::WrongIdentity,
                "opening a store",
                format!(
                    "{location} belongs to node {} of cluster {}; expected node {} of cluster {}: check the path and the configuration",
                    found.node,
                    found.cluster,
                    or_any(self.node.map(|id| id.to_string())),
                    or_any(self.cluster.map(|id| id.to_string())),
                ),
            ));
        }
        Ok(())
    }
}

/// Everything a restart needs but the payloads. (What the ancestor's `readPersist` read.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaftState {
    /// Whose it is.
    pub identity: Identity,
    /// Term, vote and commit index.
    pub hard_state: HardState,
    /// The log without its payloads.
    pub outline: LogOutline,
    /// The published snapshot, if any.
    pub snapshot: Option<SnapshotMeta>,
}

/// What one save changes: a delta, so that a save costs O(new entries).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaftStateUpdate {
    /// The new hard state, where it changes.
    pub hard_state: Option<HardState>,
    /// What happens to the log.
    pub log: LogChange,
}

/// What one save does to the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogChange {
    /// Nothing.
    #[default]
    Keep,
    /// These entries, without a gap, replace whatever stands from the first of them on. An empty list is `Keep`.
    Append(Vec<Entry>),
    /// Entries up to and including this one are dropped.
    CompactTo(EntryId),
    /// The log is emptied and starts after `base`; only with a snapshot whose last entry is `base`.
    Reset {
        /// The entry before the first one to come.
        base: EntryId,
    },
}

impl RaftState {
    /// The state of a store that has just been created.
    pub fn blank(identity: Identity) -> RaftState {
        RaftState { identity, hard_state: HardState::default(), outline: LogOutline::default(), snapshot: None }
    }

    /// Whether nothing was ever saved: such a node never starts by itself.
    pub fn is_blank(&self) -> bool {
        self.hard_state == HardState::default() && self.outline == LogOutline::default() && self.snapshot.is_none()
    }

    /// Whether [`RaftState::apply`] would accept this save.
    ///
    /// # Errors
    /// `Invalid`, saying which rule of the contract (lines 4 to 6) the save would break.
    pub fn check(&self, update: &RaftStateUpdate, publish: Option<&SnapshotMeta>) -> Result<()> {
        if let Some(new) = publish {
            if !new.conf_state.is_valid() {
                return Err(StorageError::invalid(format!(
                    "the snapshot at {} bears a configuration that contradicts itself",
                    new.last
                )));
            }
            // Without a snapshot there is nothing before the log, and that is what a new one follows.
            let old = self.snapshot.as_ref().map_or(EntryId::ZERO, |meta| meta.last);
            if new.last != old && (new.last.index <= old.index || new.last.term < old.term) {
                return Err(StorageError::invalid(format!(
                    "the snapshot at {} does not follow the published one at {old}: discard it",
                    new.last
                )));
            }
        }
        let snapshot = publish.or(self.snapshot.as_ref()).map_or(EntryId::ZERO, |meta| meta.last);
        // The log as it would be, as far as this rule needs it: its base, its last index, and the term at `snapshot`.
        let (base, last, term_at_snapshot) = match &update.log {
            LogChange::Keep => (self.outline.base(), self.outline.last_index(), self.outline.term(snapshot.index)),
            LogChange::Append(entries) => {
                self.outline.check_append(entries)?;
                let Some((first, last)) = entries.first().zip(entries.last()) else {
                    return self
                        .check(&RaftStateUpdate { hard_state: update.hard_state, ..Default::default() }, publish);
                };
                let offset = snapshot.index.0.checked_sub(first.index.0);
                let term = match offset {
                    None => self.outline.term(snapshot.index),
                    Some(offset) => {
                        usize::try_from(offset).ok().and_then(|offset| entries.get(offset)).map(|entry| entry.term)
                    }
                };
                (self.outline.base(), last.index, term)
            }
            LogChange::CompactTo(id) => {
                self.outline.check_compact(*id)?;
                (*id, self.outline.last_index(), self.outline.term(snapshot.index))
            }
            LogChange::Reset { base } => {
                if base.index > LogIndex::MAX || publish.map(|meta| meta.last) != Some(*base) {
                    return Err(StorageError::invalid(format!(
                        "a reset to {base} must publish a snapshot whose last entry is {base}, found {}",
                        publish.map_or("none".to_owned(), |meta| meta.last.to_string())
                    )));
                }
                (*base, base.index, Some(base.term))
            }
        };
        // Beyond the last entry there is no term, so this covers snapshot <= last, too.
        if base.index > snapshot.index || term_at_snapshot != Some(snapshot.term) {
            return Err(StorageError::invalid(format!(
                "after this save the log would be {base} (base) to {last} with term {} at the snapshot's last entry \
                 {snapshot}; expected base <= snapshot <= last entry with agreeing terms",
                term_at_snapshot.map_or("none".to_owned(), |term| term.to_string())
            )));
        }
        Ok(())
    }

    /// Makes the save take effect, whole or not at all.
    ///
    /// # Errors
    /// As [`RaftState::check`]; nothing has changed then.
    pub fn apply(&mut self, update: &RaftStateUpdate, publish: Option<&SnapshotMeta>) -> Result<()> {
        self.check(update, publish)?;
        match &update.log {
            LogChange::Keep => {}
            LogChange::Append(entries) => self.outline.append(entries)?,
            LogChange::CompactTo(id) => self.outline.compact_to(*id)?,
            LogChange::Reset { base } => self.outline.reset(*base),
        }
        if let Some(hard_state) = update.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(meta) = publish {
            self.snapshot = Some(meta.clone());
        }
        Ok(())
    }
}
