//! Stages that outlive their store, or whom nobody waits for: they write nothing that is not theirs to write, and leave nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests on real files"
)]

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use eraft_conformance::make::{append, entries, keep, meta};
use eraft_core::{ClusterId, Expected, NodeId, SnapshotWriter, StagedSnapshot, Storage, StorageErrorKind};
use eraft_storage_rocksdb::{RocksOptions, RocksStorage};
use futures_executor::block_on;
use futures_util::FutureExt as _;

/// What fills a table to its last byte.
const PART_BYTES: usize = 4 << 20;

fn options() -> RocksOptions {
    RocksOptions { write_buffer_bytes: 64 << 10, reserve_bytes: 4 << 20, ..RocksOptions::default() }
}

fn open(dir: &Path) -> RocksStorage {
    RocksStorage::open_with(dir, Expected::any(), options()).unwrap()
}

/// A store that has taken a save, and is open.
fn store(dir: &Path) -> RocksStorage {
    RocksStorage::create_with(dir, ClusterId(1), NodeId(1), options()).unwrap();
    let storage = open(dir);
    block_on(storage.save_raft_state(append(entries(1, 1, 9)))).unwrap();
    storage
}

/// A stage with one table.
fn stage(storage: &RocksStorage) -> Box<dyn SnapshotWriter> {
    let mut stage = block_on(storage.stage_snapshot(meta(1, 5))).unwrap();
    block_on(stage.write(part())).unwrap();
    stage
}

/// A complete stage of a few bytes, up to `index`.
fn staged(storage: &RocksStorage, index: u64) -> StagedSnapshot {
    let mut stage = block_on(storage.stage_snapshot(meta(1, index))).unwrap();
    block_on(stage.write(Bytes::from_static(b"few"))).unwrap();
    block_on(stage.finish()).unwrap()
}

fn part() -> Bytes {
    vec![7; PART_BYTES].into()
}

/// How many tables stand in a directory of the store.
fn tables(dir: &Path) -> usize {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".sst")).count()
}

#[test]
fn a_stage_of_a_closed_store_writes_nothing_any_more_and_takes_its_tables_along() {
    let dir = tempfile::tempdir().unwrap();
    let (path, staging) = (dir.path().join("store"), dir.path().join("store/staging"));
    let storage = store(&path);
    let [mut writes, finishes, mut later] = [(); 3].map(|()| stage(&storage));
    block_on(storage.close()).unwrap();
    assert_eq!(tables(&staging), 3);
    let refused = block_on(writes.write(part())).unwrap_err();
    assert_eq!(refused.kind(), StorageErrorKind::Invalid, "{refused}");
    assert_eq!(tables(&staging), 3, "written though the directory may be another's");
    let refused = block_on(finishes.finish()).unwrap_err();
    assert_eq!(refused.kind(), StorageErrorKind::Invalid, "{refused}");
    assert_eq!(tables(&staging), 2, "what was refused is still there");

    // Also where nothing is left of the engine, and another has the directory.
    drop(storage);
    let storage = open(&path);
    assert_eq!(tables(&staging), 0);
    assert!(block_on(later.write(part())).is_err());
    assert_eq!(tables(&staging), 0, "written into a store that another has open");
    block_on(storage.close()).unwrap();
}

#[test]
fn a_snapshot_that_nobody_waited_for_to_be_finished_goes_with_the_next_save() {
    let dir = tempfile::tempdir().unwrap();
    let (path, db) = (dir.path().join("store"), dir.path().join("store/db"));
    let storage = store(&path);
    let before = tables(&db);
    // One thread for all that blocks: it is held until whoever waits has given up, and what comes after it is done by then.
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let mut stage = storage.stage_snapshot(meta(1, 5)).await.unwrap();
        stage.write(part()).await.unwrap();
        let (release, held) = std::sync::mpsc::channel();
        tokio::task::spawn_blocking(move || held.recv().unwrap());
        assert!(stage.finish().now_or_never().is_none(), "it did not wait");
        release.send(()).unwrap();
        tokio::task::spawn_blocking(|| {}).await.unwrap();
    });
    assert_eq!((tables(&db), tables(&path.join("staging"))), (before + 1, 0), "its table is RocksDB's");
    block_on(storage.save_raft_state(append(entries(1, 10, 10)))).unwrap();
    assert_eq!(tables(&db), before);
    block_on(storage.close()).unwrap();
}

#[test]
fn a_snapshot_that_is_replaced_in_the_batch_that_publishes_it_goes_as_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let (path, db) = (dir.path().join("store"), dir.path().join("store/db"));
    let storage = store(&path);
    block_on(storage.save_state_and_snapshot(keep(), staged(&storage, 1))).unwrap();
    let before = tables(&db);
    let all: Vec<_> = (2..=9).map(|index| staged(&storage, index)).collect();
    assert_eq!(tables(&db), before + all.len());
    // While the first is synced the others gather: several are of one batch.
    let receipts: Vec<_> = all.into_iter().map(|staged| storage.save_state_and_snapshot(keep(), staged)).collect();
    receipts.into_iter().for_each(|receipt| block_on(receipt).unwrap());
    // What is replaced goes with the next save.
    block_on(storage.save_raft_state(append(entries(1, 10, 10)))).unwrap();
    assert_eq!(tables(&db), before);
    block_on(storage.close()).unwrap();
}

#[test]
fn a_snapshot_that_the_state_names_is_the_one_that_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let storage = store(&dir.path().join("store"));
    let all: Vec<_> = (1..=9).map(|index| staged(&storage, index)).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reads = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let named = block_on(storage.read_raft_state()).unwrap().snapshot.map(|meta| meta.last);
                let read = block_on(storage.read_snapshot()).unwrap().map(|reader| reader.meta.last);
                assert!(read >= named, "the state names {named:?}, and {read:?} is read");
            }
        });
        for staged in all {
            block_on(storage.save_state_and_snapshot(keep(), staged)).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reads.join().unwrap();
    });
    block_on(storage.close()).unwrap();
}
