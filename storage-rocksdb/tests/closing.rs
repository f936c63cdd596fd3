//! Merges that fail: what one does to the files last is judged before the store is sealed, and what one has met is told.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test on real files and threads"
)]

#[allow(dead_code, reason = "nothing is copied here")]
mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use eraft_conformance::machine::{Fault, STRACE, can_trace, skip};
use eraft_core::{Entry, Expected, LogChange, LogIndex, RaftStateUpdate, Result, Storage, StorageErrorKind, Term};
use eraft_storage_rocksdb::{
    Family, RocksOptions, RocksStorage,
    rocksdb::{CompactionDecision, Options},
};
use futures_executor::block_on;
use support::{blank, files, open, options};

/// So many openings each leave a table of `state`, the first of which moves down without having to be merged.
const TABLES: u64 = 4;

fn save(storage: &RocksStorage, index: u64) {
    let entry = Entry::command(Term(1), LogIndex(index), vec![7; 100]);
    let update = RaftStateUpdate { hard_state: None, log: LogChange::Append(vec![entry]) };
    block_on(storage.save_raft_state(update)).unwrap();
}

/// Where a merge waits for the test, and the test for the merge.
#[derive(Default)]
struct Gate {
    /// Whether a merge is under way, and whether it may go on.
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 = true;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| !state.1).unwrap());
    }

    fn wait_for_merge(&self) {
        let state = self.state.lock().unwrap();
        let limit = Duration::from_secs(60);
        let (state, waited) = self.changed.wait_timeout_while(state, limit, |state| !state.0).unwrap();
        assert!(state.0 && !waited.timed_out(), "RocksDB merged nothing");
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

/// Merges of `state` pass the gate, and those of `log` never begin.
fn gated(gate: &Arc<Gate>) -> RocksOptions {
    let gate = Arc::clone(gate);
    let tune = move |family: Family, tuned: &mut Options| match family {
        Family::State => {
            let gate = Arc::clone(&gate);
            tuned.set_level_zero_file_num_compaction_trigger(2);
            tuned.set_compaction_filter("gate", move |_level, _key, _value| {
                gate.pass();
                CompactionDecision::Keep
            });
        }
        Family::Log => tuned.set_level_zero_file_num_compaction_trigger(1000),
        _ => {}
    };
    RocksOptions { tune: Some(Arc::new(tune)), ..options() }
}

fn manifest_bytes(dir: &Path) -> u64 {
    files(dir, "MANIFEST-", "").iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

#[test]
fn a_merge_that_fails_to_name_its_tables_while_the_store_is_closed_leaves_no_seal() {
    let test = "a_merge_that_fails_to_name_its_tables_while_the_store_is_closed_leaves_no_seal";
    if let Err(reason) = can_trace() {
        return skip(test, STRACE, &reason);
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    let never = |_: Family, tuned: &mut Options| tuned.set_level_zero_file_num_compaction_trigger(1000);
    let apart = || RocksOptions { tune: Some(Arc::new(never)), ..options() };
    drop(blank(&dir));
    for index in 1..=TABLES {
        let storage = RocksStorage::open_with(&dir, Expected::any(), apart()).unwrap();
        save(&storage, index);
        block_on(storage.close()).unwrap();
    }
    assert!(dir.join("SEAL").exists());

    let gate = Arc::new(Gate::default());
    let storage = RocksStorage::open_with(&dir, Expected::any(), gated(&gate)).unwrap();
    gate.wait_for_merge();
    // The merge stands at its end for fifteen seconds, and then the manifest is not synced.
    let (manifests, before) = (files(&dir, "MANIFEST-", ""), manifest_bytes(&dir));
    let fault = Fault { calls: &["fdatasync"], effect: "error=EIO:delay_enter=15000000:when=1", paths: &manifests };
    let injection = fault.attach(std::process::id()).unwrap();
    gate.open();
    let begun = Instant::now();
    while manifest_bytes(&dir) == before && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(manifest_bytes(&dir) > before, "the merge did not end");
    let closed = block_on(storage.close());
    assert!(injection.detach(), "the manifest was not synced");
    assert!(!dir.join("SEAL").exists(), "what was not synced was sealed");
    closed.unwrap_err();
    drop(storage);

    let storage = open(&dir).unwrap();
    let outline = block_on(storage.read_raft_state()).unwrap().outline;
    assert_eq!(outline.last_index(), LogIndex(TABLES));
    block_on(storage.close()).unwrap();
}

/// One leader after the other replaces the whole log, so that no table of it can be moved without being merged.
fn replace_log(storage: &RocksStorage, term: u64) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(term);
    let mut payload = || std::iter::repeat_with(|| random.u8(..)).take(10_000).collect::<Vec<_>>();
    let entries = (1..=3).map(|index| Entry::command(Term(term), LogIndex(index), payload())).collect();
    block_on(storage.save_raft_state(RaftStateUpdate { hard_state: None, log: LogChange::Append(entries) }))
}

#[test]
fn damage_that_a_merge_has_met_is_told_with_its_table() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    let trigger = |tables: i32| {
        let tune = move |_: Family, tuned: &mut Options| tuned.set_level_zero_file_num_compaction_trigger(tables);
        RocksOptions { tune: Some(Arc::new(tune)), ..options() }
    };
    drop(blank(&dir));
    let tables = || files(&dir, "", ".sst").into_iter().collect::<BTreeSet<PathBuf>>();
    let mut new = Vec::new();
    for term in 1..=TABLES {
        let before = tables();
        let storage = RocksStorage::open_with(&dir, Expected::any(), trigger(1000)).unwrap();
        replace_log(&storage, term).unwrap();
        block_on(storage.close()).unwrap();
        let largest = tables().into_iter().filter(|table| !before.contains(table));
        new.push(largest.max_by_key(|table| fs::metadata(table).unwrap().len()).unwrap());
    }
    // Beyond what a closed store is sealed with.
    let damaged = new.last().unwrap();
    let mut bytes = fs::read(damaged).unwrap();
    bytes[5_000] ^= 1;
    fs::write(damaged, bytes).unwrap();

    let storage = RocksStorage::open_with(&dir, Expected::any(), trigger(2)).unwrap();
    // Before anything is written: what meets the damage itself tells of it in any case.
    let begun = Instant::now();
    while !fs::read_to_string(dir.join("db/LOG")).unwrap().contains("background compaction error") {
        assert!(begun.elapsed() < Duration::from_secs(60), "RocksDB merged nothing");
        std::thread::sleep(Duration::from_millis(1));
    }
    let told = replace_log(&storage, TABLES + 1).expect_err("the damage was met");
    let name = damaged.file_name().unwrap().to_str().unwrap();
    assert_eq!(told.kind(), StorageErrorKind::Corrupt, "{told}");
    assert!(told.detail().contains(name), "{name} in {told}");
}
