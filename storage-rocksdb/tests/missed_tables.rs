//! Tables of a snapshot that the manifest names and that are gone: what a failed sync of the manifest leaves is put back, and
//! whatever else is missing is damage.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests on real files"
)]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use eraft_conformance::machine::{Fault, STRACE, can_trace, skip};
use eraft_core::{
    ConfState, Entry, EntryId, HardState, LogChange, LogIndex, NodeId, RaftStateUpdate, Result, SnapshotMeta,
    StagedSnapshot, Storage, StorageErrorKind, Term,
};
use eraft_storage_rocksdb::RocksStorage;
use futures_executor::block_on;
use futures_util::StreamExt as _;
use support::{blank, copy, files, open};

const ENTRIES: u64 = 6;
/// More than two tables of it.
const SNAPSHOT_BYTES: usize = (8 << 20) + 70_000;

/// A store with some entries.
fn store(dir: &Path) -> RocksStorage {
    let storage = blank(dir);
    let entries = (1..=ENTRIES).map(|index| Entry::command(Term(1), LogIndex(index), vec![7; 1000])).collect();
    let update = RaftStateUpdate { hard_state: None, log: LogChange::Append(entries) };
    block_on(storage.save_raft_state(update)).unwrap();
    storage
}

fn snapshot() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(5);
    std::iter::repeat_with(|| random.u8(..)).take(SNAPSHOT_BYTES).collect()
}

fn stage(storage: &RocksStorage, bytes: &[u8]) -> Result<StagedSnapshot> {
    let conf_state = ConfState::of_voters([(NodeId(1), Bytes::new())]);
    let meta = SnapshotMeta { last: EntryId { term: Term(1), index: LogIndex(3) }, conf_state };
    let mut writer = block_on(storage.stage_snapshot(meta))?;
    block_on(writer.write(Bytes::copy_from_slice(bytes)))?;
    block_on(writer.finish())
}

/// A save that changes nothing but the vote.
fn vote(storage: &RocksStorage) -> Result<()> {
    let hard_state = HardState { term: Term(2), vote: Some(NodeId(1)), commit: LogIndex(0) };
    block_on(storage.save_raft_state(RaftStateUpdate { hard_state: Some(hard_state), log: LogChange::Keep }))
}

fn publish(storage: &RocksStorage, staged: StagedSnapshot) -> Result<()> {
    let update = RaftStateUpdate { hard_state: None, log: LogChange::Keep };
    block_on(storage.save_state_and_snapshot(update, staged))
}

fn read(storage: &RocksStorage) -> Vec<u8> {
    let reader = block_on(storage.read_snapshot()).unwrap().unwrap();
    block_on(reader.chunks.map(|chunk| chunk.unwrap().to_vec()).concat())
}

#[test]
fn a_failed_sync_of_the_manifest_while_a_snapshot_is_taken_in_costs_no_store() {
    let test = "a_failed_sync_of_the_manifest_while_a_snapshot_is_taken_in_costs_no_store";
    if let Err(reason) = can_trace() {
        return skip(test, STRACE, &reason);
    }
    // RocksDB first keeps the numbers of the new tables, and then names them; and a save comes upon it, or the end.
    for (sync, saves) in [(1, true), (1, false), (2, true), (2, false)] {
        println!("sync {sync} fails, {}", if saves { "and saves come" } else { "and nothing is saved any more" });
        let dir = tempfile::tempdir().unwrap();
        fail_taking_in(&dir.path().join("store"), sync, saves);
    }
}

fn fail_taking_in(dir: &Path, sync: u64, saves: bool) {
    block_on(store(dir).close()).unwrap();
    // With nothing in memory that would have to be written at the end.
    let storage = open(dir).unwrap();
    let (manifests, effect) = (files(dir, "MANIFEST-", ""), format!("error=EIO:when={sync}"));
    let fault = Fault { calls: &["fdatasync"], effect: &effect, paths: &manifests };
    let injection = fault.attach(std::process::id()).unwrap();
    let failed = stage(&storage, &snapshot()).unwrap_err();
    assert!(injection.detach(), "the manifest was not synced");
    assert_eq!(failed.kind(), StorageErrorKind::Io, "{failed}");
    let poisoned = sync == 2;
    if saves {
        assert_eq!(vote(&storage).is_err(), poisoned);
        assert_eq!(stage(&storage, b"another").is_err(), poisoned);
    }
    assert_eq!(block_on(storage.close()).is_err(), poisoned);
    assert!(!dir.join("SEAL").exists(), "what was not synced was sealed");
    drop(storage);

    let storage = open(dir).unwrap();
    let state = block_on(storage.read_raft_state()).unwrap();
    assert_eq!((state.outline.last_index(), state.snapshot), (LogIndex(ENTRIES), None));
    assert_eq!(fs::read_dir(dir.join("staging")).unwrap().count(), 0, "what the stage left is gone");
    let bytes = snapshot();
    publish(&storage, stage(&storage, &bytes).unwrap()).unwrap();
    assert!(read(&storage) == bytes);
    block_on(storage.close()).unwrap();
    assert!(read(&open(dir).unwrap()) == bytes);
}

#[test]
fn tables_that_only_staging_still_has_are_put_back_each_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (live, killed) = (dir.path().join("live"), dir.path().join("killed"));
    let (storage, bytes) = (store(&live), snapshot());
    let before = files(&live, "", ".sst");
    let staged = stage(&storage, &bytes).unwrap();
    let id = staged.id.clone();
    publish(&storage, staged).unwrap();
    copy(&live, &killed);
    let is_old = |path: &PathBuf| before.iter().any(|old| old.file_name() == path.file_name());
    let new: Vec<_> = files(&killed, "", ".sst").into_iter().filter(|path| !is_old(path)).collect();
    assert_eq!(new.len(), 3, "{new:?}");
    for (nth, table) in new.iter().enumerate() {
        fs::rename(table, killed.join("staging").join(format!("{id}-{nth}.sst"))).unwrap();
    }
    // Whatever else stands there is passed over, and stays.
    let others = ["notes.sst", "+123456789abcdef-0.sst"].map(|name| killed.join("staging").join(name));
    others.iter().for_each(|other| fs::write(other, "somebody's").unwrap());
    let storage = open(&killed).unwrap();
    assert!(read(&storage) == bytes, "another snapshot");
    assert!(new.iter().all(|table| table.exists()));
    block_on(storage.close()).unwrap();
    assert!(read(&open(&killed).unwrap()) == bytes, "another snapshot, the second time");
    others.iter().for_each(|other| assert_eq!(fs::read(other).unwrap(), b"somebody's"));
}

#[test]
fn a_missing_table_that_staging_has_another_of_is_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    let storage = store(&live);
    let before = files(&live, "", ".sst").len();
    let staged = stage(&storage, &snapshot()).unwrap();
    let (id, other) = (staged.id.clone(), "0123456789abcdef");
    publish(&storage, staged).unwrap();
    for (nth, (name, longer)) in
        [(format!("{other}-0.sst"), false), (format!("{id}-1.sst"), false), (format!("{id}-0.sst"), true)]
            .into_iter()
            .enumerate()
    {
        let damaged = dir.path().join(nth.to_string());
        copy(&live, &damaged);
        let (table, part) = (&files(&damaged, "", ".sst")[before], damaged.join("staging").join(&name));
        fs::rename(table, &part).unwrap();
        if longer {
            fs::write(&part, [fs::read(&part).unwrap(), vec![0]].concat()).unwrap();
        }
        let error = open(&damaged).unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Corrupt, "{name}: {error}");
        assert!(part.exists() && !table.exists(), "{name}: a refused store was changed");
    }
}

#[test]
fn a_published_snapshot_whose_edit_was_lost_to_damage_is_missed_at_the_opening() {
    let dir = tempfile::tempdir().unwrap();
    let (live, killed) = (dir.path().join("live"), dir.path().join("killed"));
    let storage = store(&live);
    publish(&storage, stage(&storage, &snapshot()).unwrap()).unwrap();
    copy(&live, &killed);
    // The last edit is the one that took its tables in; damaged, it passes for one that was never whole.
    let manifest = files(&killed, "MANIFEST-", "").pop().unwrap();
    let mut bytes = fs::read(&manifest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&manifest, bytes).unwrap();
    for _ in 0..2 {
        let error = open(&killed).unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Corrupt, "{error}");
        assert!(error.detail().contains("chunk 0 of the 130 of snapshot"), "{error}");
    }
}
