//! Everything that was saved comes back, over however many segments, for however many groups.

use eraft_core::{
    ClusterId, EntryId, Expected, LogChange, LogIndex, NodeId, RaftStateUpdate, Storage, StorageErrorKind,
};
use eraft_storage_file::{FileEngine, FileStorage, fs::sim::SimFs};
use futures_executor::block_on;
use futures_util::FutureExt;

use crate::support::*;

#[test]
fn the_real_disk_gives_back_what_was_saved_over_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node");
    let identity = FileStorage::create(&path, CLUSTER, NODE).unwrap();
    let real = || std::sync::Arc::new(eraft_storage_file::fs::real::RealFs);
    for round in 0..3 {
        let store = FileStorage::open_with(real(), &path, Expected::exactly(CLUSTER, NODE), options(1)).unwrap();
        assert_eq!(block_on(store.read_raft_state()).unwrap().identity, identity);
        assert_eq!(ids(&store), run(1, 1..round * 50 + 1));
        append_each(&store, 1, round * 50 + 1..round * 50 + 51, 700);
        close(&store);
    }
}

#[test]
fn a_store_works_on_a_runtime_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node");
    FileStorage::create(&path, CLUSTER, NODE).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(async {
        let store = FileStorage::open(&path, Expected::any()).unwrap();
        store.save_raft_state(append(1, 1..5, 10)).await.unwrap();
        assert_eq!(store.read_entries(LogIndex(1)..LogIndex(9), u64::MAX).await.unwrap().len(), 4);
        store.close().await.unwrap();
    });
}

#[test]
fn state_log_and_snapshot_come_back_together() {
    let disk = created(1);
    let store = open(&disk);
    append_each(&store, 1, 1..40, 300);
    publish(&store, EntryId::new(1, 30), &[7; 300_000], compact(1, 25)).unwrap();
    append_each(&store, 2, 36..60, 300);
    let before = block_on(store.read_raft_state()).unwrap();
    let size_bytes = store.raft_state_size();
    assert!(size_bytes >= 34 * 332, "{size_bytes} bytes");
    close(&store);
    let store = open(&disk);
    assert_eq!(block_on(store.read_raft_state()).unwrap(), before);
    assert_eq!(ids(&store), [run(1, 26..36), run(2, 36..60)].concat());
    assert_eq!(snapshot(&store).unwrap(), Some((EntryId::new(1, 30), vec![7; 300_000])));
    assert_eq!((store.snapshot_size(), store.raft_state_size()), (300_000, size_bytes));
}

#[test]
fn what_a_truncation_removed_stays_removed() {
    let disk = created(1);
    let store = open(&disk);
    append_each(&store, 1, 1..60, 400);
    save(&store, append(2, 5..6, 400)).unwrap();
    close(&store);
    assert_eq!(ids(&open(&disk)), [run(1, 1..5), run(2, 5..6)].concat());
}

#[test]
fn a_reset_leaves_nothing_but_the_snapshot() {
    let disk = created(1);
    let store = open(&disk);
    append_each(&store, 1, 1..60, 400);
    let update = RaftStateUpdate { hard_state: None, log: LogChange::Reset { base: EntryId::new(3, 500) } };
    publish(&store, EntryId::new(3, 500), b"all of it", update).unwrap();
    close(&store);
    let store = open(&disk);
    assert_eq!(ids(&store), []);
    append_each(&store, 3, 501..503, 10);
    assert_eq!(ids(&store), run(3, 501..503));
}

#[test]
fn many_groups_share_one_log_and_keep_apart() {
    let disk = created(1);
    let engine = try_engine(&disk).unwrap();
    assert_eq!(engine.groups(), []);
    let stores = GROUPS.map(|group| engine.group(group).unwrap());
    for index in 1..30 {
        for (store, term) in stores.iter().zip(1..) {
            save(store, append(term, index..index + 1, 200)).unwrap();
        }
    }
    assert_eq!(engine.group(GROUPS[1]).unwrap_err().kind(), StorageErrorKind::Locked);
    drop(stores);
    block_on(engine.close()).unwrap();
    let engine = try_engine(&disk).unwrap();
    assert_eq!(engine.groups(), GROUPS);
    for (group, term) in GROUPS.into_iter().zip(1..) {
        assert_eq!(ids(&engine.group(group).unwrap()), run(term, 1..30));
    }
}

#[test]
fn a_frame_too_long_for_a_segment_gets_a_longer_one() {
    let disk = created(1);
    let store = open(&disk);
    append_each(&store, 1, 1..3, 100_000);
    save(&store, append(1, 3..400, 1000)).unwrap();
    append_each(&store, 1, 400..404, 10);
    close(&store);
    assert_eq!(ids(&open(&disk)), run(1, 1..404));
}

#[test]
fn a_group_whose_close_was_given_up_can_be_opened_again() {
    let disk = created(1);
    let engine = try_engine(&disk).unwrap();
    let store = engine.group(GROUPS[0]).unwrap();
    let receipt = store.save_raft_state(append(1, 1..100, 1000));
    // Nobody waits for the end of it.
    let _pending_or_done = store.close().now_or_never();
    drop(store);
    let store = engine.group(GROUPS[0]).unwrap();
    block_on(receipt).unwrap();
    assert_eq!(ids(&store), run(1, 1..100));
}

#[test]
fn nothing_is_opened_that_is_not_there_not_ours_or_in_use() {
    let kind = |result: eraft_core::Result<FileEngine>| result.unwrap_err().kind();
    assert_eq!(kind(try_engine(&SimFs::new(1))), StorageErrorKind::NotInitialised);
    let disk = created(1);
    let expect = |cluster, node| {
        let engine = FileEngine::open_with(seam(&disk), DIR, Expected::exactly(cluster, node), options(1));
        kind(engine)
    };
    assert_eq!(expect(ClusterId(2), NODE), StorageErrorKind::WrongIdentity);
    assert_eq!(expect(CLUSTER, NodeId(2)), StorageErrorKind::WrongIdentity);
    let created_again = FileEngine::create_with(seam(&disk), DIR, CLUSTER, NODE, options(2));
    assert_eq!(created_again.unwrap_err().kind(), StorageErrorKind::Invalid);
    let engine = try_engine(&disk).unwrap();
    assert_eq!(kind(try_engine(&disk)), StorageErrorKind::Locked);
    block_on(engine.close()).unwrap();
    drop(try_engine(&disk).unwrap());
    try_engine(&disk).unwrap();
}
