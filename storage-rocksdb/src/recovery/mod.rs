//! What is judged before RocksDB may open, since it draws the line between a torn tail and damage elsewhere than we do.
//!
//! - `identity`: whose store it is, in a file beside the database and in the database: one without the other is damage;
//! - `seal`: what the files were like when the store was closed;
//! - `log`: RocksDB's log and its manifest, record by record: a bad record that a good one follows is damage, and a bad
//!   last one is a torn tail, which is cut off;
//! - `tables` and `missed`: which tables the manifest names, and those that RocksDB has removed although it does.
//!
//! What the log is read by: `scan`, record by record; `sums`, checksums of many ranges at once; `edits`, what the manifest
//! writes under one sync.
//!
//! Nothing here changes a byte before everything that may refuse has been asked.

mod edits;
pub(crate) mod identity;
pub(crate) mod log;
pub(crate) mod missed;
pub(crate) mod scan;
pub(crate) mod seal;
mod sums;
pub(crate) mod tables;
