//! A node that was away for longer than the log reaches back comes back by a snapshot, while clients write.
//!
//! The others' commits go on meanwhile, and neither side holds the snapshot in memory, nor the receiver its old state beside
//! the new one. Then the same with either side
//! killed in the middle of it. By default the state is small, so that what cannot depend on the machine is checked every
//! time; `ERAFT_LONG=1 cargo test --release --test catch_up -- --nocapture` has 280 MiB of it, measures, and holds the
//! figures against their bounds.

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

mod flood;
mod processes;

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::Path,
    thread,
    time::Duration,
};

use flood::{Flood, Record};
use processes::{Memory, Trio, is_large, mib, wait_until};

const MIB: u64 = 1 << 20;

/// How much of everything.
struct Scale {
    is_long: bool,
    keys: u64,
    value_bytes: usize,
    max_log_bytes: u64,
    trailing_entries: u64,
    /// What a second of the snapshot that is to be interrupted takes.
    throttle: u64,
    /// How long the cluster is watched before the node comes back, and after.
    watched: Duration,
}

impl Scale {
    fn of_this_run() -> Scale {
        if is_large("the figures of catching up") {
            Scale {
                is_long: true,
                keys: 70_000,
                value_bytes: 4096,
                max_log_bytes: 64 * MIB,
                trailing_entries: 1000,
                throttle: 64 * MIB,
                watched: Duration::from_secs(5),
            }
        } else {
            Scale {
                is_long: false,
                keys: 1000,
                value_bytes: 1024,
                max_log_bytes: 256 * 1024,
                trailing_entries: 50,
                throttle: MIB / 8,
                watched: Duration::from_millis(500),
            }
        }
    }

    /// Every key once.
    fn fill(&self) -> Flood {
        Flood {
            connections: 2,
            pipeline: 16,
            prefix: "state",
            keys: self.keys,
            in_order: true,
            value_bytes: self.value_bytes,
            writes: self.keys,
        }
    }

    /// Small writes beside it, without an end.
    fn load(&self) -> Flood {
        Flood {
            connections: 8,
            pipeline: 16,
            prefix: "load",
            keys: 10_000,
            in_order: false,
            value_bytes: 100,
            writes: u64::MAX,
        }
    }
}

/// A cluster with one node away, whose next entry the others have compacted.
struct Away {
    trio: Trio,
    leader: usize,
    away: usize,
    /// The first entry that it lacks.
    missed: u64,
    /// Memory of a node that holds nothing.
    idle_bytes: u64,
}

impl Away {
    fn new(dir: &Path, scale: &Scale, flags: &[String]) -> Away {
        let mut trio = Trio::found(dir);
        trio.compact_often(scale.max_log_bytes, scale.trailing_entries);
        trio.nodes.iter_mut().for_each(|node| node.flags.extend_from_slice(flags));
        trio.start();
        let (leader, _) = trio.leader();
        trio.agree();
        let away = (leader + 1) % 3;
        let idle_bytes = trio.nodes[away].memory().resident;
        println!("filled: {}", scale.fill().run(&trio.addresses(), leader));
        let missed = trio.agree() + 1;
        trio.nodes[away].kill();
        println!("replaced: {}", scale.fill().run(&trio.addresses(), leader));
        let (leader, _) = trio.leader();
        let first = |place: usize| trio.nodes[place].number("first").filter(|first| *first > missed).map(|_| ());
        wait_until("what it missed is compacted", || first(leader).and_then(|()| first(3 - leader - away)));
        Away { trio, leader, away, missed, idle_bytes }
    }

    /// Waits until `least` bytes of a snapshot have come to the node that was away, in another file than `before`.
    fn part(&self, least: u64, before: &OsStr) -> (OsString, u64) {
        wait_until("a snapshot comes in", || {
            let mut files = fs::read_dir(self.trio.nodes[self.away].data.join("snapshot")).ok()?.flatten();
            files.find_map(|file| {
                // Named by its last entry, which this node has not come to yet.
                let (name, bytes) = (file.file_name(), file.metadata().ok()?.len());
                let last: u64 = name.to_str()?.split('-').nth(1)?.parse().ok()?;
                (last >= self.missed && bytes >= least && name != before).then_some((name, bytes))
            })
        })
    }
}

impl Scale {
    fn is_caught_up(&self, away: &Away) -> Option<()> {
        let number = |place: usize, name| away.trio.nodes[place].number(name);
        let behind = number(away.leader, "applied")?.saturating_sub(number(away.away, "applied")?);
        (number(away.away, "snapshots_received")? > 0 && behind < 50_000).then_some(())
    }
}

#[test]
fn a_node_that_was_away_for_long_catches_up_by_a_snapshot_while_clients_write() {
    let scale = Scale::of_this_run();
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Away::new(dir.path(), &scale, &[]);
    let (leader, away) = (cluster.leader, cluster.away);

    let flow = scale.load().start(&cluster.trio.addresses(), leader);
    thread::sleep(scale.watched);
    let before = flow.since(Duration::ZERO);
    let leader_before = cluster.trio.nodes[leader].memory();
    Memory::forget_peak(cluster.trio.nodes[leader].pid());
    let back = flow.elapsed();
    cluster.trio.nodes[away].start();
    wait_until("the node has caught up", || scale.is_caught_up(&cluster));
    let during = flow.since(back);
    let took = flow.elapsed() - back;
    let snapshot_bytes = cluster.trio.nodes[away].number("snapshot_bytes").unwrap();
    let peaks = [leader, away].map(|place| cluster.trio.nodes[place].memory());
    let caught_up = flow.elapsed();
    thread::sleep(scale.watched);
    let after = flow.since(caught_up);
    flow.stop();
    cluster.trio.agree();
    let sent = cluster.trio.nodes[leader].number("snapshots_sent").unwrap();

    // A node at rest that holds the same, and little of the log.
    cluster.trio.nodes[away].kill();
    cluster.trio.nodes[away].start();
    cluster.trio.agree();
    let at_rest_bytes = cluster.trio.nodes[away].memory().resident;
    println!("caught up in {took:.1?} by {sent} snapshots, the last of {}", mib(snapshot_bytes));
    print_phases(&[("before", &before), ("during", &during), ("after", &after)]);
    println!(
        "memory: idle {}, at rest with the same data {}; leader {} before, peak {} since; receiver's peak {}",
        mib(cluster.idle_bytes),
        mib(at_rest_bytes),
        mib(leader_before.resident),
        mib(peaks[0].peak),
        mib(peaks[1].peak)
    );
    if scale.is_long {
        assert!(snapshot_bytes >= 256 * MIB, "the snapshot has {snapshot_bytes} bytes only");
        assert!(during.longest_gap() < Duration::from_secs(1), "a gap of {:?}", during.longest_gap());
        assert!(during.rate() > before.rate() / 2.0, "{:.0}/s after {:.0}/s", during.rate(), before.rate());
        for (who, memory) in ["leader", "receiver"].iter().zip(peaks) {
            let over = memory.peak.saturating_sub(at_rest_bytes);
            assert!(over <= 64 * MIB, "the {who} took {} more than a node at rest", mib(over));
        }
    }
}

#[test]
fn a_snapshot_is_sent_anew_when_either_side_is_killed_in_the_middle() {
    let scale = Scale::of_this_run();
    let dir = tempfile::tempdir().unwrap();
    let throttle = ["--snapshot-bytes-per-second".to_owned(), scale.throttle.to_string()];
    let mut cluster = Away::new(dir.path(), &scale, &throttle);
    let away = cluster.away;
    let middle = scale.keys * scale.value_bytes as u64 / 3;

    cluster.trio.nodes[away].start();
    let (file, part) = cluster.part(middle, OsStr::new(""));
    cluster.trio.nodes[away].kill();
    println!("the receiver was killed when it had {} of the snapshot", mib(part));
    cluster.trio.nodes[away].start();
    let (_, part) = cluster.part(middle, &file);
    assert_eq!(cluster.trio.nodes[away].number("snapshots_received"), Some(0), "it came too fast to be interrupted");
    cluster.trio.nodes[cluster.leader].kill();
    println!("the sender was killed when it had sent {}", mib(part));
    let (leader, _) = cluster.trio.leader();
    assert_ne!(leader, away, "who lacks what was committed leads");
    cluster.trio.nodes[cluster.leader].start();
    cluster.trio.agree();
    assert!(cluster.trio.nodes[away].number("snapshots_received") > Some(0));
}

fn print_phases(phases: &[(&str, &Record)]) {
    for (phase, record) in phases {
        println!("{phase}: {record}");
        println!("  thousands of writes per 100 ms: {}", record.slots());
    }
}
