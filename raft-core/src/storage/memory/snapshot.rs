//! Snapshots on their way in and out of memory.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;

use super::{engine::Opener, group::Content};
use crate::{
    storage::{Result, SnapshotWriter},
    types::{GroupId, SnapshotMeta, SnapshotReader, StagedSnapshot},
};

/// Collects chunks until it is finished; a dropped one leaves nothing behind.
#[derive(Debug)]
pub(super) struct MemoryWriter {
    pub(super) opener: Arc<Opener>,
    pub(super) group: GroupId,
    pub(super) meta: SnapshotMeta,
    pub(super) chunks: Vec<Bytes>,
}

#[async_trait]
impl SnapshotWriter for MemoryWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.opener.disk.lock().check_session(self.opener.session)?;
        self.chunks.push(chunk);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<StagedSnapshot> {
        let content = Content { meta: self.meta.clone(), chunks: self.chunks.into() };
        let mut disk = self.opener.disk.lock();
        let id = disk.next_staged_id();
        let staged = StagedSnapshot { meta: self.meta, size_bytes: content.size_bytes(), id: id.clone() };
        disk.group(self.opener.session, self.group)?.add_staged(id, content);
        Ok(staged)
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

impl Content {
    /// A reader that shares the bytes, so it outlives whatever is published after.
    pub(super) fn reader(&self) -> SnapshotReader {
        SnapshotReader {
            meta: self.meta.clone(),
            size_bytes: self.size_bytes(),
            chunks: Box::pin(Chunks { chunks: Arc::clone(&self.chunks), next: 0 }),
        }
    }
}

struct Chunks {
    chunks: Arc<[Bytes]>,
    next: usize,
}

impl Stream for Chunks {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = self.chunks.get(self.next).cloned();
        self.next += 1;
        Poll::Ready(chunk.map(Ok))
    }
}
