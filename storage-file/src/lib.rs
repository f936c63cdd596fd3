//! eRaft storage on plain files: a segmented write-ahead log, and snapshot files beside it.
//!
//! [`FileStorage`] keeps one Raft group; [`FileEngine`] keeps many in one log, with one sync for all. What they promise
//! is the contract of [`eraft_core::Storage`]; how the bytes lie is drawn in docs/FORMAT.md.
//!
//! A batch of saves is one checksummed *frame* in a *segment* of fixed length, whose blocks are all written beforehand,
//! so that a data sync touches no metadata of the file system. The modules, from the bottom up:
//!
//! - [`fs`]: the one door to the file system, with a real and a simulated disk behind it;
//! - `segment`: bytes, frames and records; `index`: where each entry stands; `read`: entries, verified;
//! - `snapshot`: staging, publishing and reading snapshot files;
//! - `engine`: creating, recovering, repairing and writing the log; `storage`: the port.

mod engine;
mod error;
pub mod fs;
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod metrics;
mod options;
mod paths;
mod read;
mod segment;
mod snapshot;
mod storage;

pub use engine::FileEngine;
pub use metrics::metrics;
pub use options::FileOptions;
pub use storage::FileStorage;
