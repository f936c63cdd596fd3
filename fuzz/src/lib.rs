//! The fuzz targets: one function for each decoder, which takes any bytes at all.
//!
//! A target demands more than that nothing panics. Decoding may take no more memory than the target states for an input of
//! that length ([`memory`]), and what decodes must encode to something that decodes to an equal value. Where checksums
//! stand in the way, the input describes what they cover, and the target puts true ones in; so mutations reach what lies
//! behind them.
//!
//! libFuzzer runs the targets through `fuzz_targets/`; the root workspace's `tests/decoders.rs` includes this very file
//! and runs them over the seeds and some thousand mutations, so that they never rot. Nothing in here may depend on
//! anything but the input.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    reason = "a test"
)]

mod directory;
mod example;
mod input;
mod kv;
pub mod memory;
mod metadata;
mod peer;
#[cfg(feature = "rocksdb")]
mod rocksdb_log;
#[cfg(feature = "rocksdb")]
mod rocksdb_seeds;
#[cfg(feature = "rocksdb")]
mod rocksdb_values;
pub mod seeds;
mod segment;
mod snapshot_file;

pub use kv::{command, pieces, request};
pub use metadata::{metadata, record};
pub use peer::{message, snapshot_stream};
#[cfg(feature = "rocksdb")]
pub use rocksdb_log::rocksdb_log;
#[cfg(feature = "rocksdb")]
pub use rocksdb_values::{rocksdb_rows, rocksdb_value};
pub use segment::segment;
pub use snapshot_file::snapshot_file;

/// Takes any bytes, and says whether they decoded.
pub type Target = fn(&[u8]) -> bool;

/// Every target by the name of its binary.
pub const TARGETS: &[(&str, Target)] = &[
    ("segment", segment),
    ("record", record),
    ("snapshot_file", snapshot_file),
    ("metadata", metadata),
    ("message", message),
    ("snapshot_stream", snapshot_stream),
    ("request", request),
    ("command", command),
    ("pieces", pieces),
    #[cfg(feature = "rocksdb")]
    ("rocksdb_log", rocksdb_log),
    #[cfg(feature = "rocksdb")]
    ("rocksdb_value", rocksdb_value),
    #[cfg(feature = "rocksdb")]
    ("rocksdb_rows", rocksdb_rows),
];
