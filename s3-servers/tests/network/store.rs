//! A store over plain memory and a bucket behind an address, with short times.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use eraft_conformance::make::{append, chunks, entries, keep, meta};
use eraft_core::{
    ClusterId, Expected, GroupId, MemoryDisk, MemoryStorage, NodeId, Result, Storage as _, StorageErrorKind,
};
use eraft_s3_servers::Access;
use eraft_storage_s3::{Compression, RetryOptions, S3Options, S3Storage};
use futures_util::StreamExt as _;

/// More than one part, and more than one range.
const CHUNKS: usize = 24;
const CHUNK_BYTES: usize = 512 << 10;

/// Tries that outlast a restart of the server, however busy this machine is.
pub(crate) fn patient() -> RetryOptions {
    RetryOptions {
        attempts: 240,
        first_pause: Duration::from_millis(50),
        longest_pause: Duration::from_secs(1),
        call_timeout: Duration::from_secs(4),
    }
}

/// Tries that are over soon.
pub(crate) fn brief() -> RetryOptions {
    RetryOptions { attempts: 3, longest_pause: Duration::from_millis(100), ..patient() }
}

/// A store whose log goes on, whatever becomes of its bucket.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) store: S3Storage<MemoryStorage>,
    saved: std::sync::atomic::AtomicU64,
}

impl Node {
    /// A blank store in a folder of its own, reached at `address`.
    pub(crate) async fn at(access: &Access, address: SocketAddr, name: &str, retry: RetryOptions) -> Node {
        let disk = MemoryDisk::new(1);
        MemoryStorage::create(&disk, ClusterId(7), NodeId(1)).unwrap();
        let bucket = access.builder().with_endpoint(format!("http://{address}")).build().unwrap();
        let options = S3Options {
            prefix: format!("network-{}/{name}", std::process::id()),
            compression: Compression::None,
            chunk_bytes: 256 << 10,
            part_bytes: 5 << 20,
            read_bytes: 2 << 20,
            retry,
            ..S3Options::default()
        };
        let local = MemoryStorage::open(&disk, Expected::any()).unwrap();
        let store = S3Storage::over(local, GroupId::ZERO, Arc::new(bucket), options).await.unwrap();
        Node { store, saved: 0.into() }
    }

    /// Saves an entry, which nothing in the bucket may hold up.
    pub(crate) async fn save(&self) {
        let next = self.saved.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let save = self.store.save_raft_state(append(entries(1, next, next)));
        tokio::time::timeout(Duration::from_secs(5), save).await.expect("a save waits for no bucket").unwrap();
    }

    /// Stages and publishes a snapshot of all that is saved.
    pub(crate) async fn publish(&self) -> Result<()> {
        self.save().await;
        let index = self.saved.load(std::sync::atomic::Ordering::Relaxed);
        let mut writer = self.store.stage_snapshot(meta(1, index)).await?;
        for chunk in content(index) {
            writer.write(chunk).await?;
        }
        let staged = writer.finish().await?;
        self.store.save_state_and_snapshot(keep(), staged).await
    }

    /// Reads the published snapshot, each byte held against what was put in.
    pub(crate) async fn read(&self) -> Result<()> {
        let mut reader = self.store.read_snapshot().await?.expect("one is published");
        let (right, mut got) = (content(reader.meta.last.index.0).concat(), Vec::new());
        while let Some(chunk) = reader.chunks.next().await {
            got.extend_from_slice(&chunk?);
            assert!(right.starts_with(&got), "a wrong byte among the first {}", got.len());
        }
        assert_eq!(got.len(), right.len(), "it ends too early, and without an error");
        Ok(())
    }
}

/// Unavailable is all that a bucket that is away may be.
pub(crate) fn assert_away(outcome: Result<()>) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unavailable, "{error}");
}

fn content(index: u64) -> Vec<Bytes> {
    chunks(index, CHUNKS, CHUNK_BYTES)
}
