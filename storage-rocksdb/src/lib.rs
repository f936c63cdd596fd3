//! eRaft storage on RocksDB: column families for state, log and snapshots.
//!
//! [`RocksStorage`] keeps one Raft group; [`RocksEngine`] keeps many in one database, with one sync for all. What they
//! promise is the contract of [`eraft_core::Storage`]; how keys and values lie is drawn in docs/FORMAT.md.
//!
//! A batch of saves is one synced `WriteBatch`. A snapshot never passes through RocksDB's log: its chunks are written to
//! table files of their own, which are taken into the database when it is complete, and leave it as files when it is
//! replaced. The modules, from the bottom up:
//!
//! - `files`: what this backend does to files itself; `paths`: their names; `error`: what RocksDB says, as what to do;
//! - `keys` and `values`: how things stand in the column families; `rows`: a group's state as rows;
//! - `database`: RocksDB with the options that the promises rest on;
//! - `recovery`: what is judged before RocksDB may open, since its own judgement is not ours;
//! - `snapshot`: staging, publishing and reading snapshots;
//! - `engine`: creating, opening and writing; `read`: entries, verified; `storage`: the port.

mod database;
mod engine;
mod error;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod keys;
mod metrics;
mod options;
mod paths;
mod read;
mod recovery;
mod rows;
mod snapshot;
mod storage;
mod values;

pub use engine::RocksEngine;
pub use metrics::metrics;
pub use options::{Compression, Family, RocksOptions, Tune};
/// The crate that this backend is built on, for [`RocksOptions::tune`].
pub use rocksdb;
pub use storage::RocksStorage;
