//! Snapshots on their way to a peer, and from one.
//!
//! Each travels on an RPC and a connection of its own: on a shared one, a heartbeat would wait for the snapshot's bytes
//! that were written before it, and for room in the window that they share. It may assume that messages
//! go on meanwhile. It must never hold more than a few chunks in memory, and never let a part pass for the whole: only
//! the end mark, with length and checksum of all that came, completes a snapshot.

pub(crate) mod parts;
mod receiver;
mod sender;

pub(crate) use receiver::take;
pub(crate) use sender::Sender;
