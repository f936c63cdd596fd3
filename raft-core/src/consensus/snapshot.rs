//! Snapshots: what becomes of one taken here, and of one that a leader has sent (section 7).
//!
//! It may assume that a stage is durable and that saves take effect in order, whole or not at all. It must never count a
//! snapshot as held before the save that publishes it has completed (a crash would bring back a log that others believe
//! replaced), nor drop entries that no published snapshot holds.

use std::collections::VecDeque;

use super::{DropReason, Raft, SaveId, claims, role::RoleState, server::Server};
use crate::{
    message::MessageBody,
    types::{EntryId, LogChange, LogIndex, NodeId, SnapshotMeta, StagedSnapshot, Term},
};

/// The snapshots of one node, by what they end with.
///
/// Invariants ([`Snapshots::check`]):
/// - `published <= queued`, and `under_way` holds what lies between, in the order of its saves;
/// - the last one under way is `queued`.
#[derive(Debug)]
pub(super) struct Snapshots {
    /// The last entry of the one that a read finds now.
    published: EntryId,
    /// The last entry of the one that a read will find when all saves have completed.
    queued: EntryId,
    under_way: VecDeque<Publication>,
}

/// A save that publishes, and has not completed.
#[derive(Debug)]
struct Publication {
    save: SaveId,
    meta: SnapshotMeta,
    origin: Origin,
}

/// Where a snapshot comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Taken of the state machine here, which holds all of it.
    Taken,
    /// Received: the state machine has yet to be restored from it.
    Received,
}

impl Snapshots {
    /// What was restored is published.
    pub(super) fn new(published: EntryId) -> Snapshots {
        Snapshots { published, queued: published, under_way: VecDeque::new() }
    }

    /// The last entry of the published snapshot.
    pub(super) fn published(&self) -> EntryId {
        self.published
    }

    /// The last entry of the snapshot that is the latest when all saves have completed.
    pub(super) fn queued(&self) -> EntryId {
        self.queued
    }

    /// Whether a received snapshot waits for the save that publishes it.
    pub(super) fn is_installing(&self) -> bool {
        self.under_way.iter().any(|publication| publication.origin == Origin::Received)
    }

    /// The save that publishes this one was made.
    pub(super) fn publishing(&mut self, save: SaveId, meta: SnapshotMeta, origin: Origin) {
        self.queued = meta.last;
        self.under_way.push_back(Publication { save, meta, origin });
    }

    /// The save `id` is durable, and every earlier one: the latest received snapshot that was published by one of them.
    pub(super) fn complete(&mut self, id: SaveId) -> Option<SnapshotMeta> {
        let mut installed = None;
        while let Some(publication) = self.under_way.pop_front_if(|publication| publication.save <= id) {
            self.published = publication.meta.last;
            if publication.origin == Origin::Received {
                installed = Some(publication.meta);
            }
        }
        installed
    }

    /// Checks the invariants listed on the type.
    pub(super) fn check(&self) {
        let ends: Vec<LogIndex> = self.under_way.iter().map(|publication| publication.meta.last.index).collect();
        assert!(
            ends.is_sorted_by(|a, b| a < b)
                && ends.first().is_none_or(|first| *first > self.published.index)
                && *ends.last().unwrap_or(&self.published.index) == self.queued.index,
            "snapshots under way do not lead from {} to {}: {ends:?}",
            self.published,
            self.queued
        );
    }
}

impl Raft {
    /// What a snapshot of the state after entry `index` stands for. `None` where the state machine has not reported that
    /// entry applied, or a snapshot that is as new exists or is on its way.
    pub fn snapshot_meta(&self, index: LogIndex) -> Option<SnapshotMeta> {
        self.server.snapshot_meta(index)
    }

    /// Publishes a snapshot taken here, and compacts the log in the same save, but for the trailing entries that peers who
    /// lag a little still need. Where the store lacks room those go as well: such a peer can be sent the snapshot, and a node
    /// that is full hinders everybody.
    #[doc(alias = "Snapshot")]
    pub(super) fn snapshot(&mut self, staged: StagedSnapshot, scarce: bool) {
        let server = &mut self.server;
        let last = staged.meta.last;
        // One that was received meanwhile has overtaken it.
        if last.index <= server.snapshots.queued().index {
            return server.discard(staged);
        }
        if server.snapshot_meta(last.index).as_ref() != Some(&staged.meta) {
            return server.refuse_snapshot(staged, DropReason::Impossible);
        }
        let trailing_entries = if scarce { 0 } else { server.config.trailing_entries };
        let base = LogIndex(last.index.0.saturating_sub(trailing_entries));
        let log = match server.log.term(base) {
            Some(term) if base > server.log.base().index => LogChange::CompactTo(EntryId { term, index: base }),
            _ => LogChange::Keep,
        };
        server.publish(staged, log, Origin::Taken);
    }

    /// Installs a snapshot that `from` has sent as the leader of `term`, unless it brings nothing new.
    #[doc(alias = "CondInstallSnapshot")]
    pub(super) fn cond_install_snapshot(&mut self, from: NodeId, term: Term, staged: StagedSnapshot) {
        let last = staged.meta.last;
        if !self.server.may_be_member(from) {
            return self.server.refuse_snapshot(staged, DropReason::NotAMember);
        }
        if !claims::is_plausible_snapshot(&staged.meta, term) {
            return self.server.refuse_snapshot(staged, DropReason::Impossible);
        }
        if term < self.server.term {
            self.server.send(from, MessageBody::Rejected { prev: last, hint: EntryId::ZERO, round: 0 });
            return self.server.refuse_snapshot(staged, DropReason::StaleTerm);
        }
        if term > self.server.term {
            self.adopt(term, Some(from));
        }
        match &self.role {
            // A term has one leader, and this is it.
            RoleState::Leader(_) => return self.server.refuse_snapshot(staged, DropReason::Impossible),
            RoleState::PreCandidate(_) | RoleState::Candidate(_) => self.follow(Some(from)),
            RoleState::Follower(_) => {}
        }
        if let RoleState::Follower(follower) = &mut self.role {
            follower.install(&mut self.server, from, staged);
        }
    }
}

/// What a received snapshot does to the log: a boundary entry that agrees in term keeps what follows it, which may be
/// entries that others count as held here; one that is absent, or disagrees, proves the whole log to be another's.
pub(super) fn log_change(server: &Server, last: EntryId) -> LogChange {
    if server.log.contains(last) { LogChange::CompactTo(last) } else { LogChange::Reset { base: last } }
}
