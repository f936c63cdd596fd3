//! Snapshots: chunks in table files of their own, which RocksDB takes in whole and lets go whole.
//!
//! A stage writes its tables beside the database; `finish` hands them over, which is durable and still names nothing. The
//! save that publishes a snapshot names its id. Ids are drawn at random and never used again, so a table holds chunks of one
//! snapshot alone, lies below all others, and is removed without being read. Nothing of a snapshot passes through RocksDB's
//! log or its memory, where the log's own syncs would have to wait for it.

pub(crate) mod held;
pub(crate) mod read;
pub(crate) mod registry;
pub(crate) mod stage;
