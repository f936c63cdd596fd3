//! A bucket that is away for long: commits go on, snapshots are kept in the nodes' own stores, and move once it is back.
//!
//! `ERAFT_LONG=1 cargo test --release -p eraft-s3-node --features s3 --test outage -- --nocapture` is away for ten minutes,
//! and holds the load to what is promised: no gap of acknowledgements over a second, at least half of the throughput before.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    unreachable_pub,
    missing_docs,
    reason = "a test of real processes: real time, threads and files"
)]

mod on_a_bucket;
#[path = "../../../tests/processes/mod.rs"]
mod processes;

use std::{
    fmt,
    time::{Duration, Instant},
};

use on_a_bucket::on_a_bucket;
use processes::{AtLeader, Node, Reply, Trio, wait_until};

const KEYS: usize = 500;
const VALUE_BYTES: usize = 5_000;
/// The longest that a node may take to find that its bucket is away, and to keep a snapshot itself.
const FOUND_OUT: Duration = Duration::from_secs(300);
/// How often the nodes are asked while the load goes on.
const LOOK: Duration = Duration::from_secs(1);

/// How long the bucket is away at least, under load, and how long the load is measured before.
fn lengths() -> (Duration, Duration, bool) {
    let long = std::env::var_os("ERAFT_LONG").is_some();
    let seconds = if long { (600, 60) } else { (5, 2) };
    (Duration::from_secs(seconds.0), Duration::from_secs(seconds.1), long)
}

/// What a client wrote, one write after the other.
#[derive(Default)]
struct Load {
    /// How many were acknowledged, ever.
    acknowledged: usize,
}

/// What a stretch of it came to.
struct Stretch {
    per_second: f64,
    longest_gap: Duration,
    took: Duration,
}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stretch { per_second, longest_gap, took } = self;
        write!(f, "{per_second:.0} writes a second for {took:.0?}, no gap over {longest_gap:.1?}")
    }
}

fn key(write: usize) -> String {
    format!("k{}", write % KEYS)
}

fn value(write: usize) -> String {
    format!("{write} {}", "v".repeat(VALUE_BYTES))
}

impl Load {
    /// Writes at whoever leads until `is_enough` says so, which is asked once a second.
    fn run(&mut self, trio: &Trio, mut is_enough: impl FnMut(Duration) -> bool) -> Stretch {
        let mut client = AtLeader::of(trio);
        let (begun, before) = (Instant::now(), self.acknowledged);
        let (mut last, mut looked, mut longest_gap) = (begun, begun, Duration::ZERO);
        loop {
            let reply = client.call(&["SET", &key(self.acknowledged), &value(self.acknowledged)]);
            assert_eq!(reply, Reply::Status("OK".into()), "write {}", self.acknowledged);
            self.acknowledged += 1;
            let now = Instant::now();
            longest_gap = longest_gap.max(now - last);
            last = now;
            if now - looked >= LOOK {
                if is_enough(now - begun) {
                    break;
                }
                looked = now;
                // What asking took is no gap of theirs.
                last = Instant::now();
            }
        }
        let took = begun.elapsed();
        let per_second = (self.acknowledged - before) as f64 / took.as_secs_f64();
        Stretch { per_second, longest_gap, took }
    }

    /// Sees that every key has what was written to it last.
    fn all_there(&self, trio: &Trio) {
        let mut client = AtLeader::of(trio);
        for write in self.acknowledged.saturating_sub(KEYS)..self.acknowledged {
            assert_eq!(client.call(&["GET", &key(write)]), Reply::Bulk(value(write)), "write {write}");
        }
    }
}

fn all_say(trio: &Trio, name: &str, value: &str) -> bool {
    trio.nodes.iter().all(|node| node.info(name).as_deref() == Some(value))
}

#[test]
fn a_cluster_keeps_its_snapshots_itself_while_the_bucket_is_away_and_hands_them_over() {
    let (away, before, long) = lengths();
    let dir = tempfile::tempdir().unwrap();
    let (max_log_bytes, inline_over_bytes) = if long { (16 << 20, 8_000_000) } else { (1 << 20, 2_000_000) };
    let (mut bucket, mut trio) = on_a_bucket(dir.path(), max_log_bytes);
    for node in &mut trio.nodes {
        node.flags.extend(["--inline-over-bytes".to_owned(), inline_over_bytes.to_string()]);
    }
    trio.start();
    let mut load = Load::default();
    // From the first snapshot on, which all take and put into the bucket.
    load.run(&trio, |_| all_say(&trio, "snapshot_in", "bucket"));
    let with = load.run(&trio, |took| took >= before);

    bucket.goes_away();
    let kept = |took| {
        assert!(took < away + FOUND_OUT, "they do not keep their snapshots themselves");
        took >= away && all_say(&trio, "snapshot_in", "local-store") && all_say(&trio, "bucket_away", "1")
    };
    let without = load.run(&trio, kept);
    let logs: Vec<_> = trio.nodes.iter().map(|node| node.number("log_bytes").unwrap()).collect();
    println!("with the bucket: {with}\nwithout it: {without}; logs of {logs:?} bytes");
    if long {
        assert!(without.longest_gap <= Duration::from_secs(1), "{without}");
        assert!(without.per_second * 2.0 >= with.per_second, "{with}, then {without}");
    }
    load.all_there(&trio);

    // All that they need is on their own disks.
    trio.nodes.iter_mut().for_each(Node::kill);
    trio.start();
    load.run(&trio, |took| took >= LOOK);
    load.all_there(&trio);
    wait_until("all say where it is", || all_say(&trio, "snapshot_in", "local-store").then_some(()));

    bucket.comes_back();
    wait_until("the snapshots are in the bucket", || all_say(&trio, "snapshot_in", "bucket").then_some(()));
    load.run(&trio, |took| took >= LOOK);
    trio.agree();
    load.all_there(&trio);
    assert!(bucket.objects() >= 6, "a snapshot and its manifest of each");

    // And what is in it is what they go by.
    trio.nodes.iter_mut().for_each(Node::kill);
    trio.start();
    trio.agree();
    load.all_there(&trio);
    println!("{} writes were acknowledged, and none was lost", load.acknowledged);
}
