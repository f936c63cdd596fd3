//! From a stream into a stage, a bounded chunk at a time.

use std::fmt;

use bytes::Bytes;
use eraft_core::{SnapshotMeta, SnapshotWriter, Storage, StorageError};
use futures_util::{Stream, StreamExt};
use tracing::warn;

/// Why nothing is staged.
#[derive(Debug)]
pub(super) enum NotStaged<E> {
    /// The stream that it was made of ended in this.
    Source(E),
    /// The store could not take it.
    Storage(StorageError),
}

impl<E: fmt::Display> fmt::Display for NotStaged<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotStaged::Source(error) => write!(f, "its bytes ended too soon: {error}"),
            NotStaged::Storage(error) => write!(f, "it cannot be stored: {error}"),
        }
    }
}

/// Writes all of `chunks` into a stage, which still has to be finished, and counts its bytes. After an error nothing is
/// left of it.
pub(super) async fn write<E>(
    storage: &dyn Storage,
    meta: SnapshotMeta,
    mut chunks: impl Stream<Item = Result<Bytes, E>> + Unpin,
    max_chunk_bytes: usize,
) -> Result<(Box<dyn SnapshotWriter>, u64), NotStaged<E>> {
    let mut writer = storage.stage_snapshot(meta).await.map_err(NotStaged::Storage)?;
    let mut size_bytes = 0;
    loop {
        let failed = match chunks.next().await {
            None => return Ok((writer, size_bytes)),
            Some(Err(error)) => NotStaged::Source(error),
            Some(Ok(chunk)) => {
                size_bytes += chunk.len() as u64;
                match write_chunk(writer.as_mut(), chunk, max_chunk_bytes).await {
                    Ok(()) => continue,
                    Err(error) => NotStaged::Storage(error),
                }
            }
        };
        abort(writer).await;
        return Err(failed);
    }
}

/// Removes what was written.
pub(super) async fn abort(writer: Box<dyn SnapshotWriter>) {
    if let Err(error) = writer.abort().await {
        warn!(%error, "what was written of a snapshot is not removed before the store is opened again");
    }
}

async fn write_chunk(writer: &mut dyn SnapshotWriter, mut chunk: Bytes, max_bytes: usize) -> Result<(), StorageError> {
    while !chunk.is_empty() {
        writer.write(chunk.split_to(chunk.len().min(max_bytes))).await?;
        // Neither the state machine's stream nor the store need ever wait; the loop must have its turn all the same.
        tokio::task::coop::consume_budget().await;
    }
    Ok(())
}
