//! A snapshot that is kept in the local store, as it comes, while the bucket is away.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use eraft_core::{Result, SnapshotWriter, StagedSnapshot};

use crate::{content, storage::Shared};

/// A snapshot on its way into the local store.
pub(crate) struct InlineStage {
    shared: Arc<Shared>,
    local: Box<dyn SnapshotWriter>,
    size_bytes: u64,
}

impl InlineStage {
    pub(crate) async fn begin(shared: Arc<Shared>, mut local: Box<dyn SnapshotWriter>) -> Result<InlineStage> {
        local.write(content::inline_head()).await?;
        Ok(InlineStage { shared, local, size_bytes: 0 })
    }
}

#[async_trait]
impl SnapshotWriter for InlineStage {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.size_bytes += chunk.len() as u64;
        self.local.write(chunk).await
    }

    async fn finish(self: Box<Self>) -> Result<StagedSnapshot> {
        let InlineStage { shared, local, size_bytes } = *self;
        let staged = local.finish().await?;
        shared.client.told.kept_here();
        Ok(shared.stages.add(staged, size_bytes, None))
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.local.abort().await
    }
}
