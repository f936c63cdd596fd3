//! The state-machine port: what the user replicates.

mod fold;
mod pieces;
mod typed;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::stream;

pub use fold::fold;
pub use typed::{ReplyError, Typed, TypedStateMachine, decode_reply, encode_command};

use crate::types::{Entry, LogIndex, SnapshotReader};

/// Why a state machine cannot go on; it ends the node.
pub type StateMachineError = Box<dyn std::error::Error + Send + Sync>;

/// The bytes of a state, in order, in chunks of any length. An error ends it, and the node.
pub type SnapshotStream = BoxStream<'static, Result<Bytes, StateMachineError>>;

/// A snapshot of one chunk: for a state that is small.
pub fn snapshot_of(state: impl Into<Bytes>) -> SnapshotStream {
    Box::pin(stream::once(std::future::ready(Ok(state.into()))))
}

/// What the user replicates: given the same entries in the same order, every replica ends in the same state.
#[async_trait]
pub trait StateMachine: Send + 'static {
    /// The last entry whose effect the state holds *durably or at all*: applying goes on after it. A machine that lives
    /// in memory starts at 0, and is rebuilt from the snapshot and the log.
    fn last_applied(&self) -> LogIndex;

    /// Applies committed entries, in order, each exactly once, and answers each with its reply: as many replies as
    /// entries. Entries of every kind come; those that are no [`Command`](crate::EntryKind::Command) only move
    /// `last_applied` and are answered with empty bytes.
    ///
    /// # Errors
    /// Any error ends the node: a replica that cannot apply must not go on. What is wrong with a command itself is a
    /// reply, the same on every replica, not an error.
    async fn apply(&mut self, entries: Vec<Entry>) -> Result<Vec<Bytes>, StateMachineError>;

    /// A view of the state as of `last_applied`. Nothing is applied until this returns, so it only *captures* the view,
    /// quickly; the stream is read while applying goes on, and what is applied meanwhile must not show in it.
    ///
    /// # Errors
    /// Any error, the stream's included, ends the node: its log would grow for ever.
    async fn snapshot(&mut self) -> Result<SnapshotStream, StateMachineError>;

    /// Replaces the whole state by that of `snapshot`, whose bytes [`StateMachine::snapshot`] made on some replica;
    /// `last_applied` is `snapshot.meta.last.index` from then on. Whoever reads the state beside the node must see the
    /// old one or the new one, nothing between.
    ///
    /// # Errors
    /// Any error ends the node, and the next start restores again; but where the bytes ended because the store could not
    /// give them now, the node waits, and asks again with all of them, whatever the failed attempt has left.
    async fn restore(&mut self, snapshot: SnapshotReader) -> Result<(), StateMachineError>;
}
