//! The apply task: hands committed entries to the state machine, in order, each exactly once, and answers the clients
//! that wait for them.
//!
//! It may assume that what it is told to apply is committed and durable. It must answer nobody before the state machine
//! has applied.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use eraft_core::{Entry, EntryId, LogIndex, StateMachine, StorageError, StorageErrorKind, Term};
use tokio::sync::Notify;

use crate::{ProposeError, ReadError, StopCause, requests::Answer, shared::Shared};

/// What waits to be applied and answered. The loop fills it without waiting: a range is two numbers however many entries
/// it spans, and every answer holds its request's share of the bounds.
#[derive(Debug, Default)]
pub(crate) struct ApplyQueue {
    inner: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Where the committed entries end (exclusive).
    end: LogIndex,
    proposals: VecDeque<(EntryId, Answer<Bytes, ProposeError>)>,
    reads: VecDeque<(LogIndex, Answer<(), ReadError>)>,
    closed: bool,
}

impl ApplyQueue {
    /// Entries up to the end of `range` are to be applied; ranges continue each other.
    pub(crate) fn push_range(&self, range: &Range<LogIndex>) {
        let mut waiting = self.lock();
        waiting.end = waiting.end.max(range.end);
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

    /// The task ends after the batch it is at.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
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
        ApplyTask { shared, queue, state_machine, applied, proposals: BTreeMap::new(), reads: BTreeMap::new() }
    }

    /// Runs until the queue is closed.
    ///
    /// # Errors
    /// The cause for which the node must end.
    pub(crate) async fn run(mut self) -> Result<(), StopCause> {
        while let Some(end) = self.take_waiting() {
            self.answer_reads();
            if self.applied.next() < end {
                let batch = self.read(self.applied.next()..end).await?;
                self.apply(batch).await?;
                self.shared.signals.set_applied(self.applied);
                self.answer_reads();
            } else {
                self.queue.wake.notified().await;
            }
        }
        Ok(())
    }

    /// Takes over who waits; where the committed entries end, or `None` at the end of the node.
    fn take_waiting(&mut self) -> Option<LogIndex> {
        let mut waiting = self.queue.lock();
        for (id, answer) in waiting.proposals.drain(..) {
            self.proposals.insert(id.index, (id.term, answer));
        }
        for (index, answer) in waiting.reads.drain(..) {
            self.reads.entry(index).or_default().push(answer);
        }
        if waiting.closed { None } else { Some(waiting.end) }
    }

    async fn read(&mut self, range: Range<LogIndex>) -> Result<Vec<Entry>, StopCause> {
        let max_bytes = self.shared.options.max_apply_bytes;
        let entries = match self.shared.cache.read(&range, max_bytes) {
            Some(entries) => entries,
            None => self.shared.storage.read_entries(range.clone(), max_bytes).await?,
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
        Ok(entries)
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
        Ok(())
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
