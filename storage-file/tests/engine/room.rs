//! Space: what a full disk does, what is foretold of it, and what is given back.

use eraft_core::{EntryId, Expected, RaftStateUpdate, Storage, StorageErrorKind};
use eraft_storage_file::{FileEngine, FileOptions, FileStorage, fs::sim::SimFs};

use crate::{model::Seen, support::*};

#[test]
fn a_full_disk_fails_a_save_whole_and_the_store_opens_again_on_it() {
    let disk = created(1);
    let store = open(&disk);
    disk.set_capacity_bytes(Some(disk.used_bytes() + 40_000));
    let (mut index, error) = (1, loop_until_full(&store));
    while ids(&store).contains(&(1, index)) {
        index += 1;
    }
    assert_eq!(error.kind(), StorageErrorKind::Full, "{error}");
    let before = Seen::of(&store).unwrap();
    assert_eq!(save(&store, vote(2)).unwrap_err().kind(), StorageErrorKind::Poisoned);
    drop(store);
    let store = open(&disk);
    assert_eq!(Seen::of(&store).unwrap(), before);
    drop(store);
    disk.set_capacity_bytes(None);
    let store = open(&disk);
    append_each(&store, 1, index..index + 20, 900);
    close(&store);
    assert_eq!(ids(&open(&disk)), run(1, 1..index + 20));
}

fn loop_until_full(store: &dyn Storage) -> eraft_core::StorageError {
    (1..).find_map(|index| save(store, append(1, index..index + 1, 900)).err()).unwrap()
}

#[test]
fn what_room_bytes_promises_can_be_saved() {
    for length in [10, 900, 9000] {
        let disk = created(1);
        disk.set_capacity_bytes(Some(disk.used_bytes() + 300_000));
        let store = open(&disk);
        let mut saved = 0;
        while store.room_bytes() >= 32 + length {
            saved += 1;
            save(&store, append(1, saved..saved + 1, length as usize)).unwrap();
        }
        assert!(saved > 10, "room was denied after {saved} saves of {length} bytes");
    }
}

#[test]
fn one_save_of_all_the_room_succeeds() {
    let disk = created(1);
    disk.set_capacity_bytes(Some(disk.used_bytes() + 300_000));
    let store = open(&disk);
    append_each(&store, 1, 1..4, 100);
    let room = store.room_bytes();
    assert!(room > 40_000, "{room}");
    save(&store, append(1, 4..5, room as usize - 32)).unwrap();
}

#[test]
fn a_stage_takes_its_room_at_once() {
    let disk = created(1);
    disk.set_capacity_bytes(Some(disk.used_bytes() + 300_000));
    let store = open(&disk);
    append_each(&store, 1, 1..4, 100);
    let before = store.room_bytes();
    let _staged = stage(&store, EntryId::new(1, 3), &[3; 200_000]).unwrap();
    let left = store.room_bytes();
    assert!(left <= before - 200_000, "{left} of {before} bytes are left");
    save(&store, append(1, 4..5, left as usize - 32)).unwrap();
}

#[test]
fn a_stage_that_fills_the_disk_gives_it_back() {
    for length in [600_000, 255_000] {
        let disk = created(1);
        let store = open(&disk);
        append_each(&store, 1, 1..4, 100);
        let used = disk.used_bytes();
        disk.set_capacity_bytes(Some(used + 256_000));
        // The first fails in a write, the second when the rest is written at its end.
        assert_eq!(stage(&store, EntryId::new(1, 3), &vec![3; length]).unwrap_err().kind(), StorageErrorKind::Full);
        assert_eq!(disk.used_bytes(), used, "{length} bytes");
        append_each(&store, 1, 4..40, 900);
    }
}

#[test]
fn at_zero_room_votes_go_on_for_a_while_whatever_is_confirmed_between_them() {
    let disk = SimFs::new(1);
    let wide = FileOptions { segment_bytes: 1 << 20, ..options(1) };
    FileEngine::create_with(seam(&disk), DIR, CLUSTER, NODE, wide).unwrap();
    disk.set_capacity_bytes(Some(disk.used_bytes() + 100_000));
    let again = || FileStorage::open_with(seam(&disk), DIR, Expected::any(), wide).unwrap();
    let (mut store, mut saved) = (again(), 0);
    while store.room_bytes() > 32 {
        saved += 1;
        let length = (store.room_bytes() - 32).min(30_000) as usize;
        save(&store, append(1, saved..saved + 1, length)).unwrap();
    }
    // Closing confirms the vote with a mark in a block of its own, as an idle moment does.
    for term in 2..8 {
        save(&store, vote(term)).unwrap();
        close(&store);
        store = again();
    }
}

#[test]
fn compaction_gives_segments_back_and_a_late_reader_is_told() {
    let disk = created(1);
    let store = open(&disk);
    append_each(&store, 1, 1..40, 700);
    let used = disk.used_bytes();
    publish(&store, EntryId::new(1, 30), b"snapshot", compact(1, 30)).unwrap();
    assert!(disk.used_bytes() < used / 2, "{} of {used}", disk.used_bytes());
    let below = store.read_entries(eraft_core::LogIndex(30)..eraft_core::LogIndex(31), 100);
    assert_eq!(futures_executor::block_on(below).unwrap_err().kind(), StorageErrorKind::Compacted);
    assert_eq!(ids(&store), run(1, 31..40));
    close(&store);
    assert_eq!(ids(&open(&disk)), run(1, 31..40));
}

#[test]
fn segments_that_a_crash_brings_back_after_their_removal_do_no_harm() {
    let disk = created(1);
    let store = open(&disk);
    append_each(&store, 1, 1..40, 700);
    let (oldest, paths) = (format!("{DIR}/state/{:016x}.wal", 1), files(&disk, "state"));
    let bytes = disk.read_file(&oldest).unwrap();
    publish(&store, EntryId::new(1, 30), b"snapshot", compact(1, 30)).unwrap();
    close(&store);
    assert!(paths.len() > files(&disk, "state").len() + 1, "a gap is left behind the one that comes back");
    disk.plant_file(&oldest, &bytes).unwrap();
    assert_eq!(ids(&open(&disk)), run(1, 31..40));
    assert!(!files(&disk, "state").contains(&format!("{:016x}.wal", 1)));
}

#[test]
fn sizes_follow_what_is_live_with_the_room_that_lies_between() {
    let disk = SimFs::new(1);
    let wide = FileOptions { segment_bytes: 1 << 20, ..options(1) };
    FileEngine::create_with(seam(&disk), DIR, CLUSTER, NODE, wide).unwrap();
    let store = FileStorage::open_with(seam(&disk), DIR, Expected::any(), wide).unwrap();
    assert_eq!((store.raft_state_size(), store.snapshot_size()), (0, 0));
    // Each has a frame of 512 bytes to itself; how far the last one's reaches is seen with the next.
    append_each(&store, 1, 1..11, 68);
    assert_eq!(store.raft_state_size(), 9 * 512 + 100);
    save(&store, append(2, 6..7, 68)).unwrap();
    assert_eq!(store.raft_state_size(), 4 * 512 + 6 * 512 + 100);
    publish(&store, EntryId::new(1, 4), &[1; 777], compact(1, 4)).unwrap();
    assert_eq!((store.raft_state_size(), store.snapshot_size()), (6 * 512 + 100, 777));
    save(&store, append(3, 7..17, 68)).unwrap();
    save(&store, append(3, 17..18, 68)).unwrap();
    assert!(store.raft_state_size() < 7 * 512 + 10 * 100 + 1024 + 100, "{} bytes", store.raft_state_size());
}

#[test]
fn entries_that_come_one_by_one_with_marks_between_count_for_most_of_the_disk_that_they_take() {
    let disk = SimFs::new(1);
    let wide = FileOptions { segment_bytes: 1 << 20, ..options(1) };
    FileEngine::create_with(seam(&disk), DIR, CLUSTER, NODE, wide).unwrap();
    let again = || FileStorage::open_with(seam(&disk), DIR, Expected::any(), wide).unwrap();
    // Closing confirms the last frame with a mark in a block of its own, as an idle moment does.
    for index in 1..61 {
        let store = again();
        append_each(&store, 1, index..index + 1, 10);
        close(&store);
    }
    let counted = again().raft_state_size();
    assert!((58 * 8192..61 * 8192).contains(&counted), "{counted} bytes are counted for 60 times two blocks");
}

#[test]
fn a_save_writes_what_is_new_and_nothing_else() {
    let disk = created(1);
    let store = open(&disk);
    append_each(&store, 1, 1..200, 400);
    let before = disk.counters().written_bytes;
    save(&store, RaftStateUpdate { hard_state: None, ..append(1, 200..201, 400) }).unwrap();
    // One frame, and a new segment at worst.
    assert!(disk.counters().written_bytes - before <= 2 * 16 * 1024);
}
