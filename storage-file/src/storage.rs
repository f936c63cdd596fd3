//! The handle of one group: the storage port over the engine.

use std::{fmt, ops::Range, path::Path, sync::Arc};

use async_trait::async_trait;
use eraft_core::{
    ClusterId, Entry, Expected, Identity, LogIndex, NodeId, RaftState, RaftStateUpdate, Receipt, Result, SnapshotMeta,
    SnapshotReader, SnapshotWriter, StagedSnapshot, Storage,
};
use eraft_storage_kit::{Handle, Steps, blocking};

use crate::{
    engine::{FileEngine, Inner, group::Committed},
    fs::Fs,
    options::FileOptions,
    read,
    segment::file::remove_durably,
    snapshot::{read::reader, stage::Stage},
};

/// Raft state, log and snapshots of one group, in files.
pub struct FileStorage {
    engine: Arc<Inner>,
    handle: Handle<Committed>,
    /// Whether this group is all that its engine is for.
    owns_engine: bool,
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

    /// The same as [`FileEngine::open_stepped`] does it.
    ///
    /// # Errors
    /// As [`FileEngine::open_with`].
    pub fn open_stepped(
        fs: Arc<dyn Fs>,
        dir: impl AsRef<Path>,
        expected: Expected,
        options: FileOptions,
    ) -> Result<(FileStorage, Steps)> {
        let (engine, steps) = FileEngine::open_stepped(fs, dir, expected, options)?;
        Ok((engine.into_storage()?, steps))
    }

    pub(crate) fn new(engine: Arc<Inner>, handle: Handle<Committed>, owns_engine: bool) -> FileStorage {
        FileStorage { engine, handle, owns_engine }
    }

    fn save(&self, update: RaftStateUpdate, snapshot: Option<StagedSnapshot>) -> Receipt {
        self.handle.save(&self.engine.commit, update, snapshot, |snapshot| {
            self.engine.shared.staging().claim(self.handle.group().id(), snapshot)
        })
    }
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
        self.handle.check_open()?;
        Ok(Box::new(Stage::begin(Arc::clone(&self.engine.shared), self.handle.group().id(), meta).await?))
    }

    async fn discard_snapshot(&self, staged: StagedSnapshot) -> Result<()> {
        self.handle.check_open()?;
        let path = self.engine.shared.staging().discard(self.handle.group().id(), &staged)?;
        let shared = Arc::clone(&self.engine.shared);
        blocking(move || {
            remove_durably(&shared.fs, &shared.paths.snapshot, &[path]);
            Ok(())
        })
        .await
    }

    async fn read_raft_state(&self) -> Result<RaftState> {
        self.handle.check_open()?;
        Ok(self.handle.group().committed().log.state.clone())
    }

    async fn read_entries(&self, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Entry>> {
        self.handle.check_open()?;
        let cut = read::cut(&self.engine.shared, self.handle.group(), range, max_bytes)?;
        if cut.is_empty() {
            return Ok(Vec::new());
        }
        let group = self.handle.group().id();
        blocking(move || read::entries(group, &cut)).await
    }

    async fn read_snapshot(&self) -> Result<Option<SnapshotReader>> {
        self.handle.check_open()?;
        Ok(self.handle.group().committed().snapshot.clone().map(reader))
    }

    fn raft_state_size(&self) -> u64 {
        self.handle.group().committed().log.index.size_bytes()
    }

    fn snapshot_size(&self) -> u64 {
        self.handle.group().committed().snapshot.as_ref().map_or(0, |snapshot| snapshot.size_bytes)
    }

    fn room_bytes(&self) -> u64 {
        // Asked in this order, what is committed meanwhile counts twice rather than not at all, and so does what the
        // log takes of the disk meanwhile.
        let queued = self.engine.commit.queued();
        let shared = &self.engine.shared;
        let room = shared.room();
        room.bytes(shared.free_bytes(), shared.segment_bytes, queued.bytes, queued.saves)
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    async fn close(&self) -> Result<()> {
        self.handle.close(&self.engine.commit, self.owns_engine).await
    }
}

impl fmt::Debug for FileStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStorage")
            .field("dir", &self.engine.shared.paths.dir)
            .field("group", &self.handle.group().id())
            .field("commit", &self.engine.commit)
            .finish()
    }
}
