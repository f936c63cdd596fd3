//! The state-machine port: what the user replicates.

mod typed;

use async_trait::async_trait;
use bytes::Bytes;

pub use typed::{ReplyError, Typed, TypedStateMachine, decode_reply, encode_command};

use crate::types::{Entry, LogIndex};

/// Why a state machine cannot go on; it ends the node.
pub type StateMachineError = Box<dyn std::error::Error + Send + Sync>;

/// What the user replicates: given the same entries in the same order, every replica ends in the same state.
#[async_trait]
pub trait StateMachine: Send + 'static {
    /// The last entry whose effect the state holds *durably or at all*: applying goes on after it. A machine that lives
    /// in memory starts at 0 and is rebuilt from the log.
    fn last_applied(&self) -> LogIndex;

    /// Applies committed entries, in order, each exactly once, and answers each with its reply: as many replies as
    /// entries. Entries of every kind come; those that are no [`Command`](crate::EntryKind::Command) only move
    /// `last_applied` and are answered with empty bytes.
    ///
    /// # Errors
    /// Any error ends the node: a replica that cannot apply must not go on. What is wrong with a command itself is a
    /// reply, the same on every replica, not an error.
    async fn apply(&mut self, entries: Vec<Entry>) -> Result<Vec<Bytes>, StateMachineError>;
}
