//! The wrong store's handle of one group: the `Storage` that the suite sees.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use eraft_core::{
    Entry, GroupId, LogIndex, RaftState, RaftStateUpdate, Receipt, Result, SnapshotMeta, SnapshotReader,
    SnapshotWriter, StagedSnapshot, Storage, StorageError, StorageErrorKind,
};
use futures_util::StreamExt as _;

use super::{
    Bug,
    engine::{Group, Inner, Shared, idle, lock},
};

const CHUNK_BYTES: usize = 64 * 1024;

pub(super) struct Handle {
    shared: Shared,
    id: GroupId,
    closed: AtomicBool,
}

impl Handle {
    pub(super) fn new(shared: &Shared, id: GroupId) -> Handle {
        Handle { shared: Arc::clone(shared), id, closed: AtomicBool::new(false) }
    }

    fn open(&self) -> Result<()> {
        match self.closed.load(Ordering::SeqCst) {
            true => Err(StorageError::invalid("the handle was closed: open the group again")),
            false => lock(&self.shared).alive(),
        }
    }

    fn look<T>(&self, look: impl FnOnce(&Group, Option<Bug>) -> T) -> Result<T> {
        self.open()?;
        let inner = lock(&self.shared);
        let group = inner.groups.get(&self.id).ok_or_else(|| StorageError::invalid("there is no such group"))?;
        Ok(look(group, inner.bug))
    }

    fn save(&self, update: RaftStateUpdate, snapshot: Option<&StagedSnapshot>) -> Receipt {
        let queued = self.open().and_then(|()| Inner::submit(&self.shared, self.id, update, snapshot));
        queued.unwrap_or_else(|refused| Receipt::resolved(Err(refused)))
    }

    fn read(group: &Group, range: Range<LogIndex>, max_bytes: u64, bug: Option<Bug>) -> Result<Vec<Entry>> {
        let base = group.visible.state.outline.base().index;
        if range.start <= base {
            let detail = format!("entry {} is at or below the base {base}", range.start);
            return Err(StorageError::new(StorageErrorKind::Compacted, "reading entries", detail));
        }
        let within = group.visible.entries.iter().filter(|entry| range.contains(&entry.index));
        let (mut found, mut bytes) = (Vec::new(), 0);
        for entry in within {
            bytes += entry.size_bytes();
            let fits = bytes <= max_bytes;
            if !fits && (bug == Some(Bug::ReadsNothingTooLarge) || !found.is_empty()) {
                if bug == Some(Bug::ReadsOneOver) {
                    found.push(entry.clone());
                }
                break;
            }
            found.push(entry.clone());
        }
        Ok(found)
    }
}

#[async_trait]
impl Storage for Handle {
    fn save_raft_state(&self, update: RaftStateUpdate) -> Receipt {
        self.save(update, None)
    }

    fn save_state_and_snapshot(&self, update: RaftStateUpdate, snapshot: StagedSnapshot) -> Receipt {
        self.save(update, Some(&snapshot))
    }

    async fn stage_snapshot(&self, meta: SnapshotMeta) -> Result<Box<dyn SnapshotWriter>> {
        self.open()?;
        Ok(Box::new(Stage { shared: Arc::clone(&self.shared), id: self.id, meta, bytes: BytesMut::new() }))
    }

    async fn discard_snapshot(&self, staged: StagedSnapshot) -> Result<()> {
        self.open()?;
        lock(&self.shared).discard(&staged)
    }

    async fn read_raft_state(&self) -> Result<RaftState> {
        self.look(|group, _| group.visible.state.clone())
    }

    async fn read_entries(&self, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Entry>> {
        if lock(&self.shared).bug == Some(Bug::ReadsInTwoCuts) && range.end > range.start {
            let middle = LogIndex(range.start.0.midpoint(range.end.0));
            let mut found = self.look(|group, bug| Self::read(group, range.start..middle, max_bytes, bug))??;
            let rest = max_bytes.saturating_sub(found.iter().map(Entry::size_bytes).sum());
            tokio::task::yield_now().await;
            if rest > 0 || found.is_empty() {
                let more = self.look(|group, bug| Self::read(group, middle..range.end, rest, bug))??;
                let fits = |entry: &Entry| found.is_empty() || entry.size_bytes() <= rest;
                let more: Vec<_> = if more.first().is_some_and(fits) { more } else { Vec::new() };
                found.extend(more);
            }
            return Ok(found);
        }
        self.look(|group, bug| Self::read(group, range, max_bytes, bug))?
    }

    async fn read_snapshot(&self) -> Result<Option<SnapshotReader>> {
        self.open()?;
        // Held until the bytes are found: a newer snapshot takes the older one's file away.
        let inner = lock(&self.shared);
        let bug = inner.bug;
        let published = inner.groups.get(&self.id).and_then(|group| group.visible.published.clone());
        let published = match bug {
            Some(Bug::ShowsWhatIsStaged) => inner.staged_last.clone().or(published),
            _ => published,
        };
        let Some(published) = published else { return Ok(None) };
        let disk = Arc::clone(&inner.disk);
        let missing = || {
            let detail = format!("file {} is gone, at sector 9", published.id);
            StorageError::new(StorageErrorKind::Corrupt, "reading a snapshot", detail)
        };
        let bytes =
            lock(&disk).files.get(&published.id).and_then(|file| file.bytes.value.clone()).ok_or_else(missing)?;
        drop(inner);
        let mut chunks: Vec<Bytes> = (0..bytes.len())
            .step_by(CHUNK_BYTES)
            .map(|at| bytes.slice(at..bytes.len().min(at + CHUNK_BYTES)))
            .collect();
        if bug == Some(Bug::ChunksSwapped) && chunks.len() > 2 {
            chunks.swap(0, 1);
        }
        let id = published.id.clone();
        let chunks = futures_util::stream::iter(chunks).map(move |chunk| {
            if bug == Some(Bug::ReaderDiesWithANewerSnapshot) && !lock(&disk).files.contains_key(&id) {
                return Err(StorageError::new(StorageErrorKind::Io, "reading a snapshot", "the file is gone"));
            }
            Ok(chunk)
        });
        Ok(Some(SnapshotReader { meta: published.meta, size_bytes: published.size_bytes, chunks: chunks.boxed() }))
    }

    fn raft_state_size(&self) -> u64 {
        let size = self.look(|group, bug| match bug {
            Some(Bug::SizesForgetARestart) => group.visible.size_bytes().saturating_sub(group.size_at_open),
            Some(Bug::ReplacedEntriesStillCount) => group.visible.size_bytes() + group.replaced_bytes,
            _ => group.visible.size_bytes(),
        });
        size.unwrap_or(0)
    }

    fn snapshot_size(&self) -> u64 {
        let size = self.look(|group, _| group.visible.published.as_ref().map_or(0, |it| it.size_bytes));
        size.unwrap_or(0)
    }

    fn room_bytes(&self) -> u64 {
        u64::MAX
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    async fn close(&self) -> Result<()> {
        self.open()?;
        idle(&self.shared).await;
        self.closed.store(true, Ordering::SeqCst);
        lock(&self.shared).give_back(self.id);
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.closed.load(Ordering::SeqCst) {
            lock(&self.shared).give_back(self.id);
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("group", &self.id).finish_non_exhaustive()
    }
}

/// A snapshot being written: in memory until it is finished.
struct Stage {
    shared: Shared,
    id: GroupId,
    meta: SnapshotMeta,
    bytes: BytesMut,
}

#[async_trait]
impl SnapshotWriter for Stage {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.bytes.extend_from_slice(&chunk);
        lock(&self.shared).alive()
    }

    async fn finish(self: Box<Self>) -> Result<StagedSnapshot> {
        let Stage { shared, id, meta, bytes } = *self;
        lock(&shared).finish(id, meta, bytes.freeze())
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
