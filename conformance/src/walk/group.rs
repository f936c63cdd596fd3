//! One group on a walk: what its store must show, and what an operation means where it stands.

use bytes::Bytes;
use eraft_core::{
    Entry, EntryId, HardState, LogChange, LogIndex, NodeId, RaftStateUpdate, Receipt, SnapshotReader, Term,
};

use super::operation::{Change, Vote, Wrong};
use crate::{Content, Handle, Model, make::*};

const CHUNK_BYTES: usize = 1500;

/// A group, its open handle, and all that it may show.
pub(super) struct Group {
    pub(super) storage: Handle,
    /// The state after each save since all was known, the known one first.
    pub(super) history: Vec<Model>,
    /// Receipts not yet awaited, of the newest saves.
    pub(super) receipts: Vec<Receipt>,
    pub(super) reader: Option<Reading>,
    /// Terms only grow.
    term: u64,
}

/// A reader that is open, what it must give, and what it gave so far.
pub(super) struct Reading {
    pub(super) content: Content,
    pub(super) reader: SnapshotReader,
    pub(super) read: Vec<u8>,
}

/// A save, ready to be made.
pub(super) struct Planned {
    pub(super) update: RaftStateUpdate,
    /// What it publishes, and in which chunks that is staged.
    pub(super) publish: Option<(Content, Vec<Bytes>)>,
    /// What it is, in words.
    pub(super) words: String,
}

impl Group {
    pub(super) fn new(storage: Handle, known: Model) -> Group {
        Group { storage, history: vec![known], receipts: Vec::new(), reader: None, term: 1 }
    }

    /// The state after all that was handed in.
    pub(super) fn newest(&self) -> &Model {
        self.history.last().expect("a history has its first state")
    }

    /// How many saves are known to be durable, of those in the history.
    pub(super) fn acknowledged(&self) -> usize {
        self.history.len() - 1 - self.receipts.len()
    }

    /// From now on the store shows the state after the `nth` save of the history.
    pub(super) fn settle(&mut self, nth: usize) {
        self.history.truncate(nth + 1);
        self.history.drain(..nth);
        self.receipts.clear();
    }

    fn snapshot(&self) -> EntryId {
        let state = &self.newest().state;
        state.snapshot.as_ref().map_or(state.outline.base(), |meta| meta.last)
    }

    fn id(&self, index: u64) -> EntryId {
        let term = self.newest().state.outline.term(LogIndex(index));
        EntryId { term: term.expect("an index within the log"), index: LogIndex(index) }
    }

    /// What a save is here; `None` where it is not possible.
    pub(super) fn plan(&mut self, change: Change, vote: Option<Vote>) -> Option<Planned> {
        let outline = &self.newest().state.outline;
        let (base, last, snapshot) = (outline.base(), outline.last(), self.snapshot());
        let behind = |from: LogIndex, back: u64, least: LogIndex| from.0 - back.min(from.0 - least.0);
        self.term = self.term.max(last.term.0);
        let (log, meta, mut words) = match change {
            Change::Keep => (LogChange::Keep, None, "saves no change of the log".to_owned()),
            Change::Append { back, count, size_bytes, new_term, configs } => {
                self.term += u64::from(new_term);
                let first = behind(last.index, back, snapshot.index) + 1;
                let new = self.entries(first, count, size_bytes, configs);
                let kind = if configs { "configurations" } else { "entries" };
                let replaces = if first > last.index.0 { "" } else { ", which replace what stood there" };
                let (end, term) = (first + count - 1, self.term);
                let words = format!("{kind} {first}..={end} of term {term}, {size_bytes} bytes each{replaces}");
                (LogChange::Append(new), None, words)
            }
            Change::Publish { back, chunks, compacts } if last.index > snapshot.index => {
                let id = self.id(behind(last.index, back, snapshot.index.next()));
                let log = if compacts { LogChange::CompactTo(id) } else { LogChange::Keep };
                let compacts = if compacts { ", and compacts to it" } else { "" };
                (log, Some((id, chunks)), format!("publishes a snapshot at {id} of {chunks} chunks{compacts}"))
            }
            Change::Compact { back } if snapshot.index > base.index => {
                let id = self.id(behind(snapshot.index, back, base.index.next()));
                (LogChange::CompactTo(id), None, format!("compacts to {id}"))
            }
            Change::Reset { ahead, chunks } => {
                let base = EntryId::new(self.term, snapshot.index.0 + 1 + ahead);
                (LogChange::Reset { base }, Some((base, chunks)), format!("resets to {base} of {chunks} chunks"))
            }
            Change::Publish { .. } | Change::Compact { .. } => return None,
        };
        let hard_state = vote.map(|Vote { node, back }| {
            let commit = LogIndex(behind(last.index, back, LogIndex(0)));
            HardState { term: Term(self.term), vote: node.map(NodeId), commit }
        });
        if let Some(HardState { term, vote, commit }) = hard_state {
            let node = vote.map_or("nobody".to_owned(), |node| format!("node {node}"));
            words += &format!("; a vote for {node} in term {term}, commit {commit}");
        }
        let publish = meta.map(|(EntryId { term, index }, count)| {
            let chunks = chunks(term.0.rotate_left(32) ^ index.0, count, CHUNK_BYTES);
            (Content::new(meta_at(term, index), &chunks), chunks)
        });
        Some(Planned { update: RaftStateUpdate { hard_state, log }, publish, words })
    }

    fn entries(&self, first: u64, count: u64, size_bytes: usize, configs: bool) -> Vec<Entry> {
        let entry = |index| match configs {
            true => config(self.term, index, &[1, 2, index]),
            false => bulky(self.term, index, size_bytes),
        };
        (first..first + count).map(entry).collect()
    }

    /// A save that must be refused, whatever is queued.
    pub(super) fn wrong(&self, wrong: Wrong) -> RaftStateUpdate {
        let outline = &self.newest().state.outline;
        let (base, last) = (outline.base().index.0, outline.last_index().0);
        match wrong {
            Wrong::Gap => append(entries(self.term, last + 2, last + 3)),
            Wrong::AtTheBase => append(entries(self.term, base, base)),
            Wrong::ResetWithoutItsSnapshot => reset(self.term, last + 1),
        }
    }
}

fn meta_at(term: Term, index: LogIndex) -> eraft_core::SnapshotMeta {
    meta(term.0, index.0)
}

/// What reading from `start` on gives, by the contract; `None` where that is compacted.
pub(super) fn read(model: &Model, start: LogIndex, max_bytes: u64) -> Option<Vec<Entry>> {
    if start <= model.state.outline.base().index {
        return None;
    }
    let from_start = model.entries.iter().filter(|entry| entry.index >= start);
    let mut taken_bytes = 0_u64;
    let fitting = from_start.enumerate().take_while(|(nth, entry)| {
        taken_bytes = taken_bytes.saturating_add(entry.size_bytes());
        *nth == 0 || taken_bytes <= max_bytes
    });
    Some(fitting.map(|(_, entry)| entry.clone()).collect())
}
