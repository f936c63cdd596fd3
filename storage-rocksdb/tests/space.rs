//! What is compacted gives its room on the disk back: of one group whole tables at once, which nothing new is merged with; of
//! many, whose entries share tables, by merging.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests on real files and RocksDB's own time"
)]

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use eraft_conformance::make::{append, compact, keep, meta};
use eraft_core::{ClusterId, Entry, Expected, GroupId, LogIndex, NodeId, Storage, Term};
use eraft_storage_kit::GroupCommitOptions;
use eraft_storage_rocksdb::{Family, RocksEngine, RocksOptions, RocksStorage, Tune, rocksdb::Options};
use futures_executor::block_on;

const ENTRIES: u64 = 20;
const ENTRY_BYTES: usize = 2_000;

/// Write buffers of 64 KiB, of which RocksDB makes a table each; it merges as many new ones as this. No moment is idle.
fn open(dir: &Path, merged: i32) -> RocksEngine {
    let tune = move |_: Family, tuned: &mut Options| tuned.set_level_zero_file_num_compaction_trigger(merged);
    let tune: Tune = Arc::new(tune);
    let options = RocksOptions {
        commit: GroupCommitOptions { idle_after: None, ..GroupCommitOptions::default() },
        write_buffer_bytes: 64 << 10,
        reserve_bytes: 4 << 20,
        tune: Some(tune),
        ..RocksOptions::default()
    };
    RocksEngine::open_with(dir, Expected::any(), options).unwrap()
}

/// The bytes of the files in the database whose names are like this.
fn bytes_of(dir: &Path, is_one: impl Fn(&str) -> bool) -> u64 {
    let entries = fs::read_dir(dir.join("db")).unwrap().map(Result::unwrap);
    let chosen = entries.filter(|entry| is_one(&entry.file_name().to_string_lossy()));
    // One that was merged away meanwhile takes nothing.
    chosen.map(|file| file.metadata().map_or(0, |found| found.len())).sum()
}

fn table_bytes(dir: &Path) -> u64 {
    bytes_of(dir, |name| name.ends_with(".sst"))
}

/// Waits until RocksDB has changed nothing about its tables for three seconds.
fn settle(dir: &Path) {
    let edits = || bytes_of(dir, |name| name.starts_with("MANIFEST-"));
    let mut before = 0;
    while edits() != before {
        before = edits();
        std::thread::sleep(Duration::from_secs(3));
    }
}

/// Twenty entries that do not compress, from `first` on.
async fn fill(group: &RocksStorage, first: u64) {
    let mut random = fastrand::Rng::with_seed(first);
    let mut payload = || std::iter::repeat_with(|| random.u8(..)).take(ENTRY_BYTES).collect::<Vec<_>>();
    let entries = (first..first + ENTRIES).map(|index| Entry::command(Term(1), LogIndex(index), payload())).collect();
    group.save_raft_state(append(entries)).await.unwrap();
}

/// A snapshot up to `last`, and a log that begins after it.
async fn give_up(group: &RocksStorage, last: u64) {
    let staged = group.stage_snapshot(meta(1, last)).await.unwrap().finish().await.unwrap();
    group.save_state_and_snapshot(keep(), staged).await.unwrap();
    group.save_raft_state(compact(1, last)).await.unwrap();
}

/// Waits until the tables take no more than this.
fn shrinks_to(dir: &Path, bytes: u64) {
    let begun = Instant::now();
    while table_bytes(dir) > bytes {
        assert!(begun.elapsed() < Duration::from_secs(30), "{} bytes of tables; expected {bytes}", table_bytes(dir));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_one_group_has_compacted_goes_with_the_next_save_table_by_table_and_without_a_merge() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    RocksEngine::create(&dir, ClusterId(1), NodeId(1)).unwrap();
    let engine = open(&dir, 4);
    let group = engine.group(GroupId(1)).unwrap();
    (0..50).for_each(|round| block_on(fill(&group, 1 + round * ENTRIES)));
    settle(&dir);
    block_on(engine.close()).unwrap();

    let engine = open(&dir, 1000);
    let (group, before) = (engine.group(GroupId(1)).unwrap(), table_bytes(&dir));
    assert!(before > 1_500_000, "{before} bytes of tables");
    block_on(give_up(&group, 50 * ENTRIES));
    block_on(fill(&group, 1 + 50 * ENTRIES));
    shrinks_to(&dir, before / 3);
    block_on(engine.close()).unwrap();
}

/// Eight groups, none of whose tables were merged.
fn unmerged(dir: &Path) {
    RocksEngine::create(dir, ClusterId(1), NodeId(1)).unwrap();
    let engine = open(dir, 1000);
    let groups: Vec<_> = (1..=8).map(|id| engine.group(GroupId(id)).unwrap()).collect();
    block_on(async {
        for round in 0..10 {
            for group in &groups {
                fill(group, 1 + round * ENTRIES).await;
            }
        }
        engine.close().await.unwrap();
    });
}

/// All of the groups compact what they have but for their last entries.
fn compact_all(engine: &RocksEngine) {
    for id in 1..=8 {
        block_on(give_up(&engine.group(GroupId(id)).unwrap(), 9 * ENTRIES));
    }
}

/// That what the groups have kept is there.
fn read_all(engine: &RocksEngine) {
    let (first, last) = (LogIndex(1 + 9 * ENTRIES), LogIndex(10 * ENTRIES));
    for id in 1..=8 {
        let group = engine.group(GroupId(id)).unwrap();
        let read = block_on(group.read_entries(first..last.next(), u64::MAX)).unwrap();
        assert_eq!(read.len() as u64, ENTRIES, "group {id}");
    }
}

/// Opens the store with a reserve of so many quarters of what is free on its disk: with more than four, nothing is merged in
/// the background.
fn open_on_a_full_disk(dir: &Path, quarters: u64) -> RocksEngine {
    let found = rustix::fs::statvfs(dir).unwrap();
    let reserve_bytes = found.f_bavail * found.f_frsize / 4 * quarters;
    let options = RocksOptions { write_buffer_bytes: 64 << 10, reserve_bytes, ..RocksOptions::default() };
    RocksEngine::open_with(dir, Expected::any(), options).unwrap()
}

#[test]
fn what_many_groups_compact_on_a_full_disk_goes_by_itself_unless_the_reserve_would_lend_more_than_half() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    unmerged(&dir);
    let before = table_bytes(&dir);
    let engine = open_on_a_full_disk(&dir, 12);
    compact_all(&engine);
    // Longer than until the silence is an idle moment.
    std::thread::sleep(Duration::from_secs(2));
    assert!(table_bytes(&dir) >= before, "{} bytes of tables, {before} before", table_bytes(&dir));
    block_on(engine.close()).unwrap();

    let engine = open_on_a_full_disk(&dir, 6);
    block_on(fill(&engine.group(GroupId(9)).unwrap(), 1));
    block_on(give_up(&engine.group(GroupId(9)).unwrap(), 1));
    shrinks_to(&dir, before / 4);
    read_all(&engine);
    block_on(engine.close()).unwrap();
}

#[test]
fn what_many_groups_have_compacted_takes_little_room_while_they_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    RocksEngine::create(&dir, ClusterId(1), NodeId(1)).unwrap();
    let engine = open(&dir, 4);
    let groups: Vec<_> = (1..=8).map(|id| engine.group(GroupId(id)).unwrap()).collect();
    let live_bytes = groups.len() as u64 * ENTRIES * ENTRY_BYTES as u64;
    block_on(async {
        for round in 0..40 {
            let first = 1 + round * ENTRIES;
            for group in &groups {
                fill(group, first).await;
            }
            for group in groups.iter().filter(|_| round > 0) {
                give_up(group, first - 1).await;
            }
        }
        // Forty times as much was written.
        println!("{live_bytes} bytes are live, and tables take {}", table_bytes(&dir));
        shrinks_to(&dir, 8 * live_bytes);
        engine.close().await.unwrap();
    });
}
