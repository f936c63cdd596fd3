//! Space: what a full disk does, what is foretold of it, and what is given back.

use bytes::Bytes;
use eraft_core::{
    ConfState, Entry, EntryId, EntryKind, Expected, LogChange, LogIndex, RaftStateUpdate, SnapshotMeta, Storage,
    StorageErrorKind, Term,
};
use eraft_storage_file::{
    FileEngine, FileOptions, FileStorage,
    fs::sim::{Call, Fault, Policy, SimFs},
};
use futures_executor::block_on;

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

const SPARE: &str = "spare";

fn has_spare(disk: &SimFs) -> bool {
    files(disk, "state").iter().any(|name| name == SPARE)
}

/// Fills a disk that has room for nothing new up to the last byte that commands may have; the last entry's index.
fn fill_up(store: &dyn Storage) -> u64 {
    let mut saved = 0;
    while store.room_bytes() > 32 {
        saved += 1;
        let length = (store.room_bytes() - 32).min(30_000) as usize;
        save(store, append(1, saved..saved + 1, length)).unwrap();
    }
    saved
}

/// A new store in segments of this length, on a disk that has no room for a second one.
fn in_one_segment(segment_bytes: u64) -> (SimFs, FileOptions) {
    let disk = SimFs::new(1);
    let wide = FileOptions { segment_bytes, ..options(1) };
    FileEngine::create_with(seam(&disk), DIR, CLUSTER, NODE, wide).unwrap();
    disk.set_capacity_bytes(Some(disk.used_bytes()));
    (disk, wide)
}

/// A store in segments of this length, on a disk that is full but for what the last segment still takes.
fn on_a_full_disk(segment_bytes: u64) -> (SimFs, FileOptions, u64) {
    let (disk, wide) = in_one_segment(segment_bytes);
    let store = FileStorage::open_with(seam(&disk), DIR, Expected::any(), wide).unwrap();
    let saved = fill_up(&store);
    close(&store);
    (disk, wide, saved)
}

#[test]
fn on_a_full_disk_votes_go_on_in_the_spare_and_commands_do_not() {
    let (disk, wide, saved) = on_a_full_disk(1 << 18);
    assert!(saved > 5, "{saved} entries fit into the first segment");
    let again = || FileStorage::open_with(seam(&disk), DIR, Expected::any(), wide).unwrap();
    let mut term = 1;
    while has_spare(&disk) {
        let store = again();
        assert!(store.room_bytes() < 8192, "{} bytes at term {term}", store.room_bytes());
        term += 1;
        save(&store, vote(term)).unwrap();
        close(&store);
    }
    assert_eq!(segments(&disk).len(), 2, "the spare is the second segment");
    let store = again();
    assert_eq!(store.room_bytes(), 0, "what became of the spare is not for commands either");
    let refused = save(&store, append(term, saved + 1..saved + 2, 10)).unwrap_err();
    assert_eq!(refused.kind(), StorageErrorKind::Full, "{refused}");
    drop(store);
    let store = again();
    let noop = Entry { kind: EntryKind::Noop, ..Entry::command(Term(term), LogIndex(saved + 1), "") };
    save(&store, RaftStateUpdate { hard_state: None, log: LogChange::Append(vec![noop]) }).unwrap();
    // A quarter of the votes that a spare of its full length takes.
    for vote_of in term + 1..term + 100 {
        save(&store, vote(vote_of)).unwrap();
    }
    close(&store);
    assert_eq!(read_all(&again()).unwrap().len() as u64, saved + 1);
}

#[test]
fn votes_queued_behind_a_command_that_takes_the_last_room_go_on_in_the_spare() {
    let (disk, wide) = in_one_segment(1 << 18);
    let (store, mut steps) = FileStorage::open_stepped(seam(&disk), DIR, Expected::any(), wide).unwrap();
    // With the mark in place the room is told to a few hundred bytes.
    steps.idle().unwrap();
    let command = store.save_raft_state(append(1, 1..2, store.room_bytes() as usize - 32));
    let votes: Vec<_> = (2..60).map(|term| store.save_raft_state(vote(term))).collect();
    steps.commit(usize::MAX).unwrap();
    block_on(command).unwrap();
    votes.into_iter().for_each(|vote| block_on(vote).unwrap());
    assert_eq!((segments(&disk).len(), has_spare(&disk), store.room_bytes()), (2, false, 0));
    steps.close().unwrap();
    drop(store);
    let store = FileStorage::open_with(seam(&disk), DIR, Expected::any(), wide).unwrap();
    assert_eq!(block_on(store.read_raft_state()).unwrap().hard_state.term, Term(59));
    assert_eq!(read_all(&store).unwrap().len(), 1);
}

#[test]
fn what_a_queued_publication_says_of_its_members_is_no_room_for_commands() {
    let (disk, wide) = in_one_segment(1 << 18);
    disk.set_capacity_bytes(Some(disk.used_bytes() + 100_000));
    let (store, mut steps) = FileStorage::open_stepped(seam(&disk), DIR, Expected::any(), wide).unwrap();
    let first = store.save_raft_state(append(1, 1..2, 100));
    steps.commit(usize::MAX).unwrap();
    block_on(first).unwrap();
    let voters = [(NODE, Bytes::from(vec![b'x'; 50_000]))];
    let meta = SnapshotMeta { last: EntryId::new(1, 1), conf_state: ConfState::of_voters(voters) };
    let staged = block_on(async { store.stage_snapshot(meta).await?.finish().await }).unwrap();
    let published = store.save_state_and_snapshot(compact(1, 1), staged);
    let command = store.save_raft_state(append(1, 2..3, store.room_bytes() as usize - 32));
    steps.commit(usize::MAX).unwrap();
    block_on(published).unwrap();
    block_on(command).unwrap();
}

/// A store without a spare on a disk that has just got room for one.
fn with_room_for_a_spare_again() -> (SimFs, FileStorage, eraft_storage_kit::Steps) {
    let (disk, wide) = in_one_segment(1 << 16);
    disk.uproot(format!("{DIR}/state/{SPARE}")).unwrap();
    disk.set_capacity_bytes(Some(disk.used_bytes()));
    let (store, mut steps) = FileStorage::open_stepped(seam(&disk), DIR, Expected::any(), wide).unwrap();
    steps.idle().unwrap();
    assert_eq!((store.room_bytes(), has_spare(&disk)), (0, false));
    disk.set_capacity_bytes(None);
    (disk, store, steps)
}

#[test]
fn a_spare_that_was_left_half_made_is_made_again() {
    let (disk, _store, mut steps) = with_room_for_a_spare_again();
    disk.plant_file(format!("{DIR}/state/{SPARE}.new"), &[7; 100]).unwrap();
    steps.idle().unwrap();
    assert!(has_spare(&disk));
}

#[test]
fn a_spare_that_cannot_be_made_fails_nothing_and_is_tried_again_with_every_save() {
    for (call, fault) in
        [(Call::CreateFile, Fault::TooManyFiles), (Call::CreateFile, Fault::Io), (Call::Write, Fault::Io)]
    {
        let (disk, store, mut steps) = with_room_for_a_spare_again();
        disk.fail_nth(call, 1, fault);
        // What is left half-made cannot be removed at once either.
        disk.fail_from(Call::RemoveFile, 1, Fault::Io);
        steps.idle().unwrap_or_else(|error| panic!("{call:?} met {fault:?}: {error}"));
        assert_eq!((store.room_bytes(), has_spare(&disk)), (0, false), "{call:?} met {fault:?}");
        disk.heal();
        let voted = store.save_raft_state(vote(2));
        steps.commit(usize::MAX).unwrap();
        block_on(voted).unwrap();
        assert!(has_spare(&disk) && store.room_bytes() > 0, "{call:?} met {fault:?}");
    }
}

#[test]
fn a_store_opens_and_votes_though_no_spare_can_be_made() {
    let disk = created(1);
    disk.uproot(format!("{DIR}/state/{SPARE}")).unwrap();
    disk.fail_from(Call::CreateFile, 1, Fault::TooManyFiles);
    let store = open(&disk);
    save(&store, vote(2)).unwrap();
    assert_eq!((store.room_bytes(), has_spare(&disk)), (0, false));
}

#[test]
fn the_spare_is_made_again_when_there_is_room_and_before_any_command_is_written() {
    for freed_bytes in [100_000, 1 << 18, 1 << 20] {
        let (disk, wide, saved) = on_a_full_disk(1 << 18);
        let store = FileStorage::open_with(seam(&disk), DIR, Expected::any(), wide).unwrap();
        let mut term = 1;
        while has_spare(&disk) {
            term += 1;
            save(&store, vote(term)).unwrap();
        }
        disk.set_capacity_bytes(Some(disk.used_bytes() + freed_bytes));
        assert_eq!(store.room_bytes() > 0, freed_bytes >= 1 << 18, "{freed_bytes} bytes are free");
        if store.room_bytes() > 0 {
            save(&store, append(term, saved + 1..saved + 2, 1000)).unwrap();
            assert!(has_spare(&disk), "{freed_bytes} bytes are free");
        }
        let last = saved + u64::from(freed_bytes >= 1 << 18);
        assert_eq!(read_all(&store).unwrap().len() as u64, last);
    }
}

#[test]
fn a_compaction_on_a_full_disk_makes_room_and_gives_it_to_the_spare_first() {
    let (disk, wide, saved) = on_a_full_disk(1 << 18);
    disk.set_capacity_bytes(Some(disk.used_bytes() + 8192));
    let store = FileStorage::open_with(seam(&disk), DIR, Expected::any(), wide).unwrap();
    let staged = stage(&store, EntryId::new(1, saved), &[7; 100]).unwrap();
    let mut term = 1;
    while has_spare(&disk) {
        term += 1;
        save(&store, vote(term)).unwrap();
    }
    block_on(store.save_state_and_snapshot(compact(1, saved), staged)).unwrap();
    assert_eq!((segments(&disk).len(), has_spare(&disk)), (1, true));
    assert!(store.room_bytes() > 100_000, "{} bytes", store.room_bytes());
    append_each(&store, term, saved + 1..saved + 20, 1000);
    close(&store);
}

#[test]
fn what_a_replaced_snapshot_gives_back_goes_to_the_spare_at_once() {
    let (disk, wide, saved) = on_a_full_disk(1 << 18);
    disk.set_capacity_bytes(None);
    let store = FileStorage::open_with(seam(&disk), DIR, Expected::any(), wide).unwrap();
    publish(&store, EntryId::new(1, saved - 2), &[7; 300_000], compact(1, saved - 2)).unwrap();
    let staged = stage(&store, EntryId::new(1, saved), &[7; 100]).unwrap();
    disk.set_capacity_bytes(Some(disk.used_bytes()));
    let mut term = 1;
    while has_spare(&disk) {
        term += 1;
        save(&store, vote(term)).unwrap();
    }
    let segments_before = segments(&disk);
    block_on(store.save_state_and_snapshot(vote(term + 1), staged)).unwrap();
    assert_eq!((segments(&disk), has_spare(&disk)), (segments_before, true), "nothing but the snapshot went");
}

#[test]
fn a_store_without_a_spare_gets_one_as_soon_as_there_is_room() {
    let (disk, wide, saved) = on_a_full_disk(1 << 16);
    let again = |disk: &SimFs| FileStorage::open_with(seam(disk), DIR, Expected::any(), wide).unwrap();
    disk.uproot(format!("{DIR}/state/{SPARE}")).unwrap();
    let freed = disk.fork(1);
    freed.set_capacity_bytes(None);
    disk.set_capacity_bytes(Some(disk.used_bytes() + 100));
    let store = again(&disk);
    assert_eq!((store.room_bytes(), has_spare(&disk)), (0, false));
    assert_eq!(read_all(&store).unwrap().len() as u64, saved);
    close(&again(&freed));
    assert!(has_spare(&freed));
}

#[test]
fn a_spare_is_durable_before_it_is_counted_on() {
    for policy in [Policy::LOSE, Policy::LOSE_DATA] {
        let disk = created(1);
        let whole = disk.read_file(format!("{DIR}/state/{SPARE}")).unwrap();
        disk.uproot(format!("{DIR}/state/{SPARE}")).unwrap();
        let store = open(&disk);
        disk.crash_with(policy);
        drop(store);
        assert_eq!(disk.read_file(format!("{DIR}/state/{SPARE}")).ok(), Some(whole), "{policy:?}");
    }
}

#[test]
fn nothing_that_stands_in_a_spare_is_ever_read() {
    let (disk, wide, saved) = on_a_full_disk(1 << 16);
    let old = disk.read_file(format!("{DIR}/state/{:016x}.wal", 1)).unwrap();
    disk.plant_file(format!("{DIR}/state/{SPARE}"), &old).unwrap();
    let again = || FileStorage::open_with(seam(&disk), DIR, Expected::any(), wide).unwrap();
    let store = again();
    for term in 2..30 {
        save(&store, vote(term)).unwrap();
    }
    assert!(!has_spare(&disk));
    disk.kill();
    let store = again();
    assert_eq!(
        (block_on(store.read_raft_state()).unwrap().hard_state.term, read_all(&store).unwrap().len() as u64),
        (Term(29), saved)
    );
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
    assert_eq!(block_on(below).unwrap_err().kind(), StorageErrorKind::Compacted);
    assert_eq!(ids(&store), run(1, 31..40));
    close(&store);
    assert_eq!(ids(&open(&disk)), run(1, 31..40));
}

#[test]
fn segments_that_a_crash_brings_back_after_their_removal_do_no_harm() {
    let disk = created(1);
    let store = open(&disk);
    append_each(&store, 1, 1..40, 700);
    let (oldest, paths) = (format!("{DIR}/state/{:016x}.wal", 1), segments(&disk));
    let bytes = disk.read_file(&oldest).unwrap();
    publish(&store, EntryId::new(1, 30), b"snapshot", compact(1, 30)).unwrap();
    close(&store);
    assert!(paths.len() > segments(&disk).len() + 1, "a gap is left behind the one that comes back");
    disk.plant_file(&oldest, &bytes).unwrap();
    assert_eq!(ids(&open(&disk)), run(1, 31..40));
    assert!(!segments(&disk).contains(&format!("{:016x}.wal", 1)));
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
