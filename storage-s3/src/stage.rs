//! Staging: a snapshot on its way into the bucket, and its manifest into the local store.
//!
//! The order in [`Stage::finish`] is what makes a manifest believable: the object is whole, then verified, then described by
//! the copy beside it, and only then, where the folder still is this store's, by the local store's own stage. A crash between
//! any two of these leaves objects that nothing names. Failing, aborting and dropping remove what was begun.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use eraft_core::{Result, SnapshotMeta, SnapshotWriter, StagedSnapshot, StorageError, StorageErrorKind};
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use xxhash_rust::xxh3::Xxh3;

use crate::{
    VerifyUpload,
    compression::{aside, compress},
    content,
    digest::Digest,
    download,
    in_use::Hold,
    manifest::{Chunk, MAX_CHUNKS, Manifest},
    stages::Uploaded,
    storage::Shared,
    upload::Upload,
};

const DURING: &str = "staging a snapshot";
/// How much of a manifest the local store is given at once.
const LOCAL_WRITE_BYTES: usize = 1 << 20;

/// A snapshot that is being uploaded.
pub(crate) struct Stage {
    shared: Arc<Shared>,
    local: Box<dyn SnapshotWriter>,
    upload: Upload,
    hold: Hold,
    meta: SnapshotMeta,
    gathered: BytesMut,
    whole: Xxh3,
    size_bytes: u64,
    chunks: Vec<Chunk>,
    /// A write is under way, was given up half-way, or failed: what follows would not join on.
    broken: bool,
}

impl Stage {
    pub(crate) fn new(shared: Arc<Shared>, local: Box<dyn SnapshotWriter>, meta: SnapshotMeta, epoch: u64) -> Stage {
        let names = shared.folder.names(epoch, meta.last, shared.client.draw());
        // Before anything is written under the name.
        let hold = shared.in_use.hold(names.object.clone());
        let upload = Upload::new(shared.client.clone(), names, shared.options.clone());
        Stage {
            shared,
            local,
            upload,
            hold,
            meta,
            gathered: BytesMut::new(),
            whole: Xxh3::new(),
            size_bytes: 0,
            chunks: Vec::new(),
            broken: false,
        }
    }

    /// Compresses what was gathered, and hands it to the upload.
    async fn flush(&mut self) -> Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        if self.chunks.len() == MAX_CHUNKS {
            return Err(StorageError::invalid(format!(
                "a snapshot of more than {MAX_CHUNKS} chunks: choose a larger chunk_bytes"
            )));
        }
        let next = BytesMut::with_capacity(self.shared.options.chunk_bytes as usize);
        let plain = std::mem::replace(&mut self.gathered, next).freeze();
        self.whole.update(&plain);
        let (compression, plain_bytes) = (self.shared.options.compression, length(&plain)?);
        let work = move || (Digest::of(&plain), compress(compression, plain));
        let (digest, stored) = aside(&self.shared.client.runtime, compression, work).await?;
        self.chunks.push(Chunk { plain_bytes, stored_bytes: length(&stored)?, digest });
        self.upload.push(stored).await
    }

    async fn take(&mut self, mut bytes: Bytes) -> Result<()> {
        let chunk_bytes = self.shared.options.chunk_bytes as usize;
        while !bytes.is_empty() {
            let room = chunk_bytes - self.gathered.len();
            let taken = bytes.split_to(room.min(bytes.len()));
            self.size_bytes += taken.len() as u64;
            // Copied, so that what waits here is bounded, whatever larger buffer the caller's bytes are a part of.
            self.gathered.extend_from_slice(&taken);
            if self.gathered.len() == chunk_bytes {
                self.flush().await?;
            }
        }
        Ok(())
    }

    fn manifest(&mut self) -> Manifest {
        let identity = self.shared.identity;
        Manifest {
            object: self.upload.names().object.to_string(),
            cluster: identity.cluster,
            node: identity.node,
            store: identity.store,
            group: self.shared.group,
            meta: self.meta.clone(),
            size_bytes: self.size_bytes,
            digest: Digest::of_all(&self.whole),
            compression: self.shared.options.compression,
            chunks: std::mem::take(&mut self.chunks),
        }
    }

    /// Everything up to the local store's stage.
    async fn settle(&mut self) -> Result<Bytes> {
        self.flush().await?;
        self.upload.complete().await?;
        let manifest = Arc::new(self.manifest());
        let content = content::encode(&manifest)?;
        let (shared, object) = (Arc::clone(&self.shared), self.upload.names().object.clone());
        verify(&shared, &object, manifest).await?;
        self.upload.describe(content.clone()).await?;
        // Last of all: whoever took the folder before this has read everything that this store will ever name.
        self.shared.within(|shared| async move { shared.owner.check().await }).await?;
        Ok(content)
    }

    fn check_whole(&self) -> Result<()> {
        if self.broken {
            return Err(refused("an earlier write of this stage failed or was given up: stage it anew".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl SnapshotWriter for Stage {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.check_whole()?;
        // Stays set where this fails, or the caller drops the future half-way.
        self.broken = true;
        let taken = self.take(chunk).await;
        self.shared.outage.step(taken)?;
        self.broken = false;
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<StagedSnapshot> {
        self.check_whole()?;
        let settled = self.settle().await;
        let mut content = self.shared.outage.step(settled)?;
        let Stage { shared, mut local, upload, hold, size_bytes, .. } = *self;
        while !content.is_empty() {
            local.write(content.split_to(content.len().min(LOCAL_WRITE_BYTES))).await?;
        }
        let local = local.finish().await?;
        let (names, late, hold) = (upload.names().clone(), upload.is_late(), Arc::new(hold));
        let staged = shared.stages.add(local, size_bytes, Some(Uploaded { names, late, hold }));
        upload.keep();
        shared.client.told.staged();
        shared.outage.is_over();
        Ok(staged)
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let Stage { local, upload, .. } = *self;
        let aborted = local.abort().await;
        upload.remove().await;
        aborted
    }
}

/// Asks the bucket what it has, before anything names it.
async fn verify(shared: &Shared, object: &Path, manifest: Arc<Manifest>) -> Result<()> {
    let client = &shared.client;
    let verified = match shared.options.verify {
        // Of nothing, nothing would be read.
        VerifyUpload::ReadBack if !manifest.chunks.is_empty() => {
            let chunks = download::chunks(client.clone(), manifest, &shared.options);
            chunks.try_for_each(|_chunk| async { Ok(()) }).await
        }
        VerifyUpload::ReadBack | VerifyUpload::Length => {
            let (asking, path) = (client.clone(), object.clone());
            let found = client.start(async move { asking.size_bytes(&path).await }).await.and_then(|found| found);
            match found {
                Ok(found) if found == manifest.stored_bytes() => Ok(()),
                Ok(found) => Err(refused(format!("it has {found} bytes, expected {}", manifest.stored_bytes()))),
                Err(failure) => Err(failure.unavailable(DURING, object)),
            }
        }
    };
    verified.map_err(|error| {
        client.told.refused_upload();
        // Whatever it is, nothing that is published is in doubt: the snapshot is taken again.
        refused(format!("{object}: what was uploaded cannot be verified: {error}"))
    })
}

fn refused(detail: String) -> StorageError {
    StorageError::new(StorageErrorKind::Unavailable, DURING, detail)
}

fn length(bytes: &Bytes) -> Result<u32> {
    u32::try_from(bytes.len()).map_err(|_| StorageError::invalid("a chunk of more than 4 GiB"))
}
