//! Snapshot files: staged beside the log, published by a record of the log, read in verified chunks.
//!
//! A snapshot file is written once, under a name that is never used again, and durable before a record may name it. So
//! the record is the only commit point: a file that no published state names is an abandoned stage, whatever it holds.

pub(crate) mod file;
pub(crate) mod format;
pub(crate) mod read;
pub(crate) mod registry;
pub(crate) mod stage;
