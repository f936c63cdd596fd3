//! Everything the core wants done.

use std::ops::Range;

use super::RequestId;
use crate::{
    message::Message,
    types::{EntryId, LogIndex, NodeId, RaftStateUpdate, SnapshotMeta, StagedSnapshot, Term},
};

/// Everything to be done since the last one, as a plain struct.
///
/// Its fields are independent of each other: what must wait for a save is not in here before the save's completion has
/// come back as an event. One exception: the entries of `saves` must be where `replicates` and `apply` look for them
/// before those are handed out.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use = "dropping it loses saves and answers"]
pub struct Ready {
    /// To be submitted to the storage in this order.
    pub saves: Vec<Save>,
    /// To be sent.
    pub messages: Vec<Message>,
    /// To be filled with entries and sent.
    pub replicates: Vec<Replicate>,
    /// To be applied: durable here and committed. Continues where the last one ended, or the last `restore`.
    pub apply: Option<Range<LogIndex>>,
    /// The state machine is to be restored from the published snapshot, which is this one or a newer; what it was still
    /// given to apply is superseded. Reported by [`Event::Applied`](super::Event::Applied); no `apply` comes before that.
    pub restore: Option<SnapshotMeta>,
    /// The published snapshot is to be sent.
    pub send_snapshots: Vec<SendSnapshot>,
    /// Stages that are not wanted any more, to be removed from the storage.
    pub discard: Vec<StagedSnapshot>,
    /// Answers to proposals.
    pub proposals: Vec<(RequestId, ProposeOutcome)>,
    /// Answers to reads.
    pub reads: Vec<(RequestId, ReadOutcome)>,
}

impl Ready {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Ready::default()
    }
}

/// The number of a save; they count up from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SaveId(pub u64);

/// One save: complete it with [`Event::Saved`](super::Event::Saved) when its receipt has resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Save {
    /// Comes back with the completion.
    pub id: SaveId,
    /// What changes.
    pub update: RaftStateUpdate,
    /// What it publishes in the same atomic step.
    pub snapshot: Option<StagedSnapshot>,
}

/// The published snapshot is to be sent to one peer, which needs entries that the log has dropped.
///
/// Answered by [`Event::SnapshotSent`](super::Event::SnapshotSent), also if it could not even begin: until then the peer
/// gets heartbeats only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendSnapshot {
    /// To whom.
    pub to: NodeId,
    /// In which term this node leads.
    pub term: Term,
}

/// Entries to be sent to one peer, without the entries: the peer's task reads them and splits them by bytes into
/// `AppendEntries` messages, the first of which follows `prev`.
///
/// The messages bear `term`, never a newer one. If this node no longer leads in `term` *after* the entries were read,
/// they may have been replaced meanwhile and must not be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicate {
    /// To whom.
    pub to: NodeId,
    /// In which term this node leads.
    pub term: Term,
    /// The entry before the first one of `range`.
    pub prev: EntryId,
    /// Which entries.
    pub range: Range<LogIndex>,
    /// What is committed.
    pub commit: LogIndex,
    /// The leader's current round.
    pub round: u64,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposeOutcome {
    /// Committed as this entry: its reply is the state machine's, once that has applied it.
    Committed(EntryId),
    /// Refused, and will never commit: another node leads, or none does.
    NotLeader {
        /// Who leads, as far as is known.
        leader: Option<NodeId>,
    },
    /// Refused, and will never commit: too many requests await their outcome.
    Busy,
    /// Leadership was lost before it was committed: it may or may not commit.
    LeadershipLost {
        /// Who leads now, as far as is known.
        leader: Option<NodeId>,
    },
}

/// What became of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Once the state machine here has applied this index, a read of it is linearizable.
    ReadAt(LogIndex),
    /// Another node leads, or none does; or leadership was lost meanwhile.
    NotLeader {
        /// Who leads, as far as is known.
        leader: Option<NodeId>,
    },
    /// Too many requests await their outcome.
    Busy,
}
