//! What an opening refuses, and what it does not: files of a store as a crash or rot leaves them.
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

use eraft_core::{
    ClusterId, Entry, LogChange, LogIndex, NodeId, RaftStateUpdate, Result, Storage, StorageErrorKind, Term,
};
use eraft_storage_rocksdb::RocksStorage;
use futures_executor::block_on;
use support::{blank, copy, files, open, options};

const ENTRIES: u64 = 6;
const PAYLOAD_BYTES: usize = 9000;

/// A store that took some saves, as it is while it is open: what a kill leaves. And the same once it is closed.
fn stores(dir: &Path) -> (PathBuf, PathBuf) {
    let (live, killed) = (dir.join("live"), dir.join("killed"));
    let storage = blank(&live);
    for index in 1..=ENTRIES {
        let entry = Entry::command(Term(1), LogIndex(index), vec![7; PAYLOAD_BYTES]);
        let update = RaftStateUpdate { hard_state: None, log: LogChange::Append(vec![entry]) };
        block_on(storage.save_raft_state(update)).unwrap();
    }
    copy(&live, &killed);
    // Under another name, it stays when RocksDB removes it.
    fs::hard_link(file(&live, "", ".log"), dir.join("log")).unwrap();
    block_on(storage.close()).unwrap();
    (killed, live)
}

/// The last file of the database whose name begins and ends so.
fn file(store: &Path, begins: &str, ends: &str) -> PathBuf {
    files(store, begins, ends).pop().unwrap()
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// How many entries an opening shows.
fn shown(store: &Path) -> Result<u64> {
    let storage = open(store)?;
    let last = block_on(storage.read_raft_state())?.outline.last_index();
    let entries = block_on(storage.read_entries(LogIndex(1)..last.next(), u64::MAX))?;
    assert_eq!(entries.len() as u64, last.0);
    block_on(storage.close())?;
    Ok(last.0)
}

fn refused(store: &Path, names: &str) {
    let error = shown(store).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Corrupt, "{error}");
    assert!(error.detail().contains(names), "{names} in {error}");
}

#[test]
fn what_a_kill_leaves_opens_whole_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let (killed, closed) = stores(dir.path());
    for store in [killed, closed] {
        assert_eq!((shown(&store).unwrap(), shown(&store).unwrap()), (ENTRIES, ENTRIES));
    }
}

#[test]
fn a_torn_last_record_is_cut_off_however_it_was_torn() {
    for tear in [
        |log: &mut Vec<u8>| log.truncate(log.len() - 5000),
        |log: &mut Vec<u8>| {
            let page = (log.len() - PAYLOAD_BYTES / 2) / 4096;
            log[page * 4096..(page + 1) * 4096].fill(0);
        },
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (killed, _) = stores(dir.path());
        change(&file(&killed, "", ".log"), tear);
        assert_eq!((shown(&killed).unwrap(), shown(&killed).unwrap()), (ENTRIES - 1, ENTRIES - 1));
    }
}

#[test]
fn a_damaged_record_that_others_follow_is_corrupt() {
    for damage in [
        |log: &mut Vec<u8>| log[PAYLOAD_BYTES * 2] ^= 1,
        |log: &mut Vec<u8>| {
            // The length of the first fragment: RocksDB would take the rest of the file for torn.
            log[5] = 0xff;
        },
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (killed, _) = stores(dir.path());
        let log = file(&killed, "", ".log");
        change(&log, damage);
        let before = fs::read(&log).unwrap();
        refused(&killed, log.to_str().unwrap());
        assert!(fs::read(&log).unwrap() == before, "a refused store was changed");
    }
}

#[test]
fn a_closed_store_is_the_one_that_was_sealed() {
    type Case = (&'static str, &'static str, fn(&mut Vec<u8>));
    let damages: [Case; 4] = [
        ("MANIFEST-", "", |bytes| bytes.truncate(bytes.len() - 1)),
        ("MANIFEST-", "", |bytes| *bytes.last_mut().unwrap() ^= 1),
        ("CURRENT", "", |bytes| bytes.truncate(3)),
        ("", ".sst", |bytes| bytes.push(0)),
    ];
    for (begins, ends, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        let (_, closed) = stores(dir.path());
        let damaged = file(&closed, begins, ends);
        change(&damaged, damage);
        refused(&closed, damaged.to_str().unwrap());
    }
}

/// RocksDB says of such a table that its manifest may be corrupted.
#[test]
fn a_table_whose_end_is_damaged_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (_, closed) = stores(dir.path());
    let table = file(&closed, "", ".sst");
    change(&table, |bytes| {
        // What the name of a property does not share with the one before it: they are no longer in order.
        let at = bytes.windows(8).position(|window| window == b"mparator").unwrap();
        bytes[at] = 0;
    });
    refused(&closed, table.to_str().unwrap());
}

#[test]
fn a_log_that_is_back_in_a_closed_store_is_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    let (killed, closed) = stores(dir.path());
    fs::copy(file(&killed, "", ".log"), closed.join("db/000999.log")).unwrap();
    refused(&closed, "000999.log");
}

/// Where the records of a short manifest begin and end.
fn records(manifest: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (mut records, mut at) = (Vec::new(), 0);
    while let Some([_, _, _, _, low, high, _]) = manifest.get(at..at + 7) {
        let end = at + 7 + usize::from(u16::from_le_bytes([*low, *high]));
        records.push(at..end);
        at = end;
    }
    records
}

/// A store whose power went within the sync of a flush's edits, so that one of them is lost; the log is still there, as it goes
/// after that sync.
fn torn_flush(dir: &Path, lost: usize) -> (PathBuf, PathBuf) {
    let (killed, closed) = stores(dir);
    let (log, manifest) = (file(&killed, "", ".log"), file(&closed, "MANIFEST-", ""));
    let log_again = closed.join("db").join(log.file_name().unwrap());
    fs::rename(dir.join("log"), &log_again).unwrap();
    fs::remove_file(closed.join("SEAL")).unwrap();
    change(&manifest, |bytes| {
        let records = records(bytes);
        let first = records.iter().rposition(|record| bytes[record.clone()].ends_with(&[0xac, 2, 2]));
        let first = first.unwrap();
        bytes.truncate(records[first + 2].end);
        bytes[records[first + lost].clone()].fill(0);
    });
    (closed, log_again)
}

#[test]
fn a_flush_that_lost_any_of_its_edits_never_was() {
    for lost in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = torn_flush(dir.path(), lost);
        assert_eq!((shown(&store).unwrap(), shown(&store).unwrap()), (ENTRIES, ENTRIES), "edit {lost}");
    }
}

#[test]
fn an_edit_that_is_damaged_before_a_flush_whose_log_is_gone_is_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    let (store, log) = torn_flush(dir.path(), 0);
    fs::remove_file(log).unwrap();
    refused(&store, "MANIFEST-");
}

#[test]
fn a_lost_file_is_corrupt_and_never_a_blank_store() {
    for (begins, ends) in [("MANIFEST-", ""), ("CURRENT", ""), ("", ".sst")] {
        let dir = tempfile::tempdir().unwrap();
        for store in <[PathBuf; 2]>::from(stores(dir.path())) {
            fs::remove_file(file(&store, begins, ends)).unwrap();
            refused(&store, "db");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (killed, closed) = stores(dir.path());
    fs::remove_file(killed.join("STORE")).unwrap();
    refused(&killed, "STORE");
    fs::remove_dir_all(closed.join("db")).unwrap();
    refused(&closed, "db");
}

#[test]
fn creating_follows_no_link_where_it_clears_what_a_crash_left() {
    let dir = tempfile::tempdir().unwrap();
    let (elsewhere, left) = (dir.path().join("elsewhere"), dir.path().join(".store.creating"));
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("kept"), "kept").unwrap();
    fs::create_dir(&left).unwrap();
    std::os::unix::fs::symlink(&elsewhere, left.join("db")).unwrap();
    let create = || RocksStorage::create_with(dir.path().join("store"), ClusterId(1), NodeId(1), options());
    assert_eq!(create().unwrap_err().kind(), StorageErrorKind::Io);
    assert!(elsewhere.join("kept").exists());
    fs::remove_file(left.join("db")).unwrap();
    create().unwrap();
}

#[test]
fn a_store_on_plain_files_is_told_for_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["state", "snapshot"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("LOCK"), []).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Incompatible, "{error}");
    assert!(error.detail().contains("file://"), "{error}");
}

#[test]
fn another_store_beside_the_identity_is_corrupt() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((killed, _), (stranger, _)) = (stores(one.path()), stores(other.path()));
    fs::copy(stranger.join("STORE"), killed.join("STORE")).unwrap();
    refused(&killed, "STORE");
}
