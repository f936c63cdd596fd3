//! A backend on redb, an embedded key-value store: one database in one file, one write transaction for each batch of saves.
//!
//! Read from the bottom up: `tables` (what stands where, and how a value is verified), `place` (creating and opening the
//! file), `writer` (a batch becomes a transaction), `stage` (snapshots in and out), `storage` (the port), `engine` (all of
//! it, open).
//!
//! It may assume that whoever hands it the file holds the file's lock until `StorageBackend::close`. It must never answer a
//! save before redb's commit has returned, and never show after an opening what a power cut could still take back.

mod engine;
mod place;
mod stage;
mod storage;
mod tables;
mod writer;

pub(crate) use engine::RedbEngine;
