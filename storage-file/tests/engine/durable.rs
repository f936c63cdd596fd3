//! Each sync, by the loss that it prevents: nothing unsynced survives the power cuts here.

use std::time::Duration;

use eraft_core::{EntryId, Expected, RaftStateUpdate, Storage, StorageErrorKind};
use eraft_storage_file::{
    FileOptions, FileStorage,
    fs::{
        Fs,
        sim::{Call, Fate, Fault, Policy, SimFs},
    },
};
use eraft_storage_kit::GroupCommitOptions;

use crate::{model::Seen, support::*};

/// Names alone are lost.
const LOSE_NAMES: Policy = Policy { data: Fate::Kept, lengths: Fate::Kept, names: Fate::Lost };

/// Saves until a new segment has just begun, in a process that is then killed: the last save stands in the new one.
fn rotated(disk: &SimFs) -> u64 {
    let store = open(disk);
    let mut last = 0;
    while segments(disk).len() < 2 {
        last += 1;
        append_each(&store, 1, last..last + 1, 900);
    }
    std::mem::forget(store);
    last
}

#[test]
fn an_acknowledged_save_survives_a_power_cut() {
    let disk = created(1);
    let store = open(&disk);
    append_each(&store, 1, 1..4, 100);
    disk.crash_with(Policy::LOSE);
    drop(store);
    assert_eq!(ids(&open(&disk)), run(1, 1..4));
}

#[test]
fn a_new_segment_survives_a_power_cut_with_its_content() {
    let disk = created(1);
    let last = rotated(&disk);
    disk.crash_with(Policy::LOSE_DATA);
    assert_eq!(ids(&open(&disk)), run(1, 1..last + 1));
}

#[test]
fn a_new_segment_survives_a_power_cut_under_its_name() {
    let disk = created(1);
    let last = rotated(&disk);
    disk.crash_with(LOSE_NAMES);
    assert_eq!(ids(&open(&disk)), run(1, 1..last + 1));
}

#[test]
fn a_new_store_survives_a_power_cut() {
    let disk = created(1);
    disk.crash_with(Policy::LOSE);
    append_each(&open(&disk), 1, 1..3, 10);
}

#[test]
fn a_published_snapshot_survives_a_power_cut() {
    for policy in [Policy::LOSE, Policy::LOSE_DATA, LOSE_NAMES] {
        let disk = created(1);
        let store = open(&disk);
        append_each(&store, 1, 1..4, 100);
        publish(&store, EntryId::new(1, 3), &[3; 5000], RaftStateUpdate::default()).unwrap();
        disk.crash_with(policy);
        drop(store);
        assert_eq!(snapshot(&open(&disk)).unwrap(), Some((EntryId::new(1, 3), vec![3; 5000])), "{policy:?}");
    }
}

#[test]
fn removed_files_do_not_come_back() {
    let disk = created(1);
    let store = open(&disk);
    append_each(&store, 1, 1..30, 500);
    publish(&store, EntryId::new(1, 20), &[3; 50], RaftStateUpdate::default()).unwrap();
    publish(&store, EntryId::new(1, 29), &[4; 50], compact(1, 29)).unwrap();
    let (kept, snapshots) = (segments(&disk), files(&disk, "snapshot"));
    assert_eq!((kept.len(), snapshots.len()), (1, 1));
    disk.crash_with(Policy::LOSE);
    drop(store);
    assert_eq!((segments(&disk), files(&disk, "snapshot")), (kept, snapshots));
}

#[test]
fn a_store_whose_name_was_never_synced_is_durable_once_it_is_opened() {
    let disk = SimFs::new(1);
    // The last directory sync of a creation is the parent's: it fails, and its caller dies.
    disk.fail_nth(Call::SyncDir, 4, Fault::Io);
    let created = eraft_storage_file::FileEngine::create_with(seam(&disk), DIR, CLUSTER, NODE, options(1));
    assert_eq!(created.unwrap_err().kind(), StorageErrorKind::Io);
    disk.kill();
    let store = open(&disk);
    append_each(&store, 1, 1..3, 10);
    disk.crash_with(Policy::LOSE);
    drop(store);
    assert_eq!(ids(&open(&disk)), run(1, 1..3));
}

#[test]
fn a_segment_whose_name_was_never_synced_is_durable_once_it_is_found() {
    let disk = created(1);
    let last = {
        let store = open(&disk);
        disk.fail_nth(Call::SyncDir, 1, Fault::Io);
        let failed = (1..100).find(|index| save(&store, append(1, *index..*index + 1, 900)).is_err()).unwrap();
        failed - 1
    };
    disk.kill();
    assert_eq!(segments(&disk).len(), 2);
    let store = open(&disk);
    append_each(&store, 1, last + 1..last + 3, 900);
    disk.crash_with(LOSE_NAMES);
    drop(store);
    assert_eq!(ids(&open(&disk)), run(1, 1..last + 3));
}

#[test]
fn the_last_frame_is_durable_once_it_is_found_even_after_a_failed_sync() {
    // By the seed, a failed sync loses some of the frame's sectors or none: some seed must lose one.
    for seed in 0..8 {
        let disk = created(seed);
        let store = open(&disk);
        append_each(&store, 1, 1..3, 100);
        disk.fail_nth(Call::SyncData, 1, Fault::Io);
        assert!(save(&store, append(1, 3..4, 100)).is_err());
        drop(store);
        disk.kill();
        let store = open(&disk);
        let seen = ids(&store);
        disk.crash_with(Policy::LOSE);
        drop(store);
        assert_eq!(ids(&open(&disk)), seen, "seed {seed}: what a reader saw is gone");
    }
}

#[test]
fn the_seal_is_durable_before_the_next_segment_is_written_even_after_a_failed_sync() {
    for seed in 0..8 {
        let disk = created(seed);
        let last = rotated(&disk);
        let disk = created(seed);
        let store = open(&disk);
        append_each(&store, 1, 1..last, 900);
        // The next data sync is the seal's.
        disk.fail_nth(Call::SyncData, 1, Fault::Io);
        assert!(save(&store, append(1, last..last + 1, 900)).is_err());
        drop(store);
        disk.kill();
        let store = open(&disk);
        append_each(&store, 1, last..last + 1, 900);
        disk.crash_with(Policy::LOSE);
        drop(store);
        assert_eq!(ids(&open(&disk)), run(1, 1..last + 1), "seed {seed}");
    }
}

#[test]
fn nothing_that_is_still_needed_is_removed_before_its_successor_is_durable() {
    let disk = created(1);
    let store = open(&disk);
    append_each(&store, 1, 1..30, 500);
    publish(&store, EntryId::new(1, 20), &[3; 50], RaftStateUpdate::default()).unwrap();
    let staged = stage(&store, EntryId::new(1, 29), &[4; 50]).unwrap();
    let before = Seen::of(&store).unwrap();
    // The data sync of the save that compacts and publishes fails, and nothing of its frame reaches the disk.
    disk.fail_from(Call::SyncData, 1, Fault::Io);
    let receipt = store.save_state_and_snapshot(compact(1, 29), staged);
    assert!(futures_executor::block_on(receipt).is_err());
    assert_eq!(Seen::of(&store).unwrap(), before, "reads see nothing of a save that failed");
    drop(store);
    disk.heal();
    disk.crash_with(Policy::LOSE);
    let seen = Seen::of(&open(&disk)).unwrap();
    assert!(seen == before || seen.state.outline.base() == EntryId::new(1, 29), "{seen:?}");
}

#[test]
fn a_successor_is_complete_before_the_seal_names_it() {
    let fresh = created(1);
    let last = {
        let disk = fresh.fork(0);
        rotated(&disk)
    };
    let until_rotation = |disk: &SimFs| {
        let store = open(disk);
        append_each(&store, 1, 1..last, 900);
        store
    };
    let mut cut = 0;
    loop {
        let disk = fresh.fork(cut);
        let store = until_rotation(&disk);
        disk.cut_power_after(cut);
        let saved = save(&store, append(1, last..last + 1, 900)).is_ok();
        drop(store);
        for policy in [Policy::KEEP, Policy::LOSE, Policy::LOSE_DATA, LOSE_NAMES] {
            let disk = disk.fork(cut);
            disk.crash_with(policy);
            let found = ids(&try_open(&disk).unwrap_or_else(|error| panic!("cut after {cut}, {policy:?}: {error}")));
            assert!(
                found == run(1, 1..last + 1) || (!saved && found == run(1, 1..last)),
                "cut after {cut}, {policy:?}"
            );
        }
        if saved {
            break;
        }
        cut += 1;
    }
    assert!(cut > 5, "a rotation has several steps");
}

#[test]
fn a_closed_store_has_its_last_frame_confirmed_durably() {
    let disk = created(1);
    let store = open(&disk);
    append_each(&store, 1, 1..4, 100);
    close(&store);
    disk.crash_with(Policy::LOSE);
    // The third save's frame: only the mark behind it says that it was complete.
    disk.flip(format!("{DIR}/state/{:016x}.wal", 1), 4096 + 3 * 512 + 200, 1).unwrap();
    assert_eq!(try_open(&disk).unwrap_err().kind(), StorageErrorKind::Corrupt);
}

#[test]
fn an_idle_moment_confirms_the_last_frame() {
    let disk = created(1);
    let commit = GroupCommitOptions { idle_after: Some(Duration::from_millis(1)), ..GroupCommitOptions::default() };
    let idle = FileOptions { commit, ..options(1) };
    let store = FileStorage::open_with(seam(&disk), DIR, Expected::any(), idle).unwrap();
    append_each(&store, 1, 1..2, 100);
    // The mark has a block of its own behind the frame's.
    let first = format!("{DIR}/state/{:016x}.wal", 1);
    let marked = || {
        std::thread::yield_now();
        disk.read_file(&first).unwrap()[8192..8197] == *b"eRfr\x03"
    };
    assert!((0..2_000_000).any(|_| marked()), "no mark came");
    append_each(&store, 1, 2..4, 100);
    close(&store);
    assert_eq!(ids(&open(&disk)), run(1, 1..4));
}

#[test]
fn the_directory_is_locked_until_the_last_write_is_done() {
    let disk = created(1);
    let store = open(&disk);
    assert_eq!(try_open(&disk).unwrap_err().kind(), StorageErrorKind::Locked);
    let receipts: Vec<_> = (1..9).map(|at| store.save_raft_state(append(1, at..at + 1, 10))).collect();
    close(&store);
    let store = open(&disk);
    assert_eq!(ids(&store), run(1, 1..9));
    drop(receipts);
    assert!(disk.metadata(std::path::Path::new(DIR)).is_ok());
}
