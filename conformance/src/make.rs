//! Short words for the saves, entries and snapshots that cases are made of.

use bytes::Bytes;
use eraft_core::{
    ConfState, Entry, EntryId, EntryKind, HardState, LogChange, LogIndex, NodeId, RaftStateUpdate, Result,
    SnapshotMeta, StagedSnapshot, Term,
};

use crate::Handle;

/// The largest payload that the suite uses: what a node proposes at most by default.
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;

/// A command whose payload tells term and index, so that a wrong entry is recognised.
pub fn entry(term: u64, index: u64) -> Entry {
    Entry::command(Term(term), LogIndex(index), format!("command {term}-{index}"))
}

/// Commands of one term at `first..=last`.
pub fn entries(term: u64, first: u64, last: u64) -> Vec<Entry> {
    (first..=last).map(|index| entry(term, index)).collect()
}

/// A command with `size_bytes` of payload that no compression shrinks and that differs with term and index.
pub fn bulky(term: u64, index: u64, size_bytes: usize) -> Entry {
    let mut random = fastrand::Rng::with_seed(term.rotate_left(32) ^ index);
    Entry::command(Term(term), LogIndex(index), noise(&mut random, size_bytes))
}

/// A configuration entry with these voters.
pub fn config(term: u64, index: u64, voters: &[u64]) -> Entry {
    Entry { kind: EntryKind::Config, payload: eraft_core::codec::encode(&conf_state(voters)), ..entry(term, index) }
}

/// A configuration of voters alone.
pub fn conf_state(voters: &[u64]) -> ConfState {
    ConfState::of_voters(voters.iter().map(|id| (NodeId(*id), Bytes::from(format!("host-{id}:7101")))))
}

/// A hard state that voted for node 1.
pub fn voted(term: u64, commit: u64) -> HardState {
    HardState { term: Term(term), vote: Some(NodeId(1)), commit: LogIndex(commit) }
}

/// A save that changes the hard state alone.
pub fn set(hard_state: HardState) -> RaftStateUpdate {
    RaftStateUpdate { hard_state: Some(hard_state), log: LogChange::Keep }
}

/// A save that appends.
pub fn append(entries: Vec<Entry>) -> RaftStateUpdate {
    RaftStateUpdate { hard_state: None, log: LogChange::Append(entries) }
}

/// A save that compacts.
pub fn compact(term: u64, index: u64) -> RaftStateUpdate {
    RaftStateUpdate { hard_state: None, log: LogChange::CompactTo(EntryId::new(term, index)) }
}

/// A save that resets.
pub fn reset(term: u64, index: u64) -> RaftStateUpdate {
    RaftStateUpdate { hard_state: None, log: LogChange::Reset { base: EntryId::new(term, index) } }
}

/// A save that changes nothing, as the companion of a snapshot.
pub fn keep() -> RaftStateUpdate {
    RaftStateUpdate::default()
}

/// What a snapshot at this entry stands for.
pub fn meta(term: u64, index: u64) -> SnapshotMeta {
    SnapshotMeta { last: EntryId::new(term, index), conf_state: conf_state(&[1, 2, 3]) }
}

/// `count` chunks of `size_bytes` each, every one different.
pub fn chunks(seed: u64, count: usize, size_bytes: usize) -> Vec<Bytes> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| noise(&mut random, size_bytes)).collect()
}

fn noise(random: &mut fastrand::Rng, size_bytes: usize) -> Bytes {
    let mut bytes = vec![0; size_bytes];
    random.fill(&mut bytes);
    bytes.into()
}

/// Stages a snapshot of these chunks.
///
/// # Errors
/// As the backend's own.
pub async fn stage(storage: &Handle, meta: SnapshotMeta, chunks: &[Bytes]) -> Result<StagedSnapshot> {
    let mut writer = storage.stage_snapshot(meta).await?;
    for chunk in chunks {
        writer.write(chunk.clone()).await?;
    }
    writer.finish().await
}
