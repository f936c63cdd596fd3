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

use processes::{AtLeader, Trio, wait_until};

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

/// The same once nothing has been written for a while.
fn settled(trio: &Trio) -> Option<Vec<u64>> {
    let mut before = written(trio)?;
    loop {
        thread::sleep(SETTLE);
        let now = written(trio)?;
        if now == before {
            return Some(now);
        }
        before = now;
    }
}

#[test]
fn thirty_heartbeats_without_a_write_leave_every_disk_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut trio = Trio::found(dir.path());
    trio.start();
    trio.agree();

    let before = written(&trio);
    AtLeader::of(&trio).call(&["SET", "key", "value"]);
    trio.agree();
    let (Some(before), Some(after)) = (before, settled(&trio)) else {
        return println!("SKIPPED an idle cluster writes nothing: no /proc/PID/io on this system");
    };
    if before == after {
        return println!("SKIPPED an idle cluster writes nothing: the temporary directory is on no disk");
    }

    // A machine that stalls may see an election, which is written down.
    let (quiet, rested) = wait_until("a rest under one leader", || {
        let (leader, quiet) = (trio.leader(), settled(&trio)?);
        thread::sleep(REST);
        let rested = written(&trio)?;
        (trio.leader() == leader).then_some((quiet, rested))
    });
    println!("bytes written before a SET: {before:?}, and after it and its mark: {after:?}; after a rest: {rested:?}");
    assert_eq!(rested, quiet, "an idle cluster wrote to a disk");
}
