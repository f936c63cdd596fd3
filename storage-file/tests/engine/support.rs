//! Short words for what every test here does: a store on a simulated disk with tiny segments, saves, and what is in it.

use std::sync::Arc;

use bytes::Bytes;
use eraft_core::{
    ClusterId, ConfState, Entry, EntryId, Expected, GroupId, HardState, LogChange, LogIndex, NodeId, RaftStateUpdate,
    Result, SnapshotMeta, StagedSnapshot, Storage, Term,
};
use eraft_storage_file::{
    FileEngine, FileOptions, FileStorage,
    fs::{Fs, sim::SimFs},
};
use eraft_storage_kit::GroupCommitOptions;
use futures_executor::block_on;
use futures_util::StreamExt;

pub(crate) const DIR: &str = "/node";
pub(crate) const CLUSTER: ClusterId = ClusterId(0xc1);
pub(crate) const NODE: NodeId = NodeId(1);

/// Segments of 16 KiB, no marks but at close: every test sees exactly the frames that it saved.
pub(crate) fn options(seed: u64) -> FileOptions {
    FileOptions {
        segment_bytes: 16 * 1024,
        commit: GroupCommitOptions { idle_after: None, ..GroupCommitOptions::default() },
        seed: Some(seed),
    }
}

pub(crate) fn seam(disk: &SimFs) -> Arc<dyn Fs> {
    Arc::new(disk.clone())
}

/// A disk with a new store on it.
pub(crate) fn created(seed: u64) -> SimFs {
    let disk = SimFs::new(seed);
    FileEngine::create_with(seam(&disk), DIR, CLUSTER, NODE, options(seed)).unwrap();
    disk
}

pub(crate) fn try_engine(disk: &SimFs) -> Result<FileEngine> {
    FileEngine::open_with(seam(disk), DIR, Expected::exactly(CLUSTER, NODE), options(7))
}

pub(crate) fn try_open(disk: &SimFs) -> Result<FileStorage> {
    FileStorage::open_with(seam(disk), DIR, Expected::exactly(CLUSTER, NODE), options(7))
}

pub(crate) fn open(disk: &SimFs) -> FileStorage {
    try_open(disk).unwrap()
}

/// The payload that entry `index` of `term` has in all tests: `length` bytes that name it.
pub(crate) fn payload(term: u64, index: u64, length: usize) -> Bytes {
    format!("{term}-{index};").into_bytes().into_iter().cycle().take(length).collect()
}

pub(crate) fn entries(term: u64, range: std::ops::Range<u64>, length: usize) -> Vec<Entry> {
    range.map(|index| Entry::command(Term(term), LogIndex(index), payload(term, index, length))).collect()
}

pub(crate) fn append(term: u64, range: std::ops::Range<u64>, length: usize) -> RaftStateUpdate {
    let hard_state = HardState { term: Term(term), vote: Some(NODE), commit: LogIndex(0) };
    RaftStateUpdate { hard_state: Some(hard_state), log: LogChange::Append(entries(term, range, length)) }
}

pub(crate) fn vote(term: u64) -> RaftStateUpdate {
    let hard_state = HardState { term: Term(term), vote: Some(NODE), commit: LogIndex(0) };
    RaftStateUpdate { hard_state: Some(hard_state), log: LogChange::Keep }
}

pub(crate) fn compact(term: u64, index: u64) -> RaftStateUpdate {
    RaftStateUpdate { hard_state: None, log: LogChange::CompactTo(EntryId::new(term, index)) }
}

pub(crate) fn save(store: &dyn Storage, update: RaftStateUpdate) -> Result<()> {
    block_on(store.save_raft_state(update))
}

/// Appends entries one by one, each acknowledged before the next.
pub(crate) fn append_each(store: &dyn Storage, term: u64, range: std::ops::Range<u64>, length: usize) {
    for index in range {
        save(store, append(term, index..index + 1, length)).unwrap();
    }
}

/// What every snapshot here that ends at `last` stands for.
pub(crate) fn meta_of(last: EntryId) -> SnapshotMeta {
    SnapshotMeta { last, conf_state: ConfState::of_voters([(NODE, Bytes::from_static(b"here"))]) }
}

pub(crate) fn stage(store: &dyn Storage, last: EntryId, content: &[u8]) -> Result<StagedSnapshot> {
    block_on(async {
        let mut writer = store.stage_snapshot(meta_of(last)).await?;
        for part in content.chunks(100_000) {
            writer.write(Bytes::copy_from_slice(part)).await?;
        }
        writer.finish().await
    })
}

/// Stages and publishes a snapshot, with whatever else the save changes.
pub(crate) fn publish(store: &dyn Storage, last: EntryId, content: &[u8], update: RaftStateUpdate) -> Result<()> {
    let staged = stage(store, last, content)?;
    block_on(store.save_state_and_snapshot(update, staged))
}

/// The published snapshot's last entry and bytes.
pub(crate) fn snapshot(store: &dyn Storage) -> Result<Option<(EntryId, Vec<u8>)>> {
    block_on(async {
        let Some(mut reader) = store.read_snapshot().await? else { return Ok(None) };
        let mut content = Vec::new();
        while let Some(chunk) = reader.chunks.next().await {
            content.extend_from_slice(&chunk?);
        }
        assert_eq!(content.len() as u64, reader.size_bytes);
        Ok(Some((reader.meta.last, content)))
    })
}

/// All entries above the base.
pub(crate) fn read_all(store: &dyn Storage) -> Result<Vec<Entry>> {
    block_on(async {
        let outline = store.read_raft_state().await?.outline;
        store.read_entries(outline.first_index()..LogIndex::MAX, u64::MAX).await
    })
}

/// The terms and indexes of all entries, each checked to have its own payload.
pub(crate) fn ids(store: &dyn Storage) -> Vec<(u64, u64)> {
    let check = |entry: Entry| {
        assert_eq!(entry.payload, payload(entry.term.0, entry.index.0, entry.payload.len()));
        (entry.term.0, entry.index.0)
    };
    read_all(store).unwrap().into_iter().map(check).collect()
}

pub(crate) fn close(store: &dyn Storage) {
    block_on(store.close()).unwrap();
}

/// Pairs for `ids`.
pub(crate) fn run(term: u64, range: std::ops::Range<u64>) -> Vec<(u64, u64)> {
    range.map(|index| (term, index)).collect()
}

/// The names of the files in one of the store's directories, sorted.
pub(crate) fn files(disk: &SimFs, dir: &str) -> Vec<String> {
    let entries = disk.read_dir(&std::path::Path::new(DIR).join(dir)).unwrap();
    let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// The names of the log's segments, sorted.
pub(crate) fn segments(disk: &SimFs) -> Vec<String> {
    files(disk, "state").into_iter().filter(|name| name.ends_with(".wal")).collect()
}

/// Groups for tests of engines.
pub(crate) const GROUPS: [GroupId; 3] = [GroupId(0), GroupId(1), GroupId(9)];
