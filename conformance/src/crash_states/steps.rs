//! The saves that a workload is made of: whatever may follow a state, small, and of every kind.

use bytes::Bytes;
use eraft_core::{Entry, LogChange, LogIndex, RaftStateUpdate, SnapshotMeta, Term};
use fastrand::Rng;

use crate::{Content, Model, make::*};

/// Beyond this a log is compacted: states stay small, and segments go.
const MAX_ENTRIES: usize = 14;
const MAX_ENTRY_BYTES: u64 = 16 * 1024;

/// One save, not yet handed in.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) kind: &'static str,
    pub(crate) update: RaftStateUpdate,
    /// A snapshot to be staged, and published with it.
    pub(crate) publish: Option<(SnapshotMeta, Vec<Bytes>)>,
}

impl Step {
    /// What the store holds after it; `None` where it may not follow.
    pub(crate) fn after(&self, model: &Model) -> Option<Model> {
        let mut after = model.clone();
        let content = self.publish.as_ref().map(|(meta, chunks)| Content::new(meta.clone(), chunks));
        after.apply(&self.update, content.as_ref()).ok()?;
        Some(after)
    }
}

/// Some save that may follow `model`.
pub(crate) fn any(random: &mut Rng, model: &Model) -> Step {
    let bytes: u64 = model.entries.iter().map(Entry::size_bytes).sum();
    let last = model.state.outline.last_index().0;
    if model.entries.len() > MAX_ENTRIES || bytes > MAX_ENTRY_BYTES {
        return compaction(random, model);
    }
    match random.u8(..100) {
        0..55 => appended(random, model, last + 1, "append"),
        55..70 if last > snapshot_of(model) => {
            let first = random.u64(snapshot_of(model) + 1..=last);
            appended(random, model, first, "truncate")
        }
        70..82 => {
            let term = model.state.hard_state.term.0.max(model.state.outline.last().term.0) + 1;
            Step { kind: "vote", update: set(voted(term, random.u64(..=last))), publish: None }
        }
        82..92 => compaction(random, model),
        92..96 => install(random, model),
        _ => appended(random, model, last + 1, "append"),
    }
}

/// Some description of a snapshot that could be published now.
pub(crate) fn meta_for(random: &mut Rng, model: &Model) -> Option<SnapshotMeta> {
    let (last, snapshot) = (model.state.outline.last_index().0, snapshot_of(model));
    if last <= snapshot {
        return None;
    }
    let index = random.u64(snapshot + 1..=last);
    Some(meta(model.state.outline.term(LogIndex(index))?.0, index))
}

/// Publishing what was staged earlier.
pub(crate) fn publish(random: &mut Rng, meta: &SnapshotMeta, chunks: &[Bytes]) -> Step {
    let log = if random.bool() { LogChange::Keep } else { LogChange::CompactTo(meta.last) };
    let update = RaftStateUpdate { hard_state: None, log };
    Step { kind: "publish", update, publish: Some((meta.clone(), chunks.to_vec())) }
}

/// A snapshot's content: nothing, or some thousand bytes.
pub(crate) fn content(random: &mut Rng) -> Vec<Bytes> {
    let (count, size_bytes) = (random.usize(..4), random.usize(1..2500));
    chunks(random.u64(..), count, size_bytes)
}

fn snapshot_of(model: &Model) -> u64 {
    model.state.snapshot.as_ref().map_or(model.state.outline.base().index.0, |meta| meta.last.index.0)
}

fn appended(random: &mut Rng, model: &Model, first: u64, kind: &'static str) -> Step {
    let term = model.state.hard_state.term.0.max(model.state.outline.last().term.0).max(1);
    let term = term + u64::from(kind == "truncate");
    let new = (first..first + random.u64(1..4)).map(|index| match random.u8(..20) {
        0 => config(term, index, &[1, 2, index]),
        1..3 => Entry::command(Term(term), LogIndex(index), Bytes::from(vec![0; random.usize(..3000)])),
        3..5 => bulky(term, index, random.usize(2000..7000)),
        5..10 => bulky(term, index, random.usize(300..1500)),
        _ => bulky(term, index, random.usize(..300)),
    });
    let log = LogChange::Append(new.collect());
    let hard_state = random.bool().then(|| voted(term, random.u64(..first)));
    Step { kind, update: RaftStateUpdate { hard_state, log }, publish: None }
}

/// A snapshot with what it covers taken away, or what an older one covers.
fn compaction(random: &mut Rng, model: &Model) -> Step {
    let (base, snapshot) = (model.state.outline.base().index.0, snapshot_of(model));
    if snapshot > base && random.bool() {
        let index = random.u64(base + 1..=snapshot);
        let term = model.state.outline.term(LogIndex(index)).unwrap_or_default().0;
        return Step { kind: "compact", update: compact(term, index), publish: None };
    }
    match meta_for(random, model) {
        Some(meta) => {
            let chunks = content(random);
            Step { kind: "compact", ..publish(random, &meta, &chunks) }
        }
        None => appended(random, model, model.state.outline.last_index().0 + 1, "append"),
    }
}

/// A leader's snapshot in place of the log.
fn install(random: &mut Rng, model: &Model) -> Step {
    let term = model.state.hard_state.term.0.max(model.state.outline.last().term.0) + 1;
    let index = model.state.outline.last_index().0 + random.u64(1..20);
    let update = RaftStateUpdate { hard_state: Some(voted(term, 0)), ..reset(term, index) };
    Step { kind: "install", update, publish: Some((meta(term, index), content(random))) }
}
