//! The handle of one group: the port itself.
//!
//! Every call takes the disk's lock, does its work and returns; nothing waits, so a receipt has resolved by the time it
//! is returned, unless saves are held.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;

use super::{disk::closed, engine::Opener, group::Group, snapshot::MemoryWriter};
use crate::{
    storage::{MemoryDisk, MemoryEngine, Receipt, Result, SnapshotWriter, Storage},
    types::{
        ClusterId, Entry, Expected, GroupId, Identity, LogIndex, NodeId, RaftState, RaftStateUpdate, SnapshotMeta,
        SnapshotReader, StagedSnapshot,
    },
};

/// The reference [`Storage`]: one group on a [`MemoryDisk`].
///
/// ```
/// # use eraft_core::*;
/// # futures_util::FutureExt::now_or_never(async {
/// let disk = MemoryDisk::new(7);
/// MemoryStorage::create(&disk, ClusterId(1), NodeId(1))?;
/// let storage = MemoryStorage::open(&disk, Expected::any())?;
/// let append = LogChange::Append(vec![Entry::command(Term(1), LogIndex(1), "x=1")]);
/// storage.save_raft_state(RaftStateUpdate { hard_state: None, log: append }).await?;
/// assert_eq!(storage.read_raft_state().await?.outline.last_index(), LogIndex(1));
/// # Ok::<_, StorageError>(())
/// # }).unwrap().unwrap();
/// ```
#[derive(Debug)]
pub struct MemoryStorage {
    opener: Arc<Opener>,
    group: GroupId,
    closed: AtomicBool,
    /// Whether the engine was opened for this handle alone, and closes with it.
    owns_engine: bool,
}

impl MemoryStorage {
    /// [`MemoryEngine::create`].
    ///
    /// # Errors
    /// As there.
    pub fn create(disk: &MemoryDisk, cluster: ClusterId, node: NodeId) -> Result<Identity> {
        MemoryEngine::create(disk, cluster, node)
    }

    /// Group 0 of an engine of its own, which closes with it.
    ///
    /// # Errors
    /// As [`MemoryEngine::open`].
    pub fn open(disk: &MemoryDisk, expected: Expected) -> Result<MemoryStorage> {
        let mut storage = MemoryEngine::open(disk, expected)?.group(GroupId::ZERO)?;
        storage.owns_engine = true;
        Ok(storage)
    }

    pub(super) fn of_group(opener: Arc<Opener>, group: GroupId) -> MemoryStorage {
        MemoryStorage { opener, group, closed: AtomicBool::new(false), owns_engine: false }
    }

    fn save(&self, update: RaftStateUpdate, publish: Option<StagedSnapshot>) -> Receipt {
        if self.closed.load(Ordering::Acquire) {
            return Receipt::resolved(Err(closed()));
        }
        let (completion, receipt) = Receipt::pending();
        self.opener.disk.lock().submit(self.opener.session, self.group, update, publish, completion);
        receipt
    }

    fn with<T>(&self, read: impl FnOnce(&mut Group) -> Result<T>) -> Result<T> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        read(self.opener.disk.lock().group(self.opener.session, self.group)?)
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn save_raft_state(&self, update: RaftStateUpdate) -> Receipt {
        self.save(update, None)
    }

    fn save_state_and_snapshot(&self, update: RaftStateUpdate, snapshot: StagedSnapshot) -> Receipt {
        self.save(update, Some(snapshot))
    }

    async fn stage_snapshot(&self, meta: SnapshotMeta) -> Result<Box<dyn SnapshotWriter>> {
        self.with(|_| Ok(()))?;
        Ok(Box::new(MemoryWriter { opener: Arc::clone(&self.opener), group: self.group, meta, chunks: Vec::new() }))
    }

    async fn discard_snapshot(&self, staged: StagedSnapshot) -> Result<()> {
        self.with(|group| group.discard(&staged))
    }

    async fn read_raft_state(&self) -> Result<RaftState> {
        self.with(|group| Ok(group.state.clone()))
    }

    async fn read_entries(&self, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Entry>> {
        self.with(|group| group.read(range, max_bytes))
    }

    async fn read_snapshot(&self) -> Result<Option<SnapshotReader>> {
        self.with(|group| Ok(group.snapshot.as_ref().map(super::group::Content::reader)))
    }

    fn raft_state_size(&self) -> u64 {
        self.with(|group| Ok(group.state_size_bytes())).unwrap_or(0)
    }

    fn snapshot_size(&self) -> u64 {
        self.with(|group| Ok(group.snapshot.as_ref().map_or(0, super::group::Content::size_bytes))).unwrap_or(0)
    }

    fn room_bytes(&self) -> u64 {
        u64::MAX
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    async fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Err(closed());
        }
        if self.owns_engine {
            return self.opener.close();
        }
        let mut disk = self.opener.disk.lock();
        disk.check_session(self.opener.session)?;
        disk.commit_queued();
        drop(disk);
        self.opener.give_back(self.group);
        Ok(())
    }
}

impl Drop for MemoryStorage {
    fn drop(&mut self) {
        if !self.closed.load(Ordering::Acquire) {
            self.opener.give_back(self.group);
        }
    }
}
