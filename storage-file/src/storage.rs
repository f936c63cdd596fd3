//! The handle of one group: the storage port over the engine.

use std::{
    fmt,
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use eraft_core::{
    ClusterId, Entry, Expected, Identity, LogChange, LogIndex, NodeId, RaftState, RaftStateUpdate, Receipt, Result,
    SnapshotMeta, SnapshotReader, SnapshotWriter, StagedSnapshot, Storage, StorageError,
};
use eraft_storage_kit::{Save, Steps};

use crate::{
    blocking::blocking,
    engine::{FileEngine, Inner, group::Group},
    fs::Fs,
    options::FileOptions,
    read,
    segment::file::remove_durably,
    snapshot::{read::reader, stage::Stage},
};

/// The most that the entries of one save may count for. A batch of messages is a hundred times smaller.
const MAX_SAVE_BYTES: u64 = 256 << 20;

/// Raft state, log and snapshots of one group, in files.
pub struct FileStorage {
    engine: Arc<Inner>,
    group: Arc<Group>,
    /// Whether this group is all that its engine is for.
    owns_engine: bool,
    closed: AtomicBool,
}

impl FileStorage {
    /// Initialises `dir`, which must not exist, as [`FileEngine::create`] does.
    ///
    /// # Errors
    /// As there.
    pub fn create(dir: impl AsRef<Path>, cluster: ClusterId, node: NodeId) -> Result<Identity> {
        FileEngine::create(dir, cluster, node)
    }

    /// The same on a file system and with options of one's own.
    ///
    /// # Errors
    /// As [`FileEngine::create_with`].
    pub fn create_with(
        fs: Arc<dyn Fs>,
        dir: impl AsRef<Path>,
        cluster: ClusterId,
        node: NodeId,
        options: FileOptions,
    ) -> Result<Identity> {
        FileEngine::create_with(fs, dir, cluster, node, options)
    }

    /// Opens `dir` as an engine of its own, whose only group this is; closing it closes the engine.
    ///
    /// # Errors
    /// As [`FileEngine::open`].
    pub fn open(dir: impl AsRef<Path>, expected: Expected) -> Result<FileStorage> {
        FileEngine::open(dir, expected)?.into_storage()
    }

    /// The same on a file system and with options of one's own.
    ///
    /// # Errors
    /// As [`FileEngine::open_with`].
    pub fn open_with(
        fs: Arc<dyn Fs>,
        dir: impl AsRef<Path>,
        expected: Expected,
        options: FileOptions,
    ) -> Result<FileStorage> {
        FileEngine::open_with(fs, dir, expected, options)?.into_storage()
    }

    /// The same without a thread and in the caller's own: saves are committed when the [`Steps`] are told to, and nobody
    /// may wait for one before. For simulators, outside any runtime.
    ///
    /// # Errors
    /// As [`FileEngine::open_with`].
    pub fn open_stepped(
        fs: Arc<dyn Fs>,
        dir: impl AsRef<Path>,
        expected: Expected,
        options: FileOptions,
    ) -> Result<(FileStorage, Steps)> {
        let (engine, steps) = FileEngine::open_stepped(&fs, dir.as_ref(), &expected, &options)?;
        Ok((engine.into_storage()?, steps))
    }

    pub(crate) fn new(engine: Arc<Inner>, group: Arc<Group>, owns_engine: bool) -> FileStorage {
        FileStorage { engine, group, owns_engine, closed: AtomicBool::new(false) }
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StorageError::invalid("the group's handle was closed before this call: open it again"));
        }
        Ok(())
    }

    /// Checks a save against what is queued before it, and queues it, in one step.
    fn save(&self, update: RaftStateUpdate, snapshot: Option<StagedSnapshot>) -> Receipt {
        self.engine.commit.submit_with(|| {
            self.check_open()?;
            check_size(&update)?;
            let mut queued = self.group.queued();
            queued.check(&update, snapshot.as_ref().map(|snapshot| &snapshot.meta))?;
            if let Some(snapshot) = &snapshot {
                self.engine.shared.staging().claim(self.group.id, snapshot)?;
            }
            queued.apply(&update, snapshot.as_ref().map(|snapshot| &snapshot.meta))?;
            Ok(Save { group: self.group.id, update, snapshot })
        })
    }
}

/// A save must fit into one frame.
fn check_size(update: &RaftStateUpdate) -> Result<()> {
    let LogChange::Append(entries) = &update.log else { return Ok(()) };
    let size_bytes: u64 = entries.iter().map(Entry::size_bytes).sum();
    if size_bytes > MAX_SAVE_BYTES {
        return Err(StorageError::invalid(format!(
            "a save of {size_bytes} bytes; expected {MAX_SAVE_BYTES} at most: divide it"
        )));
    }
    Ok(())
}

#[async_trait]
impl Storage for FileStorage {
    fn save_raft_state(&self, update: RaftStateUpdate) -> Receipt {
        self.save(update, None)
    }

    fn save_state_and_snapshot(&self, update: RaftStateUpdate, snapshot: StagedSnapshot) -> Receipt {
        self.save(update, Some(snapshot))
    }

    async fn stage_snapshot(&self, meta: SnapshotMeta) -> Result<Box<dyn SnapshotWriter>> {
        self.check_open()?;
        Ok(Box::new(Stage::begin(Arc::clone(&self.engine.shared), self.group.id, meta).await?))
    }

    async fn discard_snapshot(&self, staged: StagedSnapshot) -> Result<()> {
        self.check_open()?;
        let path = self.engine.shared.staging().discard(self.group.id, &staged)?;
        let shared = Arc::clone(&self.engine.shared);
        blocking(move || {
            remove_durably(&shared.fs, &shared.paths.snapshot, &[path]);
            Ok(())
        })
        .await
    }

    async fn read_raft_state(&self) -> Result<RaftState> {
        self.check_open()?;
        Ok(self.group.committed().log.state.clone())
    }

    async fn read_entries(&self, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Entry>> {
        self.check_open()?;
        let cut = read::cut(&self.engine.shared, &self.group, range, max_bytes)?;
        if cut.is_empty() {
            return Ok(Vec::new());
        }
        let group = self.group.id;
        blocking(move || read::entries(group, &cut)).await
    }

    async fn read_snapshot(&self) -> Result<Option<SnapshotReader>> {
        self.check_open()?;
        Ok(self.group.committed().snapshot.clone().map(reader))
    }

    fn raft_state_size(&self) -> u64 {
        self.group.committed().log.index.size_bytes()
    }

    fn snapshot_size(&self) -> u64 {
        self.group.committed().snapshot.as_ref().map_or(0, |snapshot| snapshot.size_bytes)
    }

    fn room_bytes(&self) -> u64 {
        let queued = self.engine.commit.queued();
        let shared = &self.engine.shared;
        shared.room.bytes(shared.segment_bytes, queued.bytes, queued.saves)
    }

    async fn close(&self) -> Result<()> {
        // Set first: no save comes in behind those that are completed here.
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // Given back also where the caller does not wait for the end: dropping the handle would not do it any more.
        let handle = ReturnOnDrop(&self.group);
        let flushed = self.engine.commit.flush().await;
        drop(handle);
        if self.owns_engine { self.engine.commit.close().await } else { flushed }
    }
}

/// Gives a group's handle back.
struct ReturnOnDrop<'a>(&'a Group);

impl Drop for ReturnOnDrop<'_> {
    fn drop(&mut self) {
        self.0.return_handle();
    }
}

impl Drop for FileStorage {
    fn drop(&mut self) {
        if !*self.closed.get_mut() {
            self.group.return_handle();
        }
    }
}

impl fmt::Debug for FileStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStorage")
            .field("dir", &self.engine.shared.paths.dir)
            .field("group", &self.group.id)
            .field("commit", &self.engine.commit)
            .finish()
    }
}
