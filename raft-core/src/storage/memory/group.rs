//! One group's data: what is durable, what is queued behind it, and what is staged.
//!
//! Plain data under the disk's one lock: nothing here waits, and nothing here knows of handles or sessions.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    storage::{Completion, Result, StorageError, StorageErrorKind},
    types::{Entry, Identity, LogChange, LogIndex, RaftState, RaftStateUpdate, SnapshotMeta, StagedSnapshot},
};

/// A snapshot's bytes with what they stand for; shared with every reader that is open on it.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) meta: SnapshotMeta,
    pub(super) chunks: Arc<[Bytes]>,
}

impl Content {
    pub(super) fn size_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }
}

/// A save that was accepted and is not yet durable.
#[derive(Debug)]
pub(super) struct Pending {
    update: RaftStateUpdate,
    publish: Option<String>,
    completion: Completion,
}

/// One group.
///
/// Invariants:
/// - `entries` are exactly the ones that `state.outline` describes, in order from its first index on, and `entries_bytes` is
///   their size;
/// - `tail` is `state` after everything in `queue`;
/// - `snapshot` is there exactly when `state.snapshot` is, with that meta;
/// - whatever `queue` publishes is in `staged`, and is published by one save only.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) state: RaftState,
    tail: RaftState,
    entries: Vec<Entry>,
    entries_bytes: u64,
    queue: VecDeque<Pending>,
    staged: BTreeMap<String, Content>,
    pub(super) snapshot: Option<Content>,
}

impl Group {
    pub(super) fn blank(identity: Identity) -> Group {
        let state = RaftState::blank(identity);
        Group {
            tail: state.clone(),
            state,
            entries: Vec::new(),
            entries_bytes: 0,
            queue: VecDeque::new(),
            staged: BTreeMap::new(),
            snapshot: None,
        }
    }

    /// Accepts a save into the queue, or refuses it without a trace.
    pub(super) fn submit(
        &mut self,
        update: RaftStateUpdate,
        publish: Option<StagedSnapshot>,
        completion: Completion,
    ) -> std::result::Result<(), (StorageError, Completion)> {
        let checked = match &publish {
            None => Ok(()),
            Some(staged) => self.find_staged(staged),
        };
        match checked.and_then(|()| self.tail.apply(&update, publish.as_ref().map(|staged| &staged.meta))) {
            Ok(()) => {
                self.queue.push_back(Pending { update, publish: publish.map(|staged| staged.id), completion });
                Ok(())
            }
            Err(error) => Err((error, completion)),
        }
    }

    /// Makes the oldest queued save durable. Whether there was one.
    pub(super) fn commit_next(&mut self) -> Result<bool> {
        let Some(pending) = self.queue.pop_front() else { return Ok(false) };
        let content = pending.publish.and_then(|id| self.staged.remove(&id));
        let base = self.state.outline.base().index;
        self.state.apply(&pending.update, content.as_ref().map(|content| &content.meta))?;
        match pending.update.log {
            LogChange::Keep => {}
            LogChange::Append(entries) => {
                if let Some(first) = entries.first() {
                    self.remove(position(base, first.index)..usize::MAX);
                }
                self.entries_bytes += size_bytes(&entries);
                self.entries.extend(entries);
            }
            LogChange::CompactTo(id) => self.remove(0..position(base, id.index.next())),
            LogChange::Reset { .. } => self.remove(0..usize::MAX),
        }
        if content.is_some() {
            self.snapshot = content;
        }
        pending.completion.complete(Ok(()));
        Ok(true)
    }

    /// Fails everything queued: the oldest with `error`, the rest as poisoned by it. Whether there was anything.
    pub(super) fn fail_all(&mut self, error: &StorageError) -> bool {
        let any = !self.queue.is_empty();
        for (nth, pending) in self.queue.drain(..).enumerate() {
            pending.completion.complete(Err(if nth == 0 { error.clone() } else { error.poisoned() }));
        }
        self.tail = self.state.clone();
        any
    }

    /// What a crash, or the next open, does: the queue is lost without an answer, and nothing staged remains.
    pub(super) fn forget_unsaved(&mut self) {
        self.queue.clear();
        self.staged.clear();
        self.tail = self.state.clone();
    }

    pub(super) fn add_staged(&mut self, id: String, content: Content) {
        self.staged.insert(id, content);
    }

    pub(super) fn discard(&mut self, staged: &StagedSnapshot) -> Result<()> {
        self.find_staged(staged)?;
        self.staged.remove(&staged.id);
        Ok(())
    }

    pub(super) fn read(&self, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Entry>> {
        let base = self.state.outline.base();
        if range.start <= base.index {
            return Err(StorageError::new(
                StorageErrorKind::Compacted,
                "reading entries",
                format!("entry {} was asked for, the log starts after {base}: use the snapshot", range.start),
            ));
        }
        let mut room = max_bytes;
        let mut found = Vec::new();
        let wanted = self.entries.iter().skip(position(base.index, range.start));
        for entry in wanted.take_while(|entry| entry.index < range.end) {
            match room.checked_sub(entry.size_bytes()) {
                Some(left) => room = left,
                None if found.is_empty() => room = 0,
                None => break,
            }
            found.push(entry.clone());
        }
        Ok(found)
    }

    pub(super) fn state_size_bytes(&self) -> u64 {
        self.entries_bytes
    }

    fn remove(&mut self, positions: Range<usize>) {
        let end = positions.end.min(self.entries.len());
        let removed: Vec<_> = self.entries.drain(positions.start.min(end)..end).collect();
        self.entries_bytes -= size_bytes(&removed);
    }

    fn find_staged(&self, staged: &StagedSnapshot) -> Result<()> {
        let queued = self.queue.iter().any(|pending| pending.publish.as_ref() == Some(&staged.id));
        let known = self.staged.get(&staged.id);
        if !queued && known.is_some_and(|known| known.meta == staged.meta && known.size_bytes() == staged.size_bytes) {
            return Ok(());
        }
        let found = if queued { "it is being published already" } else { "nothing like it is staged here" };
        Err(StorageError::invalid(format!(
            "the staged snapshot {:?} at {}: {found}; stage it anew",
            staged.id, staged.meta.last
        )))
    }
}

fn size_bytes(entries: &[Entry]) -> u64 {
    entries.iter().map(Entry::size_bytes).sum()
}

/// Where the entry at `index` stands among those kept above `base`; beyond every position where it cannot be one.
fn position(base: LogIndex, index: LogIndex) -> usize {
    usize::try_from(index.0.saturating_sub(base.0).saturating_sub(1)).unwrap_or(usize::MAX)
}
