//! Snapshot files: staged unseen, published at once with the log, verified chunk by chunk, removed when nobody needs them.

use eraft_core::{EntryId, GroupId, RaftStateUpdate, Storage, StorageErrorKind};
use eraft_storage_file::fs::sim::{Call, Fault, Policy, SimFs};
use futures_executor::block_on;
use futures_util::StreamExt;

use crate::support::*;

fn published() -> (SimFs, String) {
    let disk = created(1);
    let store = open(&disk);
    append_each(&store, 1, 1..4, 100);
    publish(&store, EntryId::new(1, 3), &[3; 600_000], RaftStateUpdate::default()).unwrap();
    close(&store);
    let file = format!("{DIR}/snapshot/{}", files(&disk, "snapshot")[0]);
    (disk, file)
}

#[test]
fn a_stage_is_invisible_and_goes_at_discard_abort_or_the_next_open() {
    let disk = created(1);
    let store = open(&disk);
    append_each(&store, 1, 1..4, 100);
    let staged = stage(&store, EntryId::new(1, 2), b"discarded").unwrap();
    assert_eq!(snapshot(&store).unwrap(), None);
    block_on(store.discard_snapshot(staged.clone())).unwrap();
    assert_eq!(block_on(store.discard_snapshot(staged.clone())).unwrap_err().kind(), StorageErrorKind::Invalid);
    let gone = block_on(store.save_state_and_snapshot(RaftStateUpdate::default(), staged));
    assert_eq!(gone.unwrap_err().kind(), StorageErrorKind::Invalid);
    block_on(block_on(store.stage_snapshot(meta_of(EntryId::new(1, 2)))).unwrap().abort()).unwrap();
    assert_eq!(files(&disk, "snapshot"), [""; 0]);
    drop(block_on(store.stage_snapshot(meta_of(EntryId::new(1, 2)))).unwrap());
    let _abandoned = stage(&store, EntryId::new(1, 3), b"abandoned").unwrap();
    assert_eq!(files(&disk, "snapshot").len(), 1, "what was dropped goes when the next stage begins");
    close(&store);
    let store = open(&disk);
    assert_eq!((snapshot(&store).unwrap(), files(&disk, "snapshot").len()), (None, 0));
}

#[test]
fn a_stage_is_published_once_and_by_its_own_group() {
    let disk = created(1);
    let engine = try_engine(&disk).unwrap();
    let (store, other) = (engine.group(GroupId(1)).unwrap(), engine.group(GroupId(2)).unwrap());
    for store in [&store, &other] {
        append_each(store, 1, 1..4, 100);
    }
    let staged = stage(&store, EntryId::new(1, 2), b"once").unwrap();
    let save = |store: &dyn Storage| {
        block_on(store.save_state_and_snapshot(RaftStateUpdate::default(), staged.clone()))
            .map_err(|error| error.kind())
    };
    assert_eq!(save(&other), Err(StorageErrorKind::Invalid));
    assert_eq!(save(&store), Ok(()));
    assert_eq!(save(&store), Err(StorageErrorKind::Invalid));
    assert_eq!((snapshot(&other).unwrap(), store.snapshot_size()), (None, 4));
}

#[test]
fn an_open_reader_outlives_a_newer_snapshot() {
    let disk = created(1);
    let store = open(&disk);
    append_each(&store, 1, 1..9, 100);
    publish(&store, EntryId::new(1, 3), &[3; 600_000], RaftStateUpdate::default()).unwrap();
    let mut reader = block_on(store.read_snapshot()).unwrap().unwrap();
    let first = block_on(reader.chunks.next()).unwrap().unwrap();
    publish(&store, EntryId::new(1, 5), &[5; 10], RaftStateUpdate::default()).unwrap();
    assert_eq!(files(&disk, "snapshot").len(), 1);
    let mut read_bytes = first.len();
    while let Some(chunk) = block_on(reader.chunks.next()) {
        let chunk = chunk.unwrap();
        assert!(chunk.iter().all(|byte| *byte == 3));
        read_bytes += chunk.len();
    }
    assert_eq!(read_bytes, 600_000);
    assert_eq!(snapshot(&store).unwrap(), Some((EntryId::new(1, 5), vec![5; 10])));
}

#[test]
fn a_flipped_bit_in_a_snapshot_is_told_at_open_or_when_it_is_read() {
    let (disk, file) = published();
    let length = disk.read_file(&file).unwrap().len();
    let places =
        (0..80).chain((4092..4200).step_by(3)).chain((4200..length).step_by(40_009)).chain(length - 24..length);
    for at in places {
        let damaged = disk.fork(at as u64);
        damaged.flip(&file, at as u64, 1 << (at % 8)).unwrap();
        let read = try_open(&damaged).and_then(|store| snapshot(&store));
        let error = read.expect_err(&format!("byte {at} of {length}"));
        assert_eq!(error.kind(), StorageErrorKind::Corrupt, "byte {at}: {error}");
        assert!(error.to_string().contains(".snap at offset"), "{error}");
    }
}

#[test]
fn a_published_snapshot_that_is_missing_short_or_another_one_is_damage() {
    let (disk, file) = published();
    let bytes = disk.read_file(&file).unwrap();
    let kind = |disk: &SimFs| try_open(disk).map(drop).unwrap_err().kind();
    let damaged = disk.fork(1);
    damaged.uproot(&file).unwrap();
    assert_eq!(kind(&damaged), StorageErrorKind::Corrupt);
    for length in [0, 100, 4096, 5000, bytes.len() - 1] {
        damaged.plant_file(&file, &bytes[..length]).unwrap();
        assert_eq!(kind(&damaged), StorageErrorKind::Corrupt, "cut to {length}");
    }
    let other = {
        let disk = created(2);
        let store = open(&disk);
        append_each(&store, 1, 1..4, 100);
        publish(&store, EntryId::new(1, 3), &[3; 600_000], RaftStateUpdate::default()).unwrap();
        disk.read_file(format!("{DIR}/snapshot/{}", files(&disk, "snapshot")[0])).unwrap()
    };
    damaged.plant_file(&file, &other).unwrap();
    assert_eq!(kind(&damaged), StorageErrorKind::Corrupt);
}

#[test]
fn a_stage_that_fails_harms_nothing() {
    for (call, fault) in [(Call::Write, Fault::NoSpace), (Call::SyncAll, Fault::Io), (Call::CreateFile, Fault::Io)] {
        let disk = created(1);
        let store = open(&disk);
        append_each(&store, 1, 1..4, 100);
        disk.fail_nth(call, 1, fault);
        let error = stage(&store, EntryId::new(1, 2), &[1; 900_000]).unwrap_err();
        assert_eq!(error.kind() == StorageErrorKind::Full, fault == Fault::NoSpace, "{error}");
        append_each(&store, 1, 4..6, 100);
        publish(&store, EntryId::new(1, 3), b"second attempt", RaftStateUpdate::default()).unwrap();
        assert_eq!(files(&disk, "snapshot").len(), 1);
        disk.crash_with(Policy::LOSE);
        drop(store);
        assert_eq!(snapshot(&open(&disk)).unwrap(), Some((EntryId::new(1, 3), b"second attempt".to_vec())));
    }
}

#[test]
fn a_long_stage_reaches_the_disk_piece_by_piece() {
    let disk = created(1);
    let store = open(&disk);
    append_each(&store, 1, 1..4, 100);
    let before = disk.counters().of(Call::SyncData);
    let staged = stage(&store, EntryId::new(1, 3), &vec![3; 20 << 20]).unwrap();
    let syncs = disk.counters().of(Call::SyncData) - before;
    assert!((4..=5).contains(&syncs), "{syncs} syncs of 20 MiB, one for every 4 expected: saves wait behind the rest");
    save(&store, append(1, 4..5, 10)).unwrap();
    block_on(store.discard_snapshot(staged)).unwrap();
}
