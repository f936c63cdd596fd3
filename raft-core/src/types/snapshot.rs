//! Snapshots: what they stand for, and how they are handed around without being held in memory.

use std::fmt;

use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use super::{ConfState, EntryId};
use crate::storage::{Result, StorageError, StorageErrorKind};

/// What a snapshot replaces: every entry up to and including `last`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotMeta {
    /// The last entry whose effect the snapshot holds.
    pub last: EntryId,
    /// The configuration as of that entry.
    pub conf_state: ConfState,
}

/// A snapshot that is durable but not yet visible: it becomes *the* snapshot when a save publishes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedSnapshot {
    /// What it stands for.
    pub meta: SnapshotMeta,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// The backend's own name for it; opaque, never made from a peer's text, and given once between two opens.
    pub id: String,
}

/// The published snapshot, streamed; it stays readable when a newer one is published meanwhile.
pub struct SnapshotReader {
    /// What it stands for.
    pub meta: SnapshotMeta,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Its bytes in order, each chunk of 4 MiB at most and verified before it is handed out. An error ends the stream.
    pub chunks: BoxStream<'static, Result<Bytes>>,
}

impl SnapshotReader {
    /// All of its bytes: for a state that is small.
    ///
    /// # Errors
    /// What the stream meets; `Corrupt` where it is shorter or longer than `size_bytes`.
    pub async fn read_all(mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunks.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        if bytes.len() as u64 != self.size_bytes {
            let detail = format!("it should have {} bytes and has {}", self.size_bytes, bytes.len());
            return Err(StorageError::new(StorageErrorKind::Corrupt, "reading a snapshot", detail));
        }
        Ok(bytes)
    }
}

impl fmt::Debug for SnapshotReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotReader").field("meta", &self.meta).field("size_bytes", &self.size_bytes).finish()
    }
}
