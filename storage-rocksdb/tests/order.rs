//! The order in which a store asks the kernel for things: names are synced before anything rests on them.
//!
//! RocksDB has no seam, so a process of its own is followed by `strace`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests that start processes"
)]

use std::path::{Path, PathBuf};

use eraft_conformance::machine::{self, STRACE};
use eraft_core::{ClusterId, Expected, NodeId};
use eraft_storage_rocksdb::{RocksEngine, RocksOptions};

/// Where the traced process works, given to it in its environment.
const PLACE: &str = "ERAFT_TRACED_IN";
const CALLS: &str = "open,openat,rename,renameat,renameat2,unlink,unlinkat,rmdir,fsync,fdatasync,write,pwrite64,ftruncate,fallocate,link,linkat";

fn options() -> RocksOptions {
    RocksOptions { write_buffer_bytes: 64 << 10, reserve_bytes: 4 << 20, ..RocksOptions::default() }
}

/// Runs this very test again, as `work`, under `strace`: what it asked for, line by line, in the order in which it began. `None`
/// in the traced process itself, and where there is no `strace`.
fn traced(test: &str, dir: &Path, work: impl FnOnce(&Path)) -> Option<Vec<String>> {
    if let Some(place) = std::env::var_os(PLACE) {
        work(Path::new(&place));
        return None;
    }
    if let Err(reason) = machine::can_trace() {
        machine::skip(test, STRACE, &reason);
        return None;
    }
    let record = dir.join("record");
    let mut strace = machine::command(STRACE);
    strace.args(["-f", "-y", "-qq", "-s", "8", "-e", &format!("trace={CALLS}"), "-o"]).arg(&record);
    strace.arg(std::env::current_exe().unwrap()).args(["--exact", test]).env(PLACE, dir.join("store"));
    let output = strace.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Some(std::fs::read_to_string(record).unwrap().lines().map(str::to_owned).collect())
}

/// The first line from `from` on that is one of `call` and holds `what`.
fn find(record: &[String], from: usize, call: &str, what: &str) -> Option<usize> {
    let of_call = |line: &String| line.split_once(' ').is_some_and(|(_, rest)| rest.trim_start().starts_with(call));
    (from..record.len()).find(|at| of_call(&record[*at]) && record[*at].contains(what))
}

/// Where the first sync of `path` that begins from `from` on has returned.
fn synced(record: &[String], from: usize, path: &Path) -> Option<usize> {
    let begun = find(record, from, "fsync(", &format!("<{}>", path.display()))?;
    let Some((thread, _)) = record[begun].split_once(' ').filter(|_| record[begun].contains("<unfinished")) else {
        return record[begun].ends_with("= 0").then_some(begun);
    };
    (begun + 1..record.len()).find(|at| record[*at].starts_with(thread) && record[*at].contains("fsync resumed"))
}

/// Calls that change a file of RocksDB's, or make one.
fn changes(record: &[String], db: &Path) -> Vec<usize> {
    let within = format!("{}/", db.display());
    let writes = |line: &String| {
        let opens = line.contains("open") && !["O_CREAT", "O_TRUNC"].iter().any(|flag| line.contains(flag));
        line.contains(&within) && !opens && !line.contains("sync(")
    };
    (0..record.len()).filter(|at| writes(&record[*at])).collect()
}

fn create(place: &Path) {
    RocksEngine::create_with(place, ClusterId(1), NodeId(1), options()).unwrap();
}

#[test]
fn a_new_store_is_synced_before_it_has_its_name_and_its_name_after() {
    let test = "a_new_store_is_synced_before_it_has_its_name_and_its_name_after";
    let dir = tempfile::tempdir().unwrap();
    let Some(record) = traced(test, dir.path(), create) else { return };
    let (store, building) = (dir.path().join("store"), dir.path().join(".store.creating"));
    let named = find(&record, 0, "rename", &format!("\"{}\"", store.display())).expect("a renaming");
    assert!(synced(&record, named, dir.path()).is_some(), "the name is not synced: {:#?}", &record[named..]);
    let left = |path: &PathBuf| synced(&record, 0, path).is_none_or(|at| at > named);
    let files =
        std::fs::read_dir(store.join("db")).unwrap().map(|entry| building.join("db").join(entry.unwrap().file_name()));
    let unsynced: Vec<_> = files.chain([building.clone(), building.join("db")]).filter(left).collect();
    assert!(unsynced.is_empty(), "not synced before the store has its name: {unsynced:?}");
    assert!(changes(&record[named..], &store.join("db")).is_empty());
}

#[test]
fn the_seal_is_gone_durably_before_anything_is_written() {
    let test = "the_seal_is_gone_durably_before_anything_is_written";
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    if std::env::var_os(PLACE).is_none() {
        create(&store);
    }
    let open = |place: &Path| drop(RocksEngine::open_with(place, Expected::any(), options()).unwrap());
    let Some(record) = traced(test, dir.path(), open) else { return };
    let seal = store.join("SEAL");
    let removed = find(&record, 0, "unlink", &format!("\"{}\"", seal.display())).expect("the seal's removal");
    let synced_at = synced(&record, removed, &store).expect("a sync of it");
    let first = *changes(&record, &store.join("db")).first().expect("something written");
    assert!(synced_at < first, "removed {}, synced {}, {}", record[removed], record[synced_at], record[first]);
    let above = synced(&record, 0, dir.path()).expect("a sync of the store's own name");
    assert!(above < removed, "whoever created it may have been killed before its name was synced");
}
