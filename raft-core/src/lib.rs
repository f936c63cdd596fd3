//! The pure heart of eRaft: the types, the consensus logic, and the three ports it needs from the world.
//!
//! Nothing here reads a clock, a disk, a socket or a source of randomness, and nothing starts a thread: time and
//! randomness come in as values, and everything to be done goes out as values. That is what lets whole clusters be
//! driven step by step under one seed.
//!
//! - [`Raft`] is the consensus logic of the Raft paper: events go in through [`Raft::step`], everything to be done comes
//!   out of [`Raft::ready`].
//! - [`Storage`] keeps the state, the log and the snapshots; what its [`Receipt`]s say is durable, is.
//! - [`Transport`] carries [`Message`]s, at best effort; an [`Inbox`] takes those that arrive.
//! - [`StateMachine`] is what the user replicates.

pub mod codec;
mod consensus;
mod message;
mod state_machine;
mod storage;
mod transport;
mod types;

pub use consensus::*;
pub use message::*;
pub use state_machine::*;
pub use storage::*;
pub use transport::*;
pub use types::*;
