//! Saves: what is on its way to the disk, what has arrived there, and what must wait for it. (The ancestor's `persist`.)
//!
//! Changes gather until the next [`Ready`](super::Ready) and leave as one numbered save: that is where group commit
//! begins. It may assume that saves become durable in the order of their numbers, whole or not at all; it must never
//! let a message out that a crash could turn into a lie, nor let a completion vouch for an entry that was replaced.

use std::collections::VecDeque;

use super::{Save, SaveId};
use crate::{
    message::Message,
    types::{Entry, HardState, LogChange, LogIndex, RaftStateUpdate, StagedSnapshot},
};

/// How many messages may wait for a save; more are dropped, as any network may.
const MAX_WITHHELD_MESSAGES: usize = 1024;

/// The saves of one node.
///
/// Invariants ([`Saves::check`]):
/// - `completed <= issued`, and `outstanding` holds the saves between them, in order, the `prepared` ones at its end;
/// - nothing vouches beyond the last entry of the log;
/// - messages are withheld in the order of the saves they wait for, and none waits for a completed one.
#[doc(alias = "persist")]
#[derive(Debug)]
pub(super) struct Saves {
    issued: SaveId,
    completed: SaveId,
    outstanding: VecDeque<Outstanding>,
    /// Numbered and not yet handed out.
    prepared: Vec<Save>,
    /// The last hard state that was put into a save or restored.
    hard_state: HardState,
    /// The save that holds the current term and vote.
    holds_vote: SaveId,
    /// Entries that wait for the next save, without a gap.
    entries: Vec<Entry>,
    durable: LogIndex,
    withheld: VecDeque<(SaveId, Message)>,
}

#[derive(Debug)]
struct Outstanding {
    id: SaveId,
    /// The last index that this save's completion can still vouch for; 0 for none.
    through: LogIndex,
}

impl Saves {
    /// Nothing under way; what was restored is durable.
    pub(super) fn new(hard_state: HardState, durable: LogIndex) -> Saves {
        Saves {
            issued: SaveId(0),
            completed: SaveId(0),
            outstanding: VecDeque::new(),
            prepared: Vec::new(),
            hard_state,
            holds_vote: SaveId(0),
            entries: Vec::new(),
            durable,
            withheld: VecDeque::new(),
        }
    }

    /// The last index of the log that is durable here, as the log stands now.
    pub(super) fn durable(&self) -> LogIndex {
        self.durable
    }

    /// Whether a crash now would bring back the current term and vote.
    pub(super) fn vote_is_durable(&self) -> bool {
        self.completed >= self.holds_vote
    }

    /// Term or vote have changed: the next save holds them, and what is said from now on waits for it.
    pub(super) fn vote_changed(&mut self) {
        self.holds_vote = self.next_id();
    }

    /// These entries now end the log, replacing whatever stood from the first of them on.
    pub(super) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        // What is replaced is durable no longer, and earlier saves, complete or not, prove nothing about what replaces it.
        let kept = first.index.prev();
        self.vouch_at_most(kept);
        let pending = self.entries.partition_point(|entry| entry.index < first.index);
        self.entries.truncate(pending);
        self.entries.extend_from_slice(entries);
    }

    /// The log was cut or compacted as `log` says, and `staged` is to be published in the same save: its number.
    pub(super) fn publish(&mut self, hard_state: HardState, staged: StagedSnapshot, log: LogChange) -> SaveId {
        if matches!(log, LogChange::Reset { .. }) {
            // No entry is left that anything under way could vouch for.
            self.entries.clear();
            self.vouch_at_most(LogIndex::ZERO);
        }
        // A save has one change of the log, and what came before this one goes before it.
        self.prepare_append(hard_state);
        let last = staged.meta.last.index;
        // What the snapshot holds is committed: a crash must not bring back the one without the other.
        let hard_state = HardState { commit: hard_state.commit.max(last), ..hard_state };
        self.prepare(hard_state, log, last, Some(staged))
    }

    /// The next saves, if anything but the commit index has changed: that one alone is not worth a sync, and rides along.
    pub(super) fn take(&mut self, hard_state: HardState) -> Vec<Save> {
        self.prepare_append(hard_state);
        if self.holds_vote == self.next_id() {
            self.prepare(hard_state, LogChange::Keep, LogIndex::ZERO, None);
        }
        std::mem::take(&mut self.prepared)
    }

    /// The save `id` is durable, and every earlier one.
    ///
    /// # Panics
    /// If it was never handed out: a driver that says so cannot be trusted with the others either.
    pub(super) fn complete(&mut self, id: SaveId) {
        assert!(id <= self.issued, "save {} reported durable, but only {} were handed out", id.0, self.issued.0);
        self.completed = self.completed.max(id);
        while let Some(save) = self.outstanding.pop_front_if(|save| save.id <= id) {
            self.durable = self.durable.max(save.through);
        }
    }

    /// Takes a message that is about to be sent: gives it back if it may leave now, else keeps it until it may.
    pub(super) fn pass(&mut self, message: Message) -> Option<Message> {
        if self.vote_is_durable() {
            return Some(message);
        }
        if self.withheld.len() < MAX_WITHHELD_MESSAGES {
            self.withheld.push_back((self.holds_vote, message));
        }
        None
    }

    /// The next message that need not wait any longer.
    pub(super) fn release(&mut self) -> Option<Message> {
        let completed = self.completed;
        self.withheld.pop_front_if(|(awaits, _)| *awaits <= completed).map(|(_, message)| message)
    }

    /// Checks the invariants listed on the type; `last_index` is the log's.
    pub(super) fn check(&self, last_index: LogIndex) {
        assert!(self.completed <= self.issued, "a save completed before it was handed out");
        assert!(
            self.outstanding.front().is_none_or(|save| save.id > self.completed)
                && self.outstanding.back().is_none_or(|save| save.id == self.issued),
            "outstanding saves are not those between {:?} and {:?}",
            self.completed,
            self.issued
        );
        assert!(
            self.durable <= last_index && self.outstanding.back().is_none_or(|save| save.through <= last_index),
            "something is vouched for beyond the end of the log, {last_index}"
        );
        assert!(
            self.entries.last().is_none_or(|entry| entry.index == last_index),
            "entries wait to be saved that do not end the log at {last_index}"
        );
        assert!(
            self.withheld.front().is_none_or(|(awaits, _)| *awaits > self.completed),
            "a message still waits for a save that has completed"
        );
    }

    /// Numbers a save of the entries that wait for one.
    fn prepare_append(&mut self, hard_state: HardState) {
        let entries = std::mem::take(&mut self.entries);
        if let Some(last) = entries.last().map(|entry| entry.index) {
            self.prepare(hard_state, LogChange::Append(entries), last, None);
        }
    }

    /// Numbers a save whose completion vouches for what the log holds up to `through`.
    fn prepare(
        &mut self,
        hard_state: HardState,
        log: LogChange,
        through: LogIndex,
        snapshot: Option<StagedSnapshot>,
    ) -> SaveId {
        let id = self.next_id();
        // A commit index that went ahead with a snapshot is not taken back.
        let hard_state = HardState { commit: hard_state.commit.max(self.hard_state.commit), ..hard_state };
        let changed = (hard_state != self.hard_state).then_some(hard_state);
        self.issued = id;
        self.hard_state = hard_state;
        self.outstanding.push_back(Outstanding { id, through });
        self.prepared.push(Save { id, update: RaftStateUpdate { hard_state: changed, log }, snapshot });
        id
    }

    /// Whatever lies beyond `kept` was replaced: it is durable no longer, and no earlier save vouches for it.
    fn vouch_at_most(&mut self, kept: LogIndex) {
        self.durable = self.durable.min(kept);
        for save in &mut self.outstanding {
            save.through = save.through.min(kept);
        }
    }

    fn next_id(&self) -> SaveId {
        SaveId(self.issued.0 + 1)
    }
}
