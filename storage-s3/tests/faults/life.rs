//! A life of a store over a faulty bucket: snapshots that are published, read, replaced under a reader, discarded, given up,
//! aborted, with saves in between, and an opening at the end.
//!
//! What needs the bucket may fail, and is written down. What does not must never fail: a save, an opening, and what the state
//! says. No byte that a reader hands on may be wrong, not even before an error.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use eraft_conformance::make::{append, chunks, entries, meta};
use eraft_core::{
    ClusterId, EntryId, Expected, GroupId, LogChange, LogIndex, MemoryDisk, MemoryStorage, NodeId, RaftStateUpdate,
    Result, SnapshotReader, StagedSnapshot, Storage as _, Term,
};
use eraft_storage_s3::{CollectOptions, Compression, RetryOptions, S3Options, S3Storage};
use futures_util::StreamExt as _;
use object_store::memory::InMemory;

use crate::bucket::FaultyObjectStore;

pub(crate) type Store = S3Storage<MemoryStorage>;

/// Of a snapshot that goes up in parts.
pub(crate) const LARGE: usize = 12;
/// Of one that goes up by one call.
pub(crate) const SMALL: usize = 2;
const CHUNK_BYTES: usize = 1_500;
const TERM: u64 = 1;

/// A node's disk, which is sound, and its bucket, which is not.
#[derive(Debug)]
pub(crate) struct World {
    disk: MemoryDisk,
    pub(crate) bucket: Arc<FaultyObjectStore<InMemory>>,
    seed: u64,
    openings: AtomicU64,
    inline_over_bytes: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let disk = MemoryDisk::new(seed);
        MemoryStorage::create(&disk, ClusterId(7), NodeId(1)).unwrap();
        World {
            disk,
            bucket: Arc::new(FaultyObjectStore::over(InMemory::new(), seed)),
            seed,
            openings: AtomicU64::new(0),
            inline_over_bytes: u64::MAX,
        }
    }

    /// Where no log waits for a bucket that is away.
    pub(crate) fn impatient(seed: u64) -> World {
        World { inline_over_bytes: 0, ..World::new(seed) }
    }

    /// Opens the store, for which no bucket is needed.
    pub(crate) async fn open(&self) -> Store {
        let local = MemoryStorage::open(&self.disk, Expected::any()).unwrap();
        S3Storage::over(local, GroupId::ZERO, self.bucket.clone(), self.options()).await.unwrap()
    }

    /// Several parts and several ranges to a snapshot of some kB.
    fn options(&self) -> S3Options {
        S3Options {
            prefix: "raft".to_owned(),
            compression: Compression::Lz4,
            chunk_bytes: 1 << 10,
            part_bytes: 4 << 10,
            parts_in_flight: 2,
            read_bytes: 3 << 10,
            reads_in_flight: 2,
            inline_over_bytes: self.inline_over_bytes,
            retry: RetryOptions { call_timeout: Duration::from_secs(30), ..RetryOptions::default() },
            // The collector is at work all the while, and nothing is kept for its age.
            collect: CollectOptions {
                keep_last: 1,
                keep_younger: Duration::ZERO,
                grace: Duration::ZERO,
                every: Duration::from_secs(1),
            },
            // Stores that share a seed would name objects alike.
            seed: Some(self.seed.rotate_left(32) ^ self.openings.fetch_add(1, Ordering::Relaxed)),
            ..S3Options::default()
        }
    }
}

/// What was done, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// Every step that needed the bucket.
    pub(crate) steps: Vec<Step>,
    /// Every snapshot that was ever published, by its last index.
    pub(crate) published: Vec<u64>,
    /// The last index that was acknowledged.
    saved: u64,
}

#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// The first request that is this step's.
    pub(crate) from: usize,
    pub(crate) outcome: Result<()>,
}

/// Lives a life from a blank store to its second opening.
pub(crate) async fn live(world: &World) -> Life {
    let mut life = Life::default();
    let store = world.open().await;
    life.publish(world, &store, "publish in parts", LARGE).await;
    life.read(world, &store, "read").await;
    life.discard(world, &store).await;
    life.replace_under_a_reader(world, &store).await;
    life.give_up(world, &store).await;
    life.abort(world, &store).await;
    life.publish(world, &store, "publish in parts again", LARGE).await;
    store.close().await.unwrap();
    drop(store);
    let store = world.open().await;
    life.check_state(&store).await;
    life.read(world, &store, "read after opening").await;
    life
}

impl Life {
    /// The life that goes on where this one ends.
    pub(crate) fn go_on(&self) -> Life {
        Life { steps: Vec::new(), published: self.published.clone(), saved: self.saved }
    }

    /// Saves one entry, which never waits for the bucket.
    async fn save(&mut self, store: &Store) {
        store.save_raft_state(append(entries(TERM, self.saved + 1, self.saved + 1))).await.unwrap();
        self.saved += 1;
    }

    /// Stages, finishes and publishes a snapshot of all that is saved; the log goes on all the while.
    pub(crate) async fn publish(&mut self, world: &World, store: &Store, name: &'static str, count: usize) {
        let from = world.bucket.faults().calls().len();
        let outcome = self.try_publish(store, count).await;
        self.steps.push(Step { name, from, outcome });
    }

    async fn try_publish(&mut self, store: &Store, count: usize) -> Result<()> {
        let staged = self.stage(store, count).await?;
        let index = staged.meta.last.index.0;
        let log = LogChange::CompactTo(EntryId { term: Term(TERM), index: LogIndex(index) });
        let update = RaftStateUpdate { hard_state: None, log };
        // It is local, and so is all that can go wrong.
        store.save_state_and_snapshot(update, staged).await.unwrap();
        self.published.push(index);
        self.check_state(store).await;
        Ok(())
    }

    pub(crate) async fn stage(&mut self, store: &Store, count: usize) -> Result<StagedSnapshot> {
        self.save(store).await;
        let index = self.saved;
        let mut writer = store.stage_snapshot(meta(TERM, index)).await?;
        for chunk in content(index, count) {
            self.save(store).await;
            writer.write(chunk).await?;
        }
        writer.finish().await
    }

    async fn discard(&mut self, world: &World, store: &Store) {
        let from = world.bucket.faults().calls().len();
        let outcome = match self.stage(store, SMALL).await {
            Ok(staged) => store.discard_snapshot(staged).await,
            Err(error) => Err(error),
        };
        self.steps.push(Step { name: "discard", from, outcome });
    }

    /// A reader that is open outlives the snapshot that takes its place.
    async fn replace_under_a_reader(&mut self, world: &World, store: &Store) {
        let from = world.bucket.faults().calls().len();
        let mut reading = Reading::begin(store).await;
        let mut outcome = reading.some().await;
        self.publish(world, store, "publish by one call", SMALL).await;
        if outcome.is_ok() {
            outcome = reading.rest().await;
        }
        self.steps.push(Step { name: "read across", from, outcome });
    }

    /// Drops a writer in the midst.
    async fn give_up(&mut self, world: &World, store: &Store) {
        let from = world.bucket.faults().calls().len();
        self.save(store).await;
        let outcome = self.begin(store, LARGE).await.map(drop);
        settle().await;
        self.steps.push(Step { name: "give up", from, outcome });
    }

    async fn abort(&mut self, world: &World, store: &Store) {
        let from = world.bucket.faults().calls().len();
        self.save(store).await;
        let outcome = match self.begin(store, LARGE).await {
            Ok(writer) => writer.abort().await,
            Err(error) => Err(error),
        };
        self.steps.push(Step { name: "abort", from, outcome });
    }

    pub(crate) async fn begin(&self, store: &Store, count: usize) -> Result<Box<dyn eraft_core::SnapshotWriter>> {
        let mut writer = store.stage_snapshot(meta(TERM, self.saved)).await?;
        for chunk in content(self.saved, count) {
            writer.write(chunk).await?;
        }
        Ok(writer)
    }

    pub(crate) async fn read(&mut self, world: &World, store: &Store, name: &'static str) {
        let from = world.bucket.faults().calls().len();
        let outcome = Reading::begin(store).await.rest().await;
        self.steps.push(Step { name, from, outcome });
    }

    /// State and log are as they were acknowledged, whatever became of the bucket.
    pub(crate) async fn check_state(&self, store: &Store) {
        let state = store.read_raft_state().await.unwrap();
        assert_eq!(state.outline.last_index(), LogIndex(self.saved), "what was acknowledged is the log's end");
        let published = state.snapshot.map(|snapshot| snapshot.last.index.0);
        assert_eq!(published, self.published.last().copied(), "the last one published is the snapshot");
        let kept = published.unwrap_or_default() + 1..self.saved + 1;
        let read = store.read_entries(LogIndex(kept.start)..LogIndex(kept.end), u64::MAX).await.unwrap();
        assert_eq!(read, entries(TERM, kept.start, kept.end - 1));
    }
}

/// A snapshot on its way out, each byte held against what was put in.
struct Reading {
    reader: Result<Option<SnapshotReader>>,
    got: Vec<u8>,
}

impl Reading {
    async fn begin(store: &Store) -> Reading {
        Reading { reader: store.read_snapshot().await, got: Vec::new() }
    }

    async fn some(&mut self) -> Result<()> {
        self.go_on(1).await
    }

    async fn rest(&mut self) -> Result<()> {
        self.go_on(usize::MAX).await
    }

    /// # Panics
    /// For a byte that is wrong, or for an end that comes too early.
    async fn go_on(&mut self, mut chunks: usize) -> Result<()> {
        let reader = match &mut self.reader {
            Ok(None) => return Ok(()),
            Ok(Some(reader)) => reader,
            Err(error) => return Err(error.clone()),
        };
        let right = expected(reader.meta.last.index.0, reader.size_bytes);
        while chunks > 0 {
            chunks -= 1;
            match reader.chunks.next().await {
                Some(chunk) => self.got.extend_from_slice(&chunk?),
                None => {
                    assert!(self.got == right, "{} bytes of {} and no error", self.got.len(), right.len());
                    break;
                }
            }
            assert!(right.starts_with(&self.got), "a wrong byte among the first {}", self.got.len());
        }
        Ok(())
    }
}

/// The chunks of the snapshot of this index.
fn content(index: u64, count: usize) -> Vec<Bytes> {
    chunks(index, count, CHUNK_BYTES)
}

fn expected(index: u64, size_bytes: u64) -> Vec<u8> {
    let count = if size_bytes == (SMALL * CHUNK_BYTES) as u64 { SMALL } else { LARGE };
    content(index, count).concat()
}

/// Lets all that goes on in the background come to its end.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_secs(3600)).await;
}

/// On one thread and a clock that is paused, so that the same seed is the same run.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(future)
}
