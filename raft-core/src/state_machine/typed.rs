//! The typed adapter: a state machine of serde types, for users who would rather not see bytes.
//!
//! It sits at the edge: the core and the log carry opaque bytes all the same. Whatever the bytes of a committed command
//! are, every replica must go the same way, so a command that cannot be decoded is answered, never an error: an error
//! would end every node of the cluster, one restart after the other.

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{SnapshotStream, StateMachine, StateMachineError, pieces};
use crate::{
    codec::{self, DecodeError, EncodeError},
    types::{Entry, EntryKind, LogIndex, SnapshotReader},
};

/// A state machine whose commands and replies are types; [`Typed`] makes a [`StateMachine`] of it.
pub trait TypedStateMachine: Send + 'static {
    /// What clients ask for.
    type Command: Serialize + DeserializeOwned + Send;
    /// What they are answered.
    type Reply: Serialize + DeserializeOwned + Send;
    /// What a snapshot consists of: the whole state where it is small; where it is large, one of many parts of it, each
    /// of which is encoded in memory when its turn comes.
    type Piece: Serialize + DeserializeOwned + Send + 'static;

    /// The last entry whose effect the state holds when it starts; 0 for one that lives in memory. Asked once.
    fn last_applied(&self) -> LogIndex;

    /// Applies one committed command and answers it. It must do the same on every replica: no clock, no randomness,
    /// nothing from outside. What is wrong with the command is a reply, too.
    fn apply(&mut self, index: LogIndex, command: Self::Command) -> Self::Reply;

    /// The state as it is now, in pieces. Nothing is applied until this returns, so it only captures a view, quickly: of
    /// a large state, shared parts that are copied when they are written to next.
    fn snapshot(&self) -> Box<dyn Iterator<Item = Self::Piece> + Send>;

    /// A snapshot is about to be read that replaces the state. A large machine drops its state here, so that memory never
    /// holds the old one and the new one; from then until `restore` returns, whoever reads it beside the node has to wait.
    /// By default the old state stays until the new one is there.
    fn give_up(&mut self) {}

    /// Replaces the state by the one that these pieces were taken of, in their order. Whoever reads it beside the node
    /// must see the old one (unless it was given up) or the new one, nothing between.
    ///
    /// # Errors
    /// If they are none of this machine's; the node ends.
    fn restore(&mut self, pieces: Vec<Self::Piece>) -> Result<(), StateMachineError>;
}

/// A [`TypedStateMachine`] as the [`StateMachine`] that a node runs.
///
/// ```
/// use eraft_core::{
///     Entry, LogIndex, StateMachine, StateMachineError, Term, Typed, TypedStateMachine, decode_reply, encode_command,
/// };
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum Command {
///     Add(u64),
/// }
///
/// struct Counter(u64);
///
/// impl TypedStateMachine for Counter {
///     type Command = Command;
///     type Reply = u64;
///     type Piece = u64;
///
///     fn last_applied(&self) -> LogIndex {
///         LogIndex::ZERO // it lives in memory
///     }
///
///     fn apply(&mut self, _index: LogIndex, Command::Add(more): Command) -> u64 {
///         self.0 = self.0.wrapping_add(more);
///         self.0
///     }
///
///     fn snapshot(&self) -> Box<dyn Iterator<Item = u64> + Send> {
///         Box::new(std::iter::once(self.0))
///     }
///
///     fn restore(&mut self, pieces: Vec<u64>) -> Result<(), StateMachineError> {
///         self.0 = pieces.into_iter().sum();
///         Ok(())
///     }
/// }
///
/// # futures_util::FutureExt::now_or_never(async {
/// let mut machine = Typed::new(Counter(0));
/// let payload = encode_command(&Command::Add(5))?; // what `Node::propose` takes
/// let replies = machine.apply(vec![Entry::command(Term(1), LogIndex(1), payload)]).await?;
/// assert_eq!(decode_reply::<u64>(&replies[0])?, 5); // what `Node::propose` answers
/// # Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
/// # }).unwrap().unwrap();
/// ```
#[derive(Debug)]
pub struct Typed<M> {
    machine: M,
    last_applied: LogIndex,
}

/// A reply on its way: the machine's own, or why there is none. The same bytes on every replica.
#[derive(Serialize, Deserialize)]
enum Answer<R> {
    Reply(R),
    NotACommand,
    ReplyNotEncodable,
}

/// Why [`decode_reply`] finds no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The command that was committed is none of the state machine's: it had no effect.
    #[error("the committed command could not be decoded and had no effect: propose what encode_command makes")]
    NotACommand,
    /// The command took effect, but its reply refuses to be serialised.
    #[error("the command took effect, but its reply cannot be encoded: mend the reply's Serialize")]
    ReplyNotEncodable,
    /// The bytes are no answer of a typed state machine, or one of other types.
    #[error("not a reply of this type: {0}")]
    Malformed(#[from] DecodeError),
}

/// The bytes to propose for `command`.
///
/// # Errors
/// What the command's own `Serialize` answers.
pub fn encode_command<C: Serialize>(command: &C) -> Result<Bytes, EncodeError> {
    codec::try_encode(command)
}

/// The reply within what `propose` answered.
///
/// # Errors
/// See [`ReplyError`].
pub fn decode_reply<R: DeserializeOwned>(bytes: &[u8]) -> Result<R, ReplyError> {
    match codec::decode(bytes)? {
        Answer::Reply(reply) => Ok(reply),
        Answer::NotACommand => Err(ReplyError::NotACommand),
        Answer::ReplyNotEncodable => Err(ReplyError::ReplyNotEncodable),
    }
}

impl<M: TypedStateMachine> Typed<M> {
    /// Wraps `machine`.
    pub fn new(machine: M) -> Typed<M> {
        Typed { last_applied: machine.last_applied(), machine }
    }

    fn answer(&mut self, entry: &Entry) -> Bytes {
        let answer = match codec::decode::<M::Command>(&entry.payload) {
            Ok(command) => Answer::Reply(self.machine.apply(entry.index, command)),
            Err(_told_by_the_answer) => Answer::NotACommand,
        };
        codec::try_encode(&answer).unwrap_or_else(|_unencodable| codec::encode(&Answer::<()>::ReplyNotEncodable))
    }
}

#[async_trait]
impl<M: TypedStateMachine> StateMachine for Typed<M> {
    fn last_applied(&self) -> LogIndex {
        self.last_applied
    }

    async fn apply(&mut self, entries: Vec<Entry>) -> Result<Vec<Bytes>, StateMachineError> {
        let replies = entries.iter().map(|entry| {
            self.last_applied = entry.index;
            match entry.kind {
                EntryKind::Command => self.answer(entry),
                EntryKind::Noop | EntryKind::Config => Bytes::new(),
            }
        });
        Ok(replies.collect())
    }

    async fn snapshot(&mut self) -> Result<SnapshotStream, StateMachineError> {
        Ok(pieces::encode(self.machine.snapshot()))
    }

    async fn restore(&mut self, snapshot: SnapshotReader) -> Result<(), StateMachineError> {
        let last = snapshot.meta.last.index;
        self.machine.give_up();
        self.machine.restore(pieces::decode(snapshot).await?)?;
        self.last_applied = last;
        Ok(())
    }
}
