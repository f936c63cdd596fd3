//! Snapshots: what they stand for, and how they are handed around without being held in memory.

use std::fmt;

use bytes::Bytes;
use futures_core::stream::BoxStream;
use serde::{Deserialize, Serialize};

use super::{ConfState, EntryId};
use crate::storage::Result;

/// What a snapshot replaces: every entry up to and including `last`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotMeta {
    /// The last entry whose effect the snapshot holds.
    pub last: EntryId,
    /// The configuration as of that entry.
    pub conf_state: ConfState,
}

/// A snapshot that is durable but not yet visible: it becomes *the* snapshot when a save publishes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedSnapshot {
    /// What it stands for.
    pub meta: SnapshotMeta,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// The backend's own name for it; opaque, and never made from a peer's text.
    pub id: String,
}

/// The published snapshot, streamed; it stays readable when a newer one is published meanwhile.
pub struct SnapshotReader {
    /// What it stands for.
    pub meta: SnapshotMeta,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Its bytes in order, each chunk verified before it is handed out. An error ends the stream.
    pub chunks: BoxStream<'static, Result<Bytes>>,
}

impl fmt::Debug for SnapshotReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotReader").field("meta", &self.meta).field("size_bytes", &self.size_bytes).finish()
    }
}
