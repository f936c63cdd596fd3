//! The environment of S3 over another backend: the other's environment, and a bucket that outlives every crash.
//!
//! What befalls the disk is the local backend's own affair. The bucket is another machine's: a kill and a power cut take nothing from
//! it, and it never fails here. Damage strikes both, what the disk holds and what the bucket holds.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use eraft_conformance::{Capabilities, Crash, Damage, Engine, Env};
use eraft_core::{
    ClusterId, Entry, Expected, GroupId, Identity, LogIndex, NodeId, RaftState, RaftStateUpdate, Receipt, Result,
    SnapshotMeta, SnapshotReader, SnapshotWriter, StagedSnapshot, Storage,
};
use eraft_s3_servers::Access;
use eraft_storage_s3::{Bucket, Compression, Fencing, RetryOptions, S3Options, S3Storage};
use futures_util::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

const SECTOR_BYTES: u64 = 512;

pub(crate) struct S3Env<E> {
    local: E,
    bucket: Arc<dyn Bucket>,
    /// Nobody answers for it, and it holds nothing.
    is_away: bool,
    prefix: String,
    random: fastrand::Rng,
}

impl<E: Env> S3Env<E> {
    pub(crate) fn new(seed: u64, local: E, access: &Access) -> S3Env<E> {
        let random = fastrand::Rng::with_seed(seed);
        S3Env { local, bucket: Arc::new(access.client()), is_away: false, prefix: fresh_prefix(), random }
    }

    /// With a bucket that is away: nobody listens at the discard port of this machine.
    #[allow(dead_code, reason = "all suites but one have a server")]
    pub(crate) fn away(seed: u64, local: E) -> S3Env<E> {
        let [bucket, region, access_key, secret_key] = ["b", "r", "k", "s"].map(str::to_owned);
        let nobody = Access { endpoint: "http://127.0.0.1:9".to_owned(), bucket, region, access_key, secret_key };
        S3Env { is_away: true, ..S3Env::new(seed, local, &nobody) }
    }

    /// Chunks and parts lie elsewhere under another seed; parts stay above what S3 demands of all but the last.
    fn options(&mut self) -> S3Options {
        let usual = S3Options::default();
        let at_once = RetryOptions { attempts: 1, ..usual.retry };
        S3Options {
            inline_over_bytes: if self.is_away { 0 } else { usual.inline_over_bytes },
            retry: if self.is_away { at_once } else { usual.retry },
            prefix: self.prefix.clone(),
            compression: [Compression::Zstd, Compression::Lz4, Compression::None][self.random.usize(..3)],
            chunk_bytes: [1 << 12, 1 << 16, 1 << 20][self.random.usize(..3)],
            part_bytes: [5 << 20, 8 << 20][self.random.usize(..2)],
            read_bytes: [1 << 16, 1 << 20, 8 << 20][self.random.usize(..3)],
            fencing: fencing(),
            seed: Some(self.random.u64(..)),
            ..usual
        }
    }

    /// Every object with its length.
    async fn objects(&self) -> Vec<(Path, u64)> {
        if self.is_away {
            return Vec::new();
        }
        let listed: Vec<_> = self.bucket.list(Some(&Path::from(&*self.prefix))).try_collect().await.unwrap();
        let mut objects: Vec<_> = listed.into_iter().map(|object| (object.location, object.size)).collect();
        objects.sort();
        objects
    }
}

/// A server that the environment names may ignore preconditions.
fn fencing() -> Fencing {
    match std::env::var("CONFORMANCE_S3_FENCING").as_deref() {
        Ok("off") => Fencing::Off,
        Ok(other) => panic!("CONFORMANCE_S3_FENCING is {other:?}; expected off, or nothing"),
        Err(_) => Fencing::Required,
    }
}

/// One for each store, whatever process, so that a server may be shared and keep what it has.
fn fresh_prefix() -> String {
    static STORES: AtomicU64 = AtomicU64::new(0);
    let nth = STORES.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("conformance/{}-{}-{nth}", now.as_nanos(), std::process::id())
}

/// How many places an object of this length has.
fn places_in(damage: Damage, length: u64) -> u64 {
    match damage {
        Damage::FlipBit => length,
        Damage::ZeroSector => length.div_ceil(SECTOR_BYTES),
        Damage::LosePiece => 1,
    }
}

#[async_trait]
impl<E: Env> Env for S3Env<E> {
    fn capabilities(&self) -> Capabilities {
        self.local.capabilities()
    }

    async fn fresh(&mut self) {
        self.local.fresh().await;
        self.prefix = fresh_prefix();
    }

    async fn create(&mut self, cluster: ClusterId, node: NodeId) -> Result<Identity> {
        self.local.create(cluster, node).await
    }

    async fn open(&mut self, expected: Expected) -> Result<Box<dyn Engine>> {
        let local = self.local.open(expected).await?;
        Ok(Box::new(Open { local, bucket: Arc::clone(&self.bucket), options: self.options() }))
    }

    async fn crash(&mut self, crash: Crash) {
        self.local.crash(crash).await;
    }

    async fn fail_next_sync(&mut self) {
        self.local.fail_next_sync().await;
    }

    async fn fail_next_write(&mut self) {
        self.local.fail_next_write().await;
    }

    async fn fill_disk(&mut self) {
        self.local.fill_disk().await;
    }

    async fn free_disk(&mut self) {
        self.local.free_disk().await;
    }

    async fn places(&mut self, damage: Damage) -> u64 {
        let remote: u64 = self.objects().await.iter().map(|(_, length)| places_in(damage, *length)).sum();
        self.local.places(damage).await + remote
    }

    async fn damage(&mut self, damage: Damage, mut place: u64) -> String {
        let local = self.local.places(damage).await;
        if place < local {
            return self.local.damage(damage, place).await;
        }
        place -= local;
        for (path, length) in self.objects().await {
            let here = places_in(damage, length);
            if place >= here {
                place -= here;
                continue;
            }
            if damage == Damage::LosePiece {
                self.bucket.delete(&path).await.unwrap();
                return format!("object {path} lost");
            }
            let mut bytes = self.bucket.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
            let (at, told) = match damage {
                Damage::FlipBit => (place, format!("a bit of byte {place} of object {path} flipped")),
                _ => (place * SECTOR_BYTES, format!("sector {place} of object {path} zeroed")),
            };
            let at = usize::try_from(at).unwrap();
            match damage {
                Damage::FlipBit => bytes[at] ^= 1 << self.random.u8(..8),
                _ => bytes.iter_mut().skip(at).take(512).for_each(|byte| *byte = 0),
            }
            self.bucket.put(&path, bytes.into()).await.unwrap();
            return told;
        }
        panic!("there is no such place");
    }
}

struct Open {
    local: Box<dyn Engine>,
    bucket: Arc<dyn Bucket>,
    options: S3Options,
}

#[async_trait]
impl Engine for Open {
    async fn group(&self, id: GroupId) -> Result<Arc<dyn Storage>> {
        let local = Local(self.local.group(id).await?);
        Ok(Arc::new(S3Storage::over(local, id, Arc::clone(&self.bucket), self.options.clone()).await?))
    }

    async fn groups(&self) -> Result<Vec<GroupId>> {
        self.local.groups().await
    }

    async fn close(&self) -> Result<()> {
        self.local.close().await
    }
}

/// A handle of whatever the local backend is.
#[derive(Debug)]
struct Local(Arc<dyn Storage>);

#[async_trait]
impl Storage for Local {
    fn save_raft_state(&self, update: RaftStateUpdate) -> Receipt {
        self.0.save_raft_state(update)
    }

    fn save_state_and_snapshot(&self, update: RaftStateUpdate, snapshot: StagedSnapshot) -> Receipt {
        self.0.save_state_and_snapshot(update, snapshot)
    }

    async fn stage_snapshot(&self, meta: SnapshotMeta) -> Result<Box<dyn SnapshotWriter>> {
        self.0.stage_snapshot(meta).await
    }

    async fn discard_snapshot(&self, staged: StagedSnapshot) -> Result<()> {
        self.0.discard_snapshot(staged).await
    }

    async fn read_raft_state(&self) -> Result<RaftState> {
        self.0.read_raft_state().await
    }

    async fn read_entries(&self, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Entry>> {
        self.0.read_entries(range, max_bytes).await
    }

    async fn read_snapshot(&self) -> Result<Option<SnapshotReader>> {
        self.0.read_snapshot().await
    }

    fn raft_state_size(&self) -> u64 {
        self.0.raft_state_size()
    }

    fn snapshot_size(&self) -> u64 {
        self.0.snapshot_size()
    }

    fn room_bytes(&self) -> u64 {
        self.0.room_bytes()
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        self.0.facts()
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}
