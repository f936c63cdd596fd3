//! The shortest way to a state machine: a state, and what a command does to it.
//!
//! It is for a state that is small and lives in memory: every snapshot clones it between two batches, and holds its bytes as
//! one piece. It must never let an effect escape that is not in the state, for a snapshot would lose that: hence a function
//! that cannot change anything else.

use std::marker::PhantomData;

use serde::{Serialize, de::DeserializeOwned};

use super::{StateMachine, StateMachineError, Typed, TypedStateMachine};
use crate::types::LogIndex;

/// A state machine that begins with `state` and has `apply` do each committed command to it; what that gives is the reply.
///
/// Propose what [`encode_command`](super::encode_command) makes, and read replies by [`decode_reply`](super::decode_reply).
/// `apply` must do the same on every replica: no clock, no randomness, nothing from outside. Clients see the state by
/// replies alone; a [`TypedStateMachine`] of your own can be read beside the node, and can be large.
///
/// ```
/// let counter = eraft_core::fold(0, |total: &mut u64, more: u64| {
///     *total = total.saturating_add(more);
///     *total
/// });
/// assert_eq!(counter.last_applied(), eraft_core::LogIndex::ZERO); // it lives in memory
/// ```
pub fn fold<S, C, R>(state: S, apply: impl Fn(&mut S, C) -> R + Send + 'static) -> Box<dyn StateMachine>
where
    S: Clone + Serialize + DeserializeOwned + Send + 'static,
    C: Serialize + DeserializeOwned + Send + 'static,
    R: Serialize + DeserializeOwned + Send + 'static,
{
    Box::new(Typed::new(Fold { state, apply, types: PhantomData }))
}

struct Fold<S, C, R, F> {
    state: S,
    apply: F,
    /// Takes a command, gives a reply.
    types: PhantomData<fn(C) -> R>,
}

impl<S, C, R, F> TypedStateMachine for Fold<S, C, R, F>
where
    S: Clone + Serialize + DeserializeOwned + Send + 'static,
    C: Serialize + DeserializeOwned + Send + 'static,
    R: Serialize + DeserializeOwned + Send + 'static,
    F: Fn(&mut S, C) -> R + Send + 'static,
{
    type Command = C;
    type Reply = R;
    type Piece = S;

    fn last_applied(&self) -> LogIndex {
        LogIndex::ZERO
    }

    fn apply(&mut self, _index: LogIndex, command: C) -> R {
        (self.apply)(&mut self.state, command)
    }

    fn snapshot(&self) -> Box<dyn Iterator<Item = S> + Send> {
        Box::new(std::iter::once(self.state.clone()))
    }

    fn restore(&mut self, pieces: Vec<S>) -> Result<(), StateMachineError> {
        let found = pieces.len();
        let Ok([state]) = <[S; 1]>::try_from(pieces) else {
            return Err(format!("the snapshot has {found} pieces, expected 1: another program wrote it").into());
        };
        self.state = state;
        Ok(())
    }
}
