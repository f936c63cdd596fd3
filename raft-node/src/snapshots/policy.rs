//! When to take a snapshot: when the log has grown by so many bytes since the last one, and none is under way. A store
//! without room has no time to wait for that: what its log holds above the last snapshot is all that this node can free.

use eraft_core::{Now, SaveId};

use crate::Options;

/// What the policy goes by.
///
/// Invariant: at most one snapshot of the state machine is `under_way`, from the moment it is asked for until its save is
/// durable or it was given up.
#[derive(Debug)]
pub(crate) struct Policy {
    /// What the log and the state took when the last snapshot was published: the trailing entries, mostly.
    kept_bytes: u64,
    under_way: bool,
    /// The latest save that publishes a snapshot, taken or received.
    publishing: Option<SaveId>,
    /// After a failure it is not tried again before.
    not_before: Now,
}

impl Policy {
    /// Nothing is known of earlier snapshots: a log that is longer than allowed is compacted soon after a start.
    pub(crate) fn new() -> Policy {
        Policy { kept_bytes: 0, under_way: false, publishing: None, not_before: Now::default() }
    }

    /// Whether the log is long enough, at `state_bytes`, to take one. Where the store has refused an entry of
    /// `refused_bytes` that is as soon as compaction may free so much: a log that holds less is not what fills the disk.
    pub(crate) fn is_due(&self, options: &Options, state_bytes: u64, refused_bytes: Option<u64>, now: Now) -> bool {
        let grown_bytes = state_bytes.saturating_sub(self.kept_bytes);
        let enough_bytes = refused_bytes.unwrap_or(u64::MAX).min(options.max_log_bytes);
        !self.under_way && self.publishing.is_none() && grown_bytes >= enough_bytes && now >= self.not_before
    }

    /// When it is to be asked again after one came to nothing, if that is not yet. Until then nothing else may happen: a
    /// store that is full takes no command, and a lone node hears no heartbeat.
    pub(crate) fn wakes_at(&self, now: Now) -> Now {
        if self.under_way || self.not_before <= now { Now::NEVER } else { self.not_before }
    }

    /// The state machine was asked for a view.
    pub(crate) fn asked(&mut self) {
        self.under_way = true;
    }

    /// What was asked for came to nothing, and may be asked for again: at once, if only something newer was in its way.
    pub(crate) fn given_up(&mut self, not_before: Now) {
        self.under_way = false;
        self.not_before = not_before;
    }

    /// The core has been told of the stage: it publishes it by now, or never.
    pub(crate) fn handed_over(&mut self) {
        self.under_way = false;
    }

    /// This save publishes a snapshot.
    pub(crate) fn publishing(&mut self, save: SaveId) {
        self.publishing = Some(save);
    }

    /// Every save up to this one is durable; state and log take so many bytes now.
    pub(crate) fn saved(&mut self, save: SaveId, state_bytes: u64) {
        if self.publishing.is_some_and(|publishing| publishing <= save) {
            self.publishing = None;
            self.kept_bytes = state_bytes;
        }
    }

    /// Whether one is under way.
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way
    }
}
