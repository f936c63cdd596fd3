//! The apply task: hands committed entries to the state machine, in order, each exactly once, and answers the clients
//! that wait for them; has it restored, and asks it for a view of itself, between two batches.
//!
//! It may assume that what it is told to apply or to restore is committed and durable. It must answer nobody before the
//! state machine has applied. A received snapshot may overtake what was still to be applied: the log does not hold that
//! any more, and the restore that follows brings it.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use eraft_core::{Entry, EntryId, LogIndex, StateMachine, StorageError, StorageErrorKind, Term};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    ProposeError, ReadError, StopCause,
    requests::Answer,
    shared::Shared,
    snapshots::{self, Captured, News},
};

/// What waits to be applied and answered. The loop fills it without waiting: a range is two numbers however many entries
/// it spans, and every answer holds its request's share of the bounds.
#[derive(Debug, Default)]
pub(crate) struct ApplyQueue {
    inner: Mutex<Waiting>,
    wake: Notify,
    closed: CancellationToken,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Where the committed entries end (exclusive).
    end: LogIndex,
    proposals: VecDeque<(EntryId, Answer<Bytes, ProposeError>)>,
    reads: VecDeque<(LogIndex, Answer<(), ReadError>)>,
    /// The state machine is to be restored from a snapshot that ends here or later.
    restore: Option<LogIndex>,
    /// A view of the state machine is wanted.
    capture: bool,
}

/// What the task does next.
#[derive(Debug)]
enum Todo {
    Restore(LogIndex),
    Capture,
    Apply(Range<LogIndex>),
    Wait,
}

impl ApplyQueue {
    /// Entries up to the end of `range` are to be applied; ranges continue each other.
    pub(crate) fn push_range(&self, range: &Range<LogIndex>) {
        let mut waiting = self.lock();
        waiting.end = waiting.end.max(range.end);
    }

    /// The state machine is to be restored from the published snapshot, which ends at `index` or later; whatever is still
    /// to be applied up to there is superseded.
    pub(crate) fn push_restore(&self, index: LogIndex) {
        self.lock().restore = Some(index);
    }

    /// A view of the state machine is wanted, after the batch that is being applied.
    pub(crate) fn capture(&self) {
        self.lock().capture = true;
        self.wake.notify_one();
    }

    /// `answer` gets the reply to this entry, which has not been applied yet.
    pub(crate) fn push_proposal(&self, id: EntryId, answer: Answer<Bytes, ProposeError>) {
        self.lock().proposals.push_back((id, answer));
    }

    /// `answer` is given once `index` is applied.
    pub(crate) fn push_read(&self, index: LogIndex, answer: Answer<(), ReadError>) {
        self.lock().reads.push_back((index, answer));
    }

    /// Wakes the task, once everything of a turn has been pushed.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// The task ends after the batch it is at; a restore is given up, the next start does it again.
    pub(crate) fn close(&self) {
        self.closed.cancel();
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state machine, and who waits for it.
pub(crate) struct ApplyTask {
    shared: Arc<Shared>,
    queue: Arc<ApplyQueue>,
    state_machine: Box<dyn StateMachine>,
    applied: LogIndex,
    /// The log does not hold what was to be applied next: a restore is on its way.
    overtaken: bool,
    proposals: BTreeMap<LogIndex, (Term, Answer<Bytes, ProposeError>)>,
    reads: BTreeMap<LogIndex, Vec<Answer<(), ReadError>>>,
}

impl ApplyTask {
    pub(crate) fn new(
        shared: Arc<Shared>,
        queue: Arc<ApplyQueue>,
        state_machine: Box<dyn StateMachine>,
        applied: LogIndex,
    ) -> ApplyTask {
        ApplyTask {
            shared,
            queue,
            state_machine,
            applied,
            overtaken: false,
            proposals: BTreeMap::new(),
            reads: BTreeMap::new(),
        }
    }

    /// Runs until the queue is closed.
    ///
    /// # Errors
    /// The cause for which the node must end.
    pub(crate) async fn run(mut self) -> Result<(), StopCause> {
        while !self.queue.closed.is_cancelled() {
            let todo = self.take_waiting();
            self.answer_reads();
            match todo {
                Todo::Restore(index) => self.restore(index).await?,
                Todo::Capture => self.capture().await?,
                Todo::Apply(range) => match self.read(range).await? {
                    Some(batch) => self.apply(batch).await?,
                    None => self.overtaken = true,
                },
                Todo::Wait => self.queue.wake.notified().await,
            }
        }
        Ok(())
    }

    /// Takes over who waits, and decides what to do.
    fn take_waiting(&mut self) -> Todo {
        let mut waiting = self.queue.lock();
        for (id, answer) in waiting.proposals.drain(..) {
            self.proposals.insert(id.index, (id.term, answer));
        }
        for (index, answer) in waiting.reads.drain(..) {
            self.reads.entry(index).or_default().push(answer);
        }
        if let Some(index) = waiting.restore.take() {
            Todo::Restore(index)
        } else if std::mem::take(&mut waiting.capture) {
            Todo::Capture
        } else if self.applied.next() < waiting.end && !self.overtaken {
            Todo::Apply(self.applied.next()..waiting.end)
        } else {
            Todo::Wait
        }
    }

    /// Restores the state machine from the published snapshot, as soon as the store can give it: its bytes may be in a place
    /// that is away for a while, and the node votes and saves without them.
    async fn restore(&mut self, index: LogIndex) -> Result<(), StopCause> {
        loop {
            match self.try_restore(index).await {
                Err(StopCause::Storage(error)) if error.kind() == StorageErrorKind::Unavailable => {
                    warn!(%error, "the state machine is not restored yet; it is tried again");
                }
                done => return done,
            }
            tokio::select! {
                () = tokio::time::sleep(self.shared.options.snapshot_retry) => {}
                () = self.queue.closed.cancelled() => return Ok(()),
            }
        }
    }

    /// Restores the state machine from the published snapshot, and answers whom that concerns.
    async fn try_restore(&mut self, index: LogIndex) -> Result<(), StopCause> {
        let found = self.shared.storage.read_snapshot().await?;
        let Some(snapshot) = found.filter(|snapshot| snapshot.meta.last.index >= index) else {
            return Err(StopCause::Storage(StorageError::new(
                StorageErrorKind::Corrupt,
                "restoring the state machine",
                format!("the store does not show the snapshot up to {index} that it has published: check the disk"),
            )));
        };
        let last = snapshot.meta.last;
        info!(%last, size_bytes = snapshot.size_bytes, "restoring the state machine from a snapshot");
        let (snapshot, cut_short) = snapshots::noting(snapshot);
        let failed = |error| match cut_short.get() {
            // What the state machine made of it says less than what the store said.
            Some(error) if error.kind() == StorageErrorKind::Unavailable => StopCause::Storage(error.clone()),
            _ => {
                StopCause::StateMachine { index: last.index, reason: format!("restoring it from a snapshot: {error}") }
            }
        };
        tokio::select! {
            biased;
            restored = self.state_machine.restore(snapshot) => restored.map_err(failed)?,
            () = self.queue.closed.cancelled() => return Ok(()),
        }
        info!(%last, "the state machine is restored");
        self.overtaken = false;
        let after = self.proposals.split_off(&last.index.next());
        for (_, answer) in std::mem::replace(&mut self.proposals, after).into_values() {
            answer.give(Err(ProposeError::Overtaken));
        }
        self.set_applied(last.index);
        Ok(())
    }

    /// Asks the state machine for a view of itself; the loop knows what to do with it.
    async fn capture(&mut self) -> Result<(), StopCause> {
        let index = self.applied;
        let failed = |error| StopCause::StateMachine { index, reason: format!("taking a snapshot: {error}") };
        let stream = self.state_machine.snapshot().await.map_err(failed)?;
        let _no_loop_is_there_at_the_end = self.shared.tell(News::Captured(Captured { index, stream })).await;
        Ok(())
    }

    /// The entries to apply next; `None` where a received snapshot has overtaken them.
    async fn read(&mut self, range: Range<LogIndex>) -> Result<Option<Vec<Entry>>, StopCause> {
        let max_bytes = self.shared.options.max_apply_bytes;
        let entries = match self.shared.cache.read(&range, max_bytes) {
            Some(entries) => entries,
            None => match self.shared.storage.read_entries(range.clone(), max_bytes).await {
                // What was compacted by a snapshot taken here was applied before.
                Err(error) if error.kind() == StorageErrorKind::Compacted => return Ok(None),
                read => read?,
            },
        };
        let as_asked = entries.iter().map(|entry| entry.index.0).eq((range.start.0..range.end.0).take(entries.len()));
        if entries.is_empty() || !as_asked {
            return Err(StopCause::Storage(StorageError::new(
                StorageErrorKind::Corrupt,
                "reading committed entries",
                format!(
                    "entries {} to {} are committed and durable, the store gave {} entries from {}: check the disk",
                    range.start,
                    range.end.prev(),
                    entries.len(),
                    entries.first().map_or("nowhere".to_owned(), |entry| entry.index.to_string())
                ),
            )));
        }
        Ok(Some(entries))
    }

    async fn apply(&mut self, batch: Vec<Entry>) -> Result<(), StopCause> {
        let first = self.applied.next();
        let ids: Vec<EntryId> = batch.iter().map(Entry::id).collect();
        let failed = |reason: String| StopCause::StateMachine { index: first, reason };
        let replies = self.state_machine.apply(batch).await.map_err(|error| failed(error.to_string()))?;
        if replies.len() != ids.len() {
            return Err(failed(format!(
                "it gave {} replies to {} entries; expected one to each",
                replies.len(),
                ids.len()
            )));
        }
        for (id, reply) in ids.into_iter().zip(replies) {
            self.applied = id.index;
            if let Some((term, answer)) = self.proposals.remove(&id.index) {
                assert_eq!(term, id.term, "entry {} was committed in another term than it is applied in", id.index);
                answer.give(Ok(reply));
            }
        }
        self.set_applied(self.applied);
        Ok(())
    }

    fn set_applied(&mut self, index: LogIndex) {
        self.applied = index;
        self.shared.signals.set_applied(index);
        self.answer_reads();
    }

    fn answer_reads(&mut self) {
        while let Some(first) = self.reads.first_entry()
            && *first.key() <= self.applied
        {
            for answer in first.remove() {
                answer.give(Ok(()));
            }
        }
    }
}
