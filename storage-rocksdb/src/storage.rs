//! The handle of one group: the storage port over the engine.

use std::{fmt, ops::Range, path::Path, sync::Arc};

use async_trait::async_trait;
use eraft_core::{
    ClusterId, Entry, Expected, Identity, LogIndex, NodeId, RaftState, RaftStateUpdate, Receipt, Result, SnapshotMeta,
    SnapshotReader, SnapshotWriter, StagedSnapshot, Storage,
};
use eraft_storage_kit::{Handle, blocking};

use crate::{
    engine::{Inner, RocksEngine, group::Committed},
    options::RocksOptions,
    read,
    snapshot::{read::reader, stage::Stage},
};

/// Raft state, log and snapshots of one group, in RocksDB.
pub struct RocksStorage {
    engine: Arc<Inner>,
    handle: Handle<Committed>,
    /// Whether this group is all that its engine is for.
    owns_engine: bool,
}

impl RocksStorage {
    /// Initialises `dir`, which must not exist, as [`RocksEngine::create`] does.
    ///
    /// # Errors
    /// As there.
    pub fn create(dir: impl AsRef<Path>, cluster: ClusterId, node: NodeId) -> Result<Identity> {
        RocksEngine::create(dir, cluster, node)
    }

    /// The same with options of one's own.
    ///
    /// # Errors
    /// As [`RocksEngine::create_with`].
    pub fn create_with(
        dir: impl AsRef<Path>,
        cluster: ClusterId,
        node: NodeId,
        options: RocksOptions,
    ) -> Result<Identity> {
        RocksEngine::create_with(dir, cluster, node, options)
    }

    /// Opens `dir` as an engine of its own, whose only group this is; closing it closes the engine.
    ///
    /// # Errors
    /// As [`RocksEngine::open`].
    pub fn open(dir: impl AsRef<Path>, expected: Expected) -> Result<RocksStorage> {
        RocksEngine::open(dir, expected)?.into_storage()
    }

    /// The same with options of one's own.
    ///
    /// # Errors
    /// As [`RocksEngine::open_with`].
    pub fn open_with(dir: impl AsRef<Path>, expected: Expected, options: RocksOptions) -> Result<RocksStorage> {
        RocksEngine::open_with(dir, expected, options)?.into_storage()
    }

    pub(crate) fn new(engine: Arc<Inner>, handle: Handle<Committed>, owns_engine: bool) -> RocksStorage {
        RocksStorage { engine, handle, owns_engine }
    }

    fn save(&self, update: RaftStateUpdate, snapshot: Option<StagedSnapshot>) -> Receipt {
        self.handle.save(&self.engine.commit, update, snapshot, |snapshot| {
            self.engine.store.staging().claim(self.handle.group().id(), snapshot)
        })
    }
}

#[async_trait]
impl Storage for RocksStorage {
    fn save_raft_state(&self, update: RaftStateUpdate) -> Receipt {
        self.save(update, None)
    }

    fn save_state_and_snapshot(&self, update: RaftStateUpdate, snapshot: StagedSnapshot) -> Receipt {
        self.save(update, Some(snapshot))
    }

    async fn stage_snapshot(&self, meta: SnapshotMeta) -> Result<Box<dyn SnapshotWriter>> {
        self.handle.check_open()?;
        Ok(Box::new(Stage::begin(&self.engine, self.handle.group().id(), meta).await?))
    }

    async fn discard_snapshot(&self, staged: StagedSnapshot) -> Result<()> {
        self.handle.check_open()?;
        let store = &self.engine.store;
        let id = store.staging().discard(self.handle.group().id(), &staged)?;
        // Only the writer writes: it goes with the next save, or at the next opening.
        store.dustbin.throw_id(id);
        Ok(())
    }

    async fn read_raft_state(&self) -> Result<RaftState> {
        self.handle.check_open()?;
        Ok(self.handle.group().committed().state.clone())
    }

    async fn read_entries(&self, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Entry>> {
        self.handle.check_open()?;
        let (store, group) = (Arc::clone(&self.engine.store), Arc::clone(self.handle.group()));
        blocking(move || read::entries(&store, &group, range, max_bytes)).await
    }

    async fn read_snapshot(&self) -> Result<Option<SnapshotReader>> {
        self.handle.check_open()?;
        let held = self.handle.group().committed().snapshot.clone();
        Ok(held.map(|held| reader(Arc::clone(&self.engine.store), held)))
    }

    fn raft_state_size(&self) -> u64 {
        self.handle.group().committed().live_bytes
    }

    fn snapshot_size(&self) -> u64 {
        self.handle.group().committed().snapshot.as_ref().map_or(0, |held| held.published.size_bytes)
    }

    fn room_bytes(&self) -> u64 {
        let queued = self.engine.commit.queued();
        self.engine.store.room.bytes(queued.bytes, queued.saves)
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    async fn close(&self) -> Result<()> {
        self.handle.close(&self.engine.commit, self.owns_engine).await
    }
}

impl fmt::Debug for RocksStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksStorage")
            .field("dir", &self.engine.store.paths.dir)
            .field("group", &self.handle.group().id())
            .field("commit", &self.engine.commit)
            .finish()
    }
}
