//! Wrong backends: the reference storage with one decision changed.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use eraft_core::{
    Entry, LogChange, LogIndex, RaftState, RaftStateUpdate, Receipt, Result, SnapshotMeta, SnapshotReader,
    SnapshotWriter, StagedSnapshot, Storage, StorageError, StorageErrorKind,
};
use futures_util::{FutureExt as _, StreamExt as _};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The first entry of a conflicting suffix stays.
    TruncatesOneTooLate,
    /// A finished stage is taken for published.
    ShowsStaged,
    /// A receipt resolves before the one that precedes it.
    ReceiptsOutOfOrder,
    /// A save without entries is acknowledged and dropped.
    ForgetsLoneHardStates,
    /// After an invalid save no other is taken.
    InvalidPoisons,
    /// An invalid save's hard state is written.
    InvalidSavesHardState,
    /// `max_bytes` has no exception for the first entry.
    ReadsNothingTooLarge,
    /// The entry that crosses `max_bytes` comes along.
    ReadsOneOver,
    /// A reader fails once a newer snapshot is published.
    ReaderDiesWithNewer,
    /// The state's size counts from the opening on.
    SizesForgetRestart,
    /// Later saves are refused, but not why.
    PoisonWithoutCause,
}

/// By how much a receipt out of order is late.
const LATE: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(crate) struct Wrong {
    inner: Arc<dyn Storage>,
    bug: Bug,
    size_at_open: u64,
    saves: AtomicU64,
    published: Arc<AtomicU64>,
    poisoned: AtomicBool,
    /// What was staged last, as if it were published.
    staged: Arc<Mutex<Option<(SnapshotMeta, Bytes)>>>,
}

impl Wrong {
    pub(crate) fn wrap(inner: Arc<dyn Storage>, bug: Bug) -> Arc<dyn Storage> {
        Arc::new(Wrong {
            size_at_open: inner.raft_state_size(),
            inner,
            bug,
            saves: AtomicU64::new(0),
            published: Arc::default(),
            poisoned: AtomicBool::new(false),
            staged: Arc::default(),
        })
    }

    /// What the bug makes of a save before it is made.
    fn changed(&self, mut update: RaftStateUpdate) -> RaftStateUpdate {
        let last = self.inner.read_raft_state().now_or_never().unwrap().map(|state| state.outline.last());
        match (&mut update.log, last) {
            (LogChange::Append(new), Ok(last))
                if self.bug == Bug::TruncatesOneTooLate
                    && new.first().is_some_and(|first| first.index <= last.index)
                    && new.len() > 1 =>
            {
                new.remove(0);
            }
            (LogChange::Append(new), Ok(last))
                if self.bug == Bug::TruncatesOneTooLate
                    && new.first().is_some_and(|first| first.index <= last.index) =>
            {
                update.log = LogChange::Keep;
            }
            (LogChange::Keep, _) if self.bug == Bug::ForgetsLoneHardStates => update.hard_state = None,
            _ => {}
        }
        update
    }

    /// What the bug makes of the outcome.
    fn outcome(&self, update: &RaftStateUpdate, outcome: Result<()>) -> Result<()> {
        let Err(error) = &outcome else { return outcome };
        match (self.bug, error.kind()) {
            (Bug::InvalidPoisons, StorageErrorKind::Invalid) => self.poisoned.store(true, Ordering::Relaxed),
            (Bug::InvalidSavesHardState, StorageErrorKind::Invalid) => {
                let alone = RaftStateUpdate { hard_state: update.hard_state, log: LogChange::Keep };
                drop(self.inner.save_raft_state(alone));
            }
            (Bug::PoisonWithoutCause, StorageErrorKind::Poisoned) => {
                return Err(StorageError::new(StorageErrorKind::Poisoned, "saving", "the store has failed"));
            }
            _ => {}
        }
        outcome
    }

    fn save(&self, update: RaftStateUpdate, publish: Option<StagedSnapshot>) -> Receipt {
        if self.poisoned.load(Ordering::Relaxed) {
            let poisoned = StorageError::new(StorageErrorKind::Poisoned, "saving", "an invalid save came before");
            return Receipt::resolved(Err(poisoned));
        }
        let changed = self.changed(update.clone());
        let receipt = match publish {
            None => self.inner.save_raft_state(changed),
            Some(snapshot) => {
                self.published.fetch_add(1, Ordering::Relaxed);
                *self.staged.lock().unwrap() = None;
                self.inner.save_state_and_snapshot(changed, snapshot)
            }
        };
        // The reference answers at once.
        let outcome = self.outcome(&update, receipt.now_or_never().unwrap());
        let nth = self.saves.fetch_add(1, Ordering::Relaxed);
        if self.bug != Bug::ReceiptsOutOfOrder || outcome.is_err() {
            return Receipt::resolved(outcome);
        }
        // Every second one resolves at once, and so before the one that precedes it: a thread that is starved between two
        // calls may miss that once, not at every pair.
        if nth % 2 == 1 {
            return Receipt::resolved(outcome);
        }
        let (completion, receipt) = Receipt::pending();
        tokio::spawn(async move {
            tokio::time::sleep(LATE).await;
            completion.complete(outcome);
        });
        receipt
    }
}

#[async_trait]
impl Storage for Wrong {
    fn save_raft_state(&self, update: RaftStateUpdate) -> Receipt {
        self.save(update, None)
    }

    fn save_state_and_snapshot(&self, update: RaftStateUpdate, snapshot: StagedSnapshot) -> Receipt {
        self.save(update, Some(snapshot))
    }

    async fn stage_snapshot(&self, meta: SnapshotMeta) -> Result<Box<dyn SnapshotWriter>> {
        let inner = self.inner.stage_snapshot(meta.clone()).await?;
        if self.bug != Bug::ShowsStaged {
            return Ok(inner);
        }
        Ok(Box::new(Shown { inner, meta, bytes: Vec::new(), staged: Arc::clone(&self.staged) }))
    }

    async fn discard_snapshot(&self, staged: StagedSnapshot) -> Result<()> {
        self.inner.discard_snapshot(staged).await
    }

    async fn read_raft_state(&self) -> Result<RaftState> {
        self.inner.read_raft_state().await
    }

    async fn read_entries(&self, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Entry>> {
        let mut found = self.inner.read_entries(range.clone(), max_bytes).await?;
        let size_bytes: u64 = found.iter().map(Entry::size_bytes).sum();
        if self.bug == Bug::ReadsNothingTooLarge && size_bytes > max_bytes {
            found.clear();
        }
        if self.bug == Bug::ReadsOneOver
            && let Some(last) = found.last()
        {
            let next = last.index.next();
            found.extend(self.inner.read_entries(next..range.end, 0).await?);
        }
        Ok(found)
    }

    async fn read_snapshot(&self) -> Result<Option<SnapshotReader>> {
        let reader = self.inner.read_snapshot().await?;
        if let Some((meta, bytes)) = self.staged.lock().unwrap().clone() {
            let size_bytes = bytes.len() as u64;
            let chunks = futures_util::stream::iter([Ok(bytes)]).boxed();
            return Ok(Some(SnapshotReader { meta, size_bytes, chunks }));
        }
        if self.bug != Bug::ReaderDiesWithNewer {
            return Ok(reader);
        }
        let (published, opened_at) = (Arc::clone(&self.published), self.published.load(Ordering::Relaxed));
        Ok(reader.map(|reader| SnapshotReader {
            chunks: reader
                .chunks
                .map(move |chunk| {
                    let gone = StorageError::new(StorageErrorKind::Io, "reading a snapshot", "the file is gone");
                    if published.load(Ordering::Relaxed) == opened_at { chunk } else { Err(gone) }
                })
                .boxed(),
            ..reader
        }))
    }

    fn raft_state_size(&self) -> u64 {
        let forgotten = if self.bug == Bug::SizesForgetRestart { self.size_at_open } else { 0 };
        self.inner.raft_state_size().saturating_sub(forgotten)
    }

    fn snapshot_size(&self) -> u64 {
        self.inner.snapshot_size()
    }

    fn room_bytes(&self) -> u64 {
        self.inner.room_bytes()
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

/// A writer whose snapshot is seen as soon as it is finished.
struct Shown {
    inner: Box<dyn SnapshotWriter>,
    meta: SnapshotMeta,
    bytes: Vec<u8>,
    staged: Arc<Mutex<Option<(SnapshotMeta, Bytes)>>>,
}

#[async_trait]
impl SnapshotWriter for Shown {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.bytes.extend_from_slice(&chunk);
        self.inner.write(chunk).await
    }

    async fn finish(self: Box<Self>) -> Result<StagedSnapshot> {
        *self.staged.lock().unwrap() = Some((self.meta, self.bytes.into()));
        self.inner.finish().await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort().await
    }
}
