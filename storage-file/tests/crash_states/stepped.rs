//! A store without a thread: each save is committed in the call that hands it in. What it does to the disk is the same;
//! three openings and a few saves a state would spend most of their time on starting threads and waiting for them.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use eraft_conformance::Engine;
use eraft_core::{
    Entry, GroupId, LogIndex, RaftState, RaftStateUpdate, Receipt, Result, SnapshotMeta, SnapshotReader,
    SnapshotWriter, StagedSnapshot, Storage,
};
use eraft_storage_file::{FileEngine, FileStorage};
use eraft_storage_kit::Steps;

type Shared = Arc<Mutex<Steps>>;

pub(crate) struct Stepped {
    engine: FileEngine,
    steps: Shared,
}

impl Stepped {
    pub(crate) fn new((engine, steps): (FileEngine, Steps)) -> Stepped {
        Stepped { engine, steps: Arc::new(Mutex::new(steps)) }
    }
}

/// Commits what is queued. Whether it fails is the receipts' to tell.
fn step(steps: &Shared) {
    drop(steps.lock().unwrap_or_else(PoisonError::into_inner).commit(usize::MAX));
}

#[async_trait]
impl Engine for Stepped {
    async fn group(&self, id: GroupId) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(Group { storage: self.engine.group(id)?, steps: Arc::clone(&self.steps) }))
    }

    async fn groups(&self) -> Result<Vec<GroupId>> {
        Ok(self.engine.groups())
    }

    /// Nothing is queued, and a process that is enumerated never closes: it dies.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct Group {
    storage: FileStorage,
    steps: Shared,
}

#[async_trait]
impl Storage for Group {
    fn save_raft_state(&self, update: RaftStateUpdate) -> Receipt {
        let receipt = self.storage.save_raft_state(update);
        step(&self.steps);
        receipt
    }

    fn save_state_and_snapshot(&self, update: RaftStateUpdate, snapshot: StagedSnapshot) -> Receipt {
        let receipt = self.storage.save_state_and_snapshot(update, snapshot);
        step(&self.steps);
        receipt
    }

    async fn stage_snapshot(&self, meta: SnapshotMeta) -> Result<Box<dyn SnapshotWriter>> {
        self.storage.stage_snapshot(meta).await
    }

    async fn discard_snapshot(&self, staged: StagedSnapshot) -> Result<()> {
        self.storage.discard_snapshot(staged).await
    }

    async fn read_raft_state(&self) -> Result<RaftState> {
        self.storage.read_raft_state().await
    }

    async fn read_entries(&self, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Entry>> {
        self.storage.read_entries(range, max_bytes).await
    }

    async fn read_snapshot(&self) -> Result<Option<SnapshotReader>> {
        self.storage.read_snapshot().await
    }

    fn raft_state_size(&self) -> u64 {
        self.storage.raft_state_size()
    }

    fn snapshot_size(&self) -> u64 {
        self.storage.snapshot_size()
    }

    fn room_bytes(&self) -> u64 {
        self.storage.room_bytes()
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        self.storage.facts()
    }

    async fn close(&self) -> Result<()> {
        self.storage.close().await
    }
}
