//! Snapshots on their way in and out, chunk by chunk under the plan.

use async_trait::async_trait;
use bytes::Bytes;
use eraft_core::{Result, SnapshotReader, SnapshotWriter, StagedSnapshot};
use futures_util::StreamExt as _;

use super::plan::{Faults, Method};

/// A stage that counts as long as it exists.
pub(super) struct Writer {
    inner: Option<Box<dyn SnapshotWriter>>,
    faults: Faults,
}

impl Writer {
    pub(super) fn over(inner: Box<dyn SnapshotWriter>, faults: Faults) -> Writer {
        faults.stage_begins();
        Writer { inner: Some(inner), faults }
    }
}

#[async_trait]
impl SnapshotWriter for Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        let met = self.faults.pass(Method::WriteChunk).await?;
        let inner = self.inner.as_mut().expect("it lives until it is finished or aborted");
        inner.write(chunk).await.and_then(|()| met.done(()))
    }

    async fn finish(mut self: Box<Self>) -> Result<StagedSnapshot> {
        let met = self.faults.pass(Method::Finish).await?;
        let staged = self.inner.take().expect("it is finished once").finish().await;
        let staged = staged.and_then(|staged| met.done(staged));
        if staged.is_err() {
            self.faults.stage_ends();
        }
        staged
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.faults.stage_ends();
        self.inner.take().expect("it is aborted once").abort().await
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.inner.is_some() {
            self.faults.stage_ends();
        }
    }
}

/// A reader whose chunks are counted, held up and failed.
pub(super) fn read(reader: SnapshotReader, faults: Faults) -> SnapshotReader {
    let chunks = reader.chunks.then(move |chunk| {
        let faults = faults.clone();
        async move { faults.pass(Method::ReadChunk).await.and_then(|met| met.done(chunk?)) }
    });
    SnapshotReader { chunks: chunks.boxed(), ..reader }
}
