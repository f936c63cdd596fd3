//! A store that counts and holds up what passes through it.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use eraft_core::{
    Entry, LogIndex, RaftState, RaftStateUpdate, Receipt, Result, SnapshotMeta, SnapshotReader, SnapshotWriter,
    StagedSnapshot, Storage, StorageError, StorageErrorKind,
};
use tokio::sync::watch;

/// Forwards everything to another store, under [`Controls`].
#[derive(Debug)]
pub struct Controlled {
    inner: Arc<dyn Storage>,
    controls: Arc<Controls>,
}

/// What a test sees of a store, and does to it.
#[derive(Debug)]
pub struct Controls {
    pub saves: AtomicU64,
    pub room_bytes: AtomicU64,
    pub reads_waiting: AtomicU64,
    /// How many stages are still refused for want of room.
    pub refused_stages: AtomicU64,
    /// What the next read of the state meets.
    pub state_damage: Mutex<Option<StorageError>>,
    /// What every read of entries meets.
    pub entry_damage: Mutex<Option<StorageError>>,
    /// Stages that exist: begun, and neither aborted, discarded nor published.
    stages: Arc<AtomicU64>,
    reads_held: watch::Sender<bool>,
}

impl Controls {
    /// From now on reads of entries begin, but look at the log only when they are released.
    pub fn hold_reads(&self) {
        self.reads_held.send_replace(true);
    }

    pub fn release_reads(&self) {
        self.reads_held.send_replace(false);
    }

    pub fn stages(&self) -> u64 {
        self.stages.load(Ordering::SeqCst)
    }

    pub fn saves(&self) -> u64 {
        self.saves.load(Ordering::SeqCst)
    }
}

impl Controlled {
    pub fn new(inner: Arc<dyn Storage>) -> (Arc<Controlled>, Arc<Controls>) {
        let controls = Arc::new(Controls {
            saves: AtomicU64::new(0),
            room_bytes: AtomicU64::new(u64::MAX),
            reads_waiting: AtomicU64::new(0),
            refused_stages: AtomicU64::new(0),
            state_damage: Mutex::default(),
            entry_damage: Mutex::default(),
            stages: Arc::default(),
            reads_held: watch::Sender::new(false),
        });
        (Arc::new(Controlled { inner, controls: Arc::clone(&controls) }), controls)
    }
}

#[async_trait]
impl Storage for Controlled {
    fn save_raft_state(&self, update: RaftStateUpdate) -> Receipt {
        self.controls.saves.fetch_add(1, Ordering::SeqCst);
        self.inner.save_raft_state(update)
    }

    fn save_state_and_snapshot(&self, update: RaftStateUpdate, snapshot: StagedSnapshot) -> Receipt {
        self.controls.saves.fetch_add(1, Ordering::SeqCst);
        self.controls.stages.fetch_sub(1, Ordering::SeqCst);
        self.inner.save_state_and_snapshot(update, snapshot)
    }

    async fn stage_snapshot(&self, meta: SnapshotMeta) -> Result<Box<dyn SnapshotWriter>> {
        let one_less = |left: u64| left.checked_sub(1);
        if self.controls.refused_stages.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            return Err(StorageError::new(StorageErrorKind::Full, "staging a snapshot", "no room: free some"));
        }
        let inner = Some(self.inner.stage_snapshot(meta).await?);
        self.controls.stages.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(CountedWriter { inner, stages: Arc::clone(&self.controls.stages) }))
    }

    async fn discard_snapshot(&self, staged: StagedSnapshot) -> Result<()> {
        self.controls.stages.fetch_sub(1, Ordering::SeqCst);
        self.inner.discard_snapshot(staged).await
    }

    async fn read_raft_state(&self) -> Result<RaftState> {
        let damage = self.controls.state_damage.lock().unwrap().take();
        if let Some(damage) = damage { Err(damage) } else { self.inner.read_raft_state().await }
    }

    async fn read_entries(&self, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Entry>> {
        self.controls.reads_waiting.fetch_add(1, Ordering::SeqCst);
        self.controls.reads_held.subscribe().wait_for(|held| !held).await.map(|_| ()).expect("the controls live");
        self.controls.reads_waiting.fetch_sub(1, Ordering::SeqCst);
        let damage = self.controls.entry_damage.lock().unwrap().clone();
        if let Some(damage) = damage { Err(damage) } else { self.inner.read_entries(range, max_bytes).await }
    }

    async fn read_snapshot(&self) -> Result<Option<SnapshotReader>> {
        self.inner.read_snapshot().await
    }

    fn raft_state_size(&self) -> u64 {
        self.inner.raft_state_size()
    }

    fn snapshot_size(&self) -> u64 {
        self.inner.snapshot_size()
    }

    fn room_bytes(&self) -> u64 {
        self.controls.room_bytes.load(Ordering::SeqCst)
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

/// A stage that counts as long as it exists.
struct CountedWriter {
    inner: Option<Box<dyn SnapshotWriter>>,
    stages: Arc<AtomicU64>,
}

#[async_trait]
impl SnapshotWriter for CountedWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.inner.as_mut().expect("it lives").write(chunk).await
    }

    async fn finish(mut self: Box<Self>) -> Result<StagedSnapshot> {
        self.inner.take().expect("it lives").finish().await
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.stages.fetch_sub(1, Ordering::SeqCst);
        self.inner.take().expect("it lives").abort().await
    }
}

impl Drop for CountedWriter {
    fn drop(&mut self) {
        if self.inner.is_some() {
            self.stages.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
