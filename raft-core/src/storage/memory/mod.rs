//! The reference storage: the whole contract in memory, and nothing beyond it.
//!
//! It is the model that other backends are checked against, and what tests of nodes run on. A [`MemoryDisk`] stands for
//! the directory of a real backend: it outlives its openers, so that opening again, the lock and the identity behave as
//! they do on a disk. Every save goes through [`RaftState::apply`](crate::RaftState::apply), which holds the rules; this
//! module must never add one of its own. It keeps nothing when the process ends, and says so by its name.

mod disk;
mod engine;
mod group;
mod snapshot;
mod store;

pub use disk::MemoryDisk;
pub use engine::MemoryEngine;
pub use store::MemoryStorage;
