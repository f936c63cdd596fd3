//! The port: one group's handle.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use eraft_core::{
    Entry, EntryId, GroupId, LogIndex, RaftState, RaftStateUpdate, Receipt, Result, SnapshotMeta, SnapshotReader,
    SnapshotWriter, StagedSnapshot, Storage, StorageError, StorageErrorKind,
};
use eraft_storage_kit::{GroupCommit, Handle};
use futures_util::StreamExt as _;
use redb::{ReadOnlyTable, ReadableDatabase};

use super::{
    engine::Store,
    stage::{Stage, remove},
    tables::{CHUNKS, GroupState, LOG, Published, STATES, corrupt, decode_entry, failed, unseal},
};

const READING: &str = "reading entries";

/// Raft state, log and snapshots of one group.
pub(crate) struct RedbStorage {
    store: Arc<Store>,
    commit: Arc<GroupCommit>,
    id: GroupId,
    handle: Handle<(GroupState, bool)>,
}

impl RedbStorage {
    pub(super) fn take(store: Arc<Store>, commit: Arc<GroupCommit>, id: GroupId) -> Result<RedbStorage> {
        store.with(|_| Ok(()))?;
        let handle = store.group(id).take()?;
        Ok(RedbStorage { store, commit, id, handle })
    }

    fn save(&self, update: RaftStateUpdate, snapshot: Option<StagedSnapshot>) -> Receipt {
        self.handle.save(&self.commit, update, snapshot, |snapshot| self.store.stages().claim(self.id, snapshot))
    }
}

#[async_trait]
impl Storage for RedbStorage {
    fn save_raft_state(&self, update: RaftStateUpdate) -> Receipt {
        self.save(update, None)
    }

    fn save_state_and_snapshot(&self, update: RaftStateUpdate, snapshot: StagedSnapshot) -> Receipt {
        self.save(update, Some(snapshot))
    }

    async fn stage_snapshot(&self, meta: SnapshotMeta) -> Result<Box<dyn SnapshotWriter>> {
        self.handle.check_open()?;
        Ok(Box::new(Stage::begin(Arc::clone(&self.store), self.id, meta)?))
    }

    async fn discard_snapshot(&self, staged: StagedSnapshot) -> Result<()> {
        self.handle.check_open()?;
        let number = self.store.stages().discard(self.id, &staged)?;
        remove(Arc::clone(&self.store), number).await
    }

    async fn read_raft_state(&self) -> Result<RaftState> {
        self.handle.check_open()?;
        Ok(self.handle.group().committed().0.state.clone())
    }

    async fn read_entries(&self, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Entry>> {
        self.handle.check_open()?;
        let (store, id) = (Arc::clone(&self.store), self.id);
        blocking(move || read_entries(&store, id, range, max_bytes)).await
    }

    async fn read_snapshot(&self) -> Result<Option<SnapshotReader>> {
        self.handle.check_open()?;
        let (store, id) = (Arc::clone(&self.store), self.id);
        blocking(move || read_snapshot(&store, id)).await
    }

    fn raft_state_size(&self) -> u64 {
        self.handle.group().committed().0.log_bytes
    }

    fn snapshot_size(&self) -> u64 {
        self.handle.group().committed().0.published.as_ref().map_or(0, |snapshot| snapshot.size_bytes)
    }

    fn room_bytes(&self) -> u64 {
        u64::MAX
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    async fn close(&self) -> Result<()> {
        self.handle.close(&self.commit, false).await
    }
}

impl fmt::Debug for RedbStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStorage").field("group", &self.id).field("commit", &self.commit).finish_non_exhaustive()
    }
}

/// One read transaction is one cut: what it finds of state and log belongs together.
fn read_entries(store: &Store, group: GroupId, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Entry>> {
    let transaction = store.with(|database| database.begin_read().map_err(failed(READING)))?;
    let states = transaction.open_table(STATES).map_err(failed(READING))?;
    let found = GroupState::read(&states, store.identity, group)?.unwrap_or_else(|| GroupState::blank(store.identity));
    let outline = found.state.outline;
    if range.start <= outline.base().index {
        let detail = format!("entry {} of group {group}; the log begins at {}", range.start, outline.first_index());
        return Err(StorageError::new(StorageErrorKind::Compacted, READING, detail));
    }
    let log = transaction.open_table(LOG).map_err(failed(READING))?;
    let (mut entries, mut size_bytes, mut index) = (Vec::new(), 0_u64, range.start);
    while index < range.end
        && let Some(term) = outline.term(index)
    {
        let value = log.get((group.0, index.0)).map_err(failed(READING))?;
        let value = value.ok_or_else(|| corrupt(("entry", group.0, index.0), "it is missing"))?;
        let entry = decode_entry(group, EntryId { term, index }, value.value())?;
        size_bytes = size_bytes.saturating_add(entry.size_bytes());
        if size_bytes > max_bytes && !entries.is_empty() {
            break;
        }
        entries.push(entry);
        index = index.next();
    }
    Ok(entries)
}

/// A reader keeps its read transaction, and with it the pages of a snapshot that was replaced meanwhile.
fn read_snapshot(store: &Store, group: GroupId) -> Result<Option<SnapshotReader>> {
    let during = "reading a snapshot";
    let transaction = store.with(|database| database.begin_read().map_err(failed(during)))?;
    let states = transaction.open_table(STATES).map_err(failed(during))?;
    let found = GroupState::read(&states, store.identity, group)?;
    let Some(Published { meta, number, size_bytes }) = found.and_then(|found| found.published) else { return Ok(None) };
    let chunks = transaction.open_table(CHUNKS).map_err(failed(during))?;
    let stream = futures_util::stream::unfold((0, Some(chunks)), move |(nth, chunks)| async move {
        let chunks = chunks?;
        match blocking(move || read_chunk(&chunks, number, nth).map(|chunk| (chunk, chunks))).await {
            Ok((Some(chunk), chunks)) => Some((Ok(chunk), (nth + 1, Some(chunks)))),
            Ok((None, _)) => None,
            Err(error) => Some((Err(error), (nth, None))),
        }
    });
    Ok(Some(SnapshotReader { meta, size_bytes, chunks: Box::pin(stream.fuse()) }))
}

fn read_chunk(chunks: &ReadOnlyTable<(u64, u64), &'static [u8]>, number: u64, nth: u64) -> Result<Option<Bytes>> {
    let value = chunks.get((number, nth)).map_err(failed("reading a snapshot"))?;
    value.map(|value| Ok(unseal(("chunk", number, nth), value.value())?.to_vec().into())).transpose()
}

/// Runs `work` without stalling a runtime; in place where there is none.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return work() };
    runtime.spawn_blocking(work).await.unwrap_or_else(|lost| {
        let detail = format!("the work was lost ({lost}): the runtime shuts down, or this is a bug");
        Err(StorageError::new(StorageErrorKind::Unavailable, "waiting for a blocking thread", detail))
    })
}
