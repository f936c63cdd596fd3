//! What is saved, and the state that it leads to.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use bytes::Bytes;
use eraft_core::{
    ClusterId, ConfState, Entry, EntryId, HardState, Identity, LogChange, LogIndex, NodeId, RaftState, RaftStateUpdate,
    SnapshotMeta, StoreId, Term,
};
use fastrand::Rng;

use super::lines::Step;

/// The saves of one process. Another process never repeats them, so that a stale one coming back is seen. A save's number
/// is the vote in its hard state, so that a state tells which save it ends with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Script {
    pub(super) seed: u64,
    pub(super) run: u64,
    /// Whether it only appends, much at a time.
    pub(super) fills: bool,
}

/// What a store holds.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) state: RaftState,
    pub(super) entries: BTreeMap<LogIndex, Entry>,
    pub(super) snapshot: Vec<u8>,
}

impl Script {
    /// The save after which the state is number `number`.
    pub(super) fn step(self, number: u64, state: &RaftState) -> Step {
        let mut hasher = DefaultHasher::new();
        (self.seed, self.run, number).hash(&mut hasher);
        let mut rng = Rng::with_seed(hasher.finish());
        let mut term = state.hard_state.term.max(Term(1));
        let (last, snapshot) =
            (state.outline.last_index(), state.snapshot.as_ref().map_or(EntryId::ZERO, |meta| meta.last));
        let (log, published) = match rng.u8(..100) {
            _ if self.fills => (LogChange::Append(vec![entry(&mut rng, term, last.0 + 1, 20_000)]), None),
            // Publish a snapshot somewhere in the log, and mostly drop what it covers.
            0..8 if last > snapshot.index => {
                let index = LogIndex(rng.u64(snapshot.index.0 + 1..=last.0));
                let id = EntryId { term: state.outline.term(index).unwrap(), index };
                (if rng.u8(..4) > 0 { LogChange::CompactTo(id) } else { LogChange::Keep }, Some(id))
            }
            // Install one from beyond the log.
            8..10 => {
                let base = EntryId { term, index: LogIndex(last.0 + rng.u64(1..20)) };
                (LogChange::Reset { base }, Some(base))
            }
            // A new term replaces the end of the log.
            10..25 => {
                term = Term(term.0 + 1);
                let first = last.0.saturating_sub(rng.u64(..6)).max(snapshot.index.0) + 1;
                (LogChange::Append(entries(&mut rng, term, first)), None)
            }
            25..30 => (LogChange::Keep, None),
            _ => (LogChange::Append(entries(&mut rng, term, last.0 + 1)), None),
        };
        let hard_state = Some(HardState { term, vote: Some(NodeId(number)), commit: snapshot.index });
        let snapshot = published.map(|last| {
            let size_bytes = rng.usize(..20_000);
            (last, std::iter::repeat_with(|| rng.u8(..)).take(size_bytes).collect())
        });
        Step { update: RaftStateUpdate { hard_state, log }, snapshot }
    }
}

impl Model {
    /// Of a store that was just made.
    pub(super) fn blank() -> Model {
        let identity = Identity { cluster: ClusterId(0), node: NodeId(1), store: StoreId(0) };
        Model { state: RaftState::blank(identity), entries: BTreeMap::new(), snapshot: Vec::new() }
    }

    /// Who is in the cluster, in every snapshot.
    pub(super) fn conf_state() -> ConfState {
        ConfState::of_voters([(NodeId(1), Bytes::new())])
    }

    /// What was `found` must be this, down to the last bit.
    pub(super) fn assert_is(&self, found: &Model) {
        let number = self.number();
        let outline = |model: &Model| {
            let RaftState { hard_state, outline, snapshot, .. } = &model.state;
            format!("{hard_state:?} {outline:?} {snapshot:?}")
        };
        assert_eq!(outline(found), outline(self), "found, and what save {number} made");
        for (index, entry) in &self.entries {
            assert!(found.entries.get(index) == Some(entry), "the entry at {index} after save {number} is another");
        }
        assert!(found.entries.len() == self.entries.len(), "entries that save {number} had dropped are there");
        assert!(found.snapshot == self.snapshot, "the snapshot's bytes after save {number} are others");
    }

    /// The number of the save that it ends with.
    pub(super) fn number(&self) -> u64 {
        self.state.hard_state.vote.map_or(0, |vote| vote.0)
    }

    /// Goes one save on.
    pub(super) fn advance(&mut self, script: Script) {
        let step = script.step(self.number() + 1, &self.state);
        let published =
            step.snapshot.as_ref().map(|(last, _)| SnapshotMeta { last: *last, conf_state: Model::conf_state() });
        self.state.apply(&step.update, published.as_ref()).unwrap();
        match step.update.log {
            LogChange::Keep => {}
            LogChange::Append(entries) => {
                drop(self.entries.split_off(&entries[0].index));
                self.entries.extend(entries.into_iter().map(|entry| (entry.index, entry)));
            }
            LogChange::CompactTo(id) => self.entries = self.entries.split_off(&id.index.next()),
            LogChange::Reset { .. } => self.entries.clear(),
        }
        if let Some((_, bytes)) = step.snapshot {
            self.snapshot = bytes;
        }
    }
}

/// A few entries from `first` on: mostly small, some large, hardly ever larger than a segment of the test.
fn entries(rng: &mut Rng, term: Term, first: u64) -> Vec<Entry> {
    let count = rng.u64(1..6);
    let bytes = |rng: &mut Rng| match rng.u8(..100) {
        0 => 100_000,
        1..20 => rng.usize(..5000),
        _ => rng.usize(..200),
    };
    (first..first + count)
        .map(|index| {
            let size_bytes = bytes(rng);
            entry(rng, term, index, size_bytes)
        })
        .collect()
}

fn entry(rng: &mut Rng, term: Term, index: u64, size_bytes: usize) -> Entry {
    let payload: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(size_bytes).collect();
    Entry::command(term, LogIndex(index), payload)
}
