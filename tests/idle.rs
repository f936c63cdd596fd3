//! What a cluster at rest costs its disks: nothing. Measured on real processes by what the kernel counts for them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test of real processes, which uses a part of what the others share: real time, threads and files"
)]

mod processes;

use std::{fs, thread, time::Duration};

use processes::{Client, Trio};

/// Long enough for every store to have confirmed its last frame, which it does once after a moment of silence.
const SETTLE: Duration = Duration::from_secs(1);
/// Thirty heartbeats to either follower.
const REST: Duration = Duration::from_secs(3);

/// Bytes that each node has had written to its disk so far; `None` where the kernel does not count them.
fn written(trio: &Trio) -> Option<Vec<u64>> {
    let of = |pid: u64| {
        let counters = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
        counters.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok())
    };
    trio.nodes.iter().map(|node| of(node.number("process_id")?)).collect()
}

#[test]
fn thirty_heartbeats_without_a_write_leave_every_disk_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut trio = Trio::found(dir.path());
    trio.start();
    let (leader, _) = trio.leader();
    trio.agree();

    let before = written(&trio);
    let mut client = Client::connect(&trio.nodes[leader].client, Duration::from_secs(10)).unwrap();
    client.call(&["SET", "key", "value"]).unwrap();
    trio.agree();
    thread::sleep(SETTLE);
    let (Some(before), Some(settled)) = (before, written(&trio)) else {
        return println!("SKIPPED an idle cluster writes nothing: no /proc/PID/io on this system");
    };
    if before[leader] == settled[leader] {
        return println!("SKIPPED an idle cluster writes nothing: the temporary directory is on no disk");
    }

    let (_, term) = trio.leader();
    thread::sleep(REST);
    assert_eq!(trio.leader(), (leader, term), "the same leader sent heartbeats all the time");
    let rested = written(&trio).unwrap();
    println!(
        "bytes written by a SET and its mark: {} on the leader; at rest: {:?}",
        settled[leader] - before[leader],
        rested.iter().zip(&settled).map(|(after, before)| after - before).collect::<Vec<_>>()
    );
    assert_eq!(rested, settled, "an idle cluster wrote to a disk");
}
