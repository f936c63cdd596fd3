//! What can happen to the core.

use bytes::Bytes;

use super::SaveId;
use crate::{
    message::Message,
    types::{LogIndex, NodeId},
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
    /// The state machine has applied everything up to here.
    Applied {
        /// The last index applied.
        index: LogIndex,
    },
    /// The transport could not hand a message on to this peer: what is in flight to it is in doubt.
    Unreachable {
        /// Who.
        peer: NodeId,
    },
}
