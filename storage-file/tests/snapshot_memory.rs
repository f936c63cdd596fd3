//! A snapshot larger than memory goes in and comes out: neither side holds more of it than a few chunks.
//!
//! By the kernel's count of this process, which is why this test is alone in its program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "the kernel tells of a process's memory in files")]

use bytes::Bytes;
use eraft_conformance::make::meta;
use eraft_core::{ClusterId, EntryId, Expected, LogChange, NodeId, RaftStateUpdate, Storage as _};
use eraft_storage_file::FileStorage;
use futures_executor::block_on;
use futures_util::StreamExt as _;
use meter::Memory;

#[path = "../../tests/processes/meter.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, reason = "of what it measures, memory is asked for alone")]
mod meter;

const MIB: usize = 1024 * 1024;
const SNAPSHOT_MIB: usize = 192;
/// What may be held of it: chunks on their way and what the allocator keeps.
const MOST_HELD_MIB: u64 = 24;

fn mebibyte(nth: usize) -> Bytes {
    nth.to_le_bytes().repeat(MIB / 8).into()
}

/// Stages, publishes and reads a snapshot of so many mebibytes, in a store that holds nothing else.
fn go_through(mebibytes: usize) {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("node");
    FileStorage::create(&place, ClusterId(1), NodeId(1)).unwrap();
    let store = FileStorage::open(&place, Expected::any()).unwrap();
    block_on(async {
        let mut writer = store.stage_snapshot(meta(1, 9)).await.unwrap();
        for nth in 0..mebibytes {
            writer.write(mebibyte(nth)).await.unwrap();
        }
        let staged = writer.finish().await.unwrap();
        let log = LogChange::Reset { base: EntryId::new(1, 9) };
        store.save_state_and_snapshot(RaftStateUpdate { hard_state: None, log }, staged).await.unwrap();
        let mut reader = store.read_snapshot().await.unwrap().unwrap();
        let mut read = 0;
        while let Some(chunk) = reader.chunks.next().await {
            read += chunk.unwrap().len();
        }
        assert_eq!(read, mebibytes * MIB);
    });
}

#[test]
fn a_large_snapshot_is_staged_and_read_in_little_memory() {
    let own = rustix::process::getpid();
    // What comes with the first use of anything.
    go_through(2);
    Memory::forget_peak(own);
    let Some(before) = Memory::of(own) else {
        println!("SKIPPED a_large_snapshot_is_staged_and_read_in_little_memory: no proc-status");
        return;
    };
    go_through(SNAPSHOT_MIB);
    let peak = Memory::of(own).unwrap().peak;
    let held = peak.saturating_sub(before.resident) / MIB as u64;
    println!("{SNAPSHOT_MIB} MiB went through {held} MiB of memory");
    assert!(held <= MOST_HELD_MIB, "{held} MiB were held at once of a snapshot of {SNAPSHOT_MIB}");
}
