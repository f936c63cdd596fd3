//! The transport port: carries messages and snapshots at best effort, and hands arriving ones to an inbox.

use std::fmt;

use async_trait::async_trait;

use crate::{
    message::Message,
    storage::StorageError,
    types::{NodeId, SnapshotReader, Term},
};

/// Carries messages and snapshots to other members.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Hands `message` on towards `to`, in the order of calls. Awaiting is the backpressure, and is bounded in time: a
    /// peer that cannot be reached is an error, soon. `Ok` promises nothing: the message may still be lost.
    ///
    /// # Errors
    /// [`Unreachable`]; the message was dropped.
    async fn send(&self, to: NodeId, message: Message) -> Result<(), Unreachable>;

    /// Carries a whole snapshot to `to`, beside the messages and never in their way; `term` is the sender's term, as on
    /// every message (`InstallSnapshot`, section 7). It takes as long as the bytes take, and ends when nothing moves for
    /// too long. `Ok` means that the receiver has staged all of it and handed it to its node; it does not mean that it is
    /// published there, which only the receiver's own message acknowledges. Dropping the future gives the snapshot up.
    ///
    /// # Errors
    /// [`SnapshotNotSent`]; the receiver never takes what arrived for a snapshot (or its answer was lost: sending it
    /// again does no harm).
    async fn send_snapshot(&self, to: NodeId, term: Term, snapshot: SnapshotReader) -> Result<(), SnapshotNotSent>;
}

/// Takes messages and snapshots that have arrived; the node is one.
#[async_trait]
pub trait Inbox: fmt::Debug + Send + Sync + 'static {
    /// Takes one message whose sender the transport has verified. Awaiting is the backpressure.
    async fn receive(&self, message: Message);

    /// Takes one snapshot from a sender that the transport has verified: pulls `snapshot.chunks` to their very end,
    /// stages them, and answers once they are staged and the node knows. Pulling slowly is the backpressure.
    ///
    /// The metadata is valid as such (the configuration is one, the index is one that a log can reach); what it *claims*
    /// is the core's to judge. The snapshot is whole when `chunks` has ended without an error, and not before: after an
    /// error (the sender went away, bytes were damaged) what was staged is to be aborted.
    ///
    /// # Errors
    /// [`SnapshotRefused`], told to the sender.
    async fn receive_snapshot(&self, from: NodeId, term: Term, snapshot: SnapshotReader)
    -> Result<(), SnapshotRefused>;
}

/// A peer that a message could not be handed on to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {peer} is unreachable: {reason}")]
pub struct Unreachable {
    /// Who.
    pub peer: NodeId,
    /// Why, for a person.
    pub reason: String,
}

/// Why a snapshot did not get there; what differs is what the sender does next.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SnapshotNotSent {
    /// The way there failed, before the first byte or after: try again when the peer is back.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// As many snapshots are under way as one side allows: try again later.
    #[error("no snapshot is sent to node {peer} now: {reason}")]
    Busy {
        /// Who.
        peer: NodeId,
        /// Which side is busy, and with how many.
        reason: String,
    },
    /// The receiver does not want it, or found it damaged: what to do depends on the reason it gave.
    #[error("node {peer} refused the snapshot: {reason}")]
    Refused {
        /// Who.
        peer: NodeId,
        /// What it said.
        reason: String,
    },
    /// The snapshot could not be read here: the peer is not at fault.
    #[error("the snapshot for node {peer} cannot be read: {source}")]
    ReaderFailed {
        /// For whom it was.
        peer: NodeId,
        /// What the store said.
        source: StorageError,
    },
}

/// Why a node does not take a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SnapshotRefused {
    /// Why, for a person at the sender's end.
    pub reason: String,
}
