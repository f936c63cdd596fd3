//! Saves that have to wait for RocksDB to write a table: they wait as long as that takes, and not at all once it has failed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests on real files and processes"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    time::Duration,
};

use eraft_conformance::machine::{STRACE, can_trace, skip};
use eraft_core::{
    ClusterId, Entry, Expected, LogChange, LogIndex, NodeId, RaftStateUpdate, Result, Storage, StorageErrorKind, Term,
};
use eraft_storage_kit::GroupCommitOptions;
use eraft_storage_rocksdb::{RocksOptions, RocksStorage};
use futures_executor::block_on;

/// More than both write buffers of the log hold, many times.
const SAVES: u64 = 40;

fn options() -> RocksOptions {
    let commit = GroupCommitOptions { idle_after: None, ..GroupCommitOptions::default() };
    RocksOptions { commit, write_buffer_bytes: 64 << 10, reserve_bytes: 8 << 20, ..RocksOptions::default() }
}

/// What `strace` does to this process while it is there.
struct Tracer(Child);

impl Tracer {
    /// Has every table that RocksDB makes from now on take its time to be made; or fail then.
    fn of_tables(store: &Path, time: Duration, error: &str) -> Tracer {
        let pid = std::process::id();
        let mut strace = Command::new(STRACE);
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", "trace=openat"]);
        strace.args(["-e", &format!("inject=openat:delay_enter={}{error}:when=1+", time.as_micros())]);
        new_tables(store).iter().for_each(|table| _ = strace.arg("-P").arg(table));
        strace.arg("-p").arg(pid.to_string()).stderr(Stdio::null());
        let tracer = Tracer(strace.spawn().unwrap());
        let is_traced = |status: String| !status.contains("TracerPid:\t0\n");
        let threads = || fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|task| task.unwrap().path());
        while !threads().all(|task| fs::read_to_string(task.join("status")).is_ok_and(is_traced)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        tracer
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _it_may_have_ended = self.0.kill();
        let _it_is_gone = self.0.wait();
    }
}

/// The names of the next tables.
fn new_tables(store: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(store.join("db")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let numbers = names.filter_map(|name| name.trim_start_matches("MANIFEST-").split('.').next()?.parse::<u64>().ok());
    let last = numbers.max().unwrap();
    (last + 1..last + 100).map(|number| store.join(format!("db/{number:06}.sst"))).collect()
}

fn save(storage: &RocksStorage, index: u64) -> Result<()> {
    let entry = Entry::command(Term(1), LogIndex(index), vec![7; 10_000]);
    let update = RaftStateUpdate { hard_state: None, log: LogChange::Append(vec![entry]) };
    block_on(storage.save_raft_state(update))
}

fn open(dir: &Path) -> RocksStorage {
    RocksStorage::open_with(dir, Expected::any(), options()).unwrap()
}

fn last(storage: &RocksStorage) -> u64 {
    block_on(storage.read_raft_state()).unwrap().outline.last_index().0
}

#[test]
fn a_save_waits_for_a_slow_table_and_ends_with_one_that_fails() {
    if let Err(reason) = can_trace() {
        return skip("a_save_waits_for_a_slow_table_and_ends_with_one_that_fails", STRACE, &reason);
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    RocksStorage::create_with(&dir, ClusterId(1), NodeId(1), options()).unwrap();
    let storage = Arc::new(open(&dir));
    let slow = Tracer::of_tables(&dir, Duration::from_millis(200), "");
    (1..=SAVES).for_each(|index| save(&storage, index).unwrap());
    drop(slow);
    // Long enough for a save to wait for it, on a machine that stalls, too.
    let full = Tracer::of_tables(&dir, Duration::from_secs(5), ":error=ENOSPC");
    let (tell, told) = mpsc::channel();
    let saves = Arc::clone(&storage);
    let saving = std::thread::spawn(move || {
        let all = (SAVES + 1..=2 * SAVES).map(|index| save(&saves, index));
        tell.send(all.take_while(Result::is_ok).count() as u64)
    });
    let more = told.recv_timeout(Duration::from_secs(60)).expect("a save ends with the table that it waits for");
    saving.join().unwrap().unwrap();
    let acknowledged = SAVES + more;
    assert!(more < SAVES, "no table was waited for");
    assert_eq!(save(&storage, acknowledged + 1).unwrap_err().kind(), StorageErrorKind::Poisoned);
    drop(full);
    block_on(storage.close()).unwrap_err();
    drop(storage);
    let storage = open(&dir);
    assert!(last(&storage) >= acknowledged, "{} of {acknowledged}", last(&storage));
    save(&storage, last(&storage) + 1).unwrap();
    block_on(storage.close()).unwrap();
}
