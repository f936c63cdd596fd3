//! What is saved: a sequence that the saving process and the judging one compute alike, and the state that it leads to.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use eraft_core::{
    ConfState, Entry, EntryId, HardState, Identity, LogChange, LogIndex, NodeId, RaftState, RaftStateUpdate,
    SnapshotMeta, Term,
};
use fastrand::Rng;

/// The saves of one process. Another process never repeats them, so that a stale one coming back is seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) run: u64,
}

/// One save. Its number is the vote in its hard state, so that a state tells which save it ends with.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) update: RaftStateUpdate,
    pub(crate) snapshot: Option<(SnapshotMeta, Vec<u8>)>,
}

/// What a store holds.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) state: RaftState,
    pub(crate) entries: BTreeMap<LogIndex, Entry>,
    pub(crate) snapshot: Vec<u8>,
}

impl Script {
    /// The save after which the state is number `number`.
    pub(crate) fn step(self, number: u64, state: &RaftState) -> Step {
        let mut hasher = DefaultHasher::new();
        (self.seed, self.run, number).hash(&mut hasher);
        let mut rng = Rng::with_seed(hasher.finish());
        let mut term = state.hard_state.term.max(Term(1));
        let (last, snapshot) =
            (state.outline.last_index(), state.snapshot.as_ref().map_or(EntryId::ZERO, |meta| meta.last));
        let (log, published) = match rng.u8(..100) {
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
            let bytes = std::iter::repeat_with(|| rng.u8(..)).take(size_bytes).collect();
            (SnapshotMeta { last, conf_state: ConfState::of_voters([(NodeId(1), Default::default())]) }, bytes)
        });
        Step { update: RaftStateUpdate { hard_state, log }, snapshot }
    }
}

impl Model {
    pub(crate) fn blank(identity: Identity) -> Model {
        Model { state: RaftState::blank(identity), entries: BTreeMap::new(), snapshot: Vec::new() }
    }

    /// The number of the save that it ends with.
    pub(crate) fn number(&self) -> u64 {
        self.state.hard_state.vote.map_or(0, |vote| vote.0)
    }

    /// Goes one save on.
    pub(crate) fn advance(&mut self, script: Script) {
        let step = script.step(self.number() + 1, &self.state);
        self.state.apply(&step.update, step.snapshot.as_ref().map(|(meta, _)| meta)).unwrap();
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

    /// The same for the same state, entries and snapshot, down to the last bit.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.outline().hash(&mut hasher);
        for entry in self.entries.values() {
            (entry.index, entry.term, entry.kind as u8, &entry.payload).hash(&mut hasher);
        }
        self.snapshot.hash(&mut hasher);
        hasher.finish()
    }

    /// Everything but the bytes, for a reader.
    pub(crate) fn outline(&self) -> String {
        let RaftState { hard_state, outline, snapshot, .. } = &self.state;
        format!("{hard_state:?} {outline:?} {snapshot:?}")
    }
}

/// A few entries from `first` on: mostly small, some large, hardly ever larger than a segment of the test.
fn entries(rng: &mut Rng, term: Term, first: u64) -> Vec<Entry> {
    let count = rng.u64(1..6);
    (first..first + count)
        .map(|index| {
            let bytes = match rng.u8(..100) {
                0 => 100_000,
                1..20 => rng.usize(..5000),
                _ => rng.usize(..200),
            };
            let payload: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(bytes).collect();
            Entry::command(term, LogIndex(index), payload)
        })
        .collect()
}
