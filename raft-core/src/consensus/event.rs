//! What can happen to the core.

use bytes::Bytes;

use super::SaveId;
use crate::{
    message::Message,
    types::{LogIndex, NodeId, StagedSnapshot, Term},
};

/// The driver's name for one request; it comes back with the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One thing that has happened; stepping it never fails.
#[derive(Clone, Debug)]
pub enum Event {
    /// [`Raft::deadline`](super::Raft::deadline) has passed. Early or doubled ones do no harm.
    Timeout,
    /// A message has arrived.
    Message(Message),
    /// A client wants `payload` committed; answered by a [`ProposeOutcome`](super::ProposeOutcome).
    Propose {
        /// Comes back with the outcome.
        id: RequestId,
        /// The command.
        payload: Bytes,
    },
    /// A client wants to read; answered by a [`ReadOutcome`](super::ReadOutcome).
    ReadIndex {
        /// Comes back with the outcome.
        id: RequestId,
    },
    /// This save, and every earlier one, is durable.
    Saved {
        /// Which.
        id: SaveId,
    },
    /// The state machine holds everything up to here: it has applied it, or was restored from a snapshot of it.
    Applied {
        /// The last index that it holds.
        index: LogIndex,
    },
    /// The transport could not hand a message on to this peer: what is in flight to it is in doubt.
    Unreachable {
        /// Who.
        peer: NodeId,
    },
    /// A snapshot of the state machine here is staged. It is published, or comes back in [`Ready`](super::Ready)'s
    /// `discard`.
    #[doc(alias = "Snapshot")]
    SnapshotTaken {
        /// The stage; its meta is what [`Raft::snapshot_meta`](super::Raft::snapshot_meta) said.
        staged: StagedSnapshot,
        /// The store lacks room: no [`trailing_entries`](super::Config::trailing_entries) are kept.
        scarce: bool,
    },
    /// A snapshot that a peer has sent is complete, checked and staged. It is published, or comes back in
    /// [`Ready`](super::Ready)'s `discard`.
    #[doc(alias = "CondInstallSnapshot")]
    SnapshotStaged {
        /// Who sent it.
        from: NodeId,
        /// In which term the sender leads.
        term: Term,
        /// The stage.
        staged: StagedSnapshot,
    },
    /// What became of a [`SendSnapshot`](super::SendSnapshot); every one is answered so, whatever happens.
    SnapshotSent {
        /// To whom.
        to: NodeId,
        /// The term of the [`SendSnapshot`](super::SendSnapshot), so that a late answer is recognised.
        term: Term,
        /// Whether the peer has all of it staged.
        ok: bool,
    },
    /// A read of entries for this peer met compaction: they were dropped after they were asked for.
    Compacted {
        /// For whom the entries were.
        peer: NodeId,
    },
}
