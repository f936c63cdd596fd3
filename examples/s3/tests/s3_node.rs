//! The example on a bucket as its users meet it, and what becomes of a cluster whose bucket goes away. It shares all but
//! its snapshots with `file_node`, whose tests say the rest.

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

use std::{ops::Range, time::Duration};

use eraft_s3_node::{KEYS, NAME};
use on_a_bucket::on_a_bucket;
use processes::{
    AtLeader, Client, Node, Program, Reply, Starter, Trio, flags_unnamed, free_base_port, kill, refused_by, wait_until,
};
use rustix::process::Signal;

const PATIENCE: Duration = Duration::from_secs(10);
/// How long a log gets before it is compacted; a round of writes takes half of it.
const MAX_LOG_BYTES: u64 = 200_000;
const VALUE_BYTES: usize = 5_000;
const VALUES: usize = 20;

fn value(round: usize, key: usize) -> String {
    format!("{round} {key} {}", "v".repeat(VALUE_BYTES))
}

/// Writes every key anew in each round, at whoever leads.
fn write(trio: &Trio, rounds: Range<usize>) {
    let mut client = AtLeader::of(trio);
    for round in rounds {
        for key in 0..VALUES {
            let reply = client.call(&["SET", &format!("k{key}"), &value(round, key)]);
            assert_eq!(reply, Reply::Status("OK".into()), "round {round}");
        }
    }
}

/// Sees that every key has the value of this round.
fn all_there(trio: &Trio, round: usize) {
    let mut client = AtLeader::of(trio);
    for key in 0..VALUES {
        assert_eq!(client.call(&["GET", &format!("k{key}")]), Reply::Bulk(value(round, key)));
    }
}

fn snapshots(node: &Node, what: &str) -> u64 {
    node.number(&format!("snapshots_{what}")).unwrap_or_default()
}

/// What any of the three answers, once one does.
fn ask(base_port: u16, words: &[&str]) -> Reply {
    wait_until("a reply", || {
        let replies = (base_port..base_port + 3).filter_map(|port| {
            let mut client = Client::connect(&format!("127.0.0.1:{port}"), PATIENCE).ok()?;
            client.call(words).ok()
        });
        replies.into_iter().find(|reply| !matches!(reply, Reply::Error(_)))
    })
}

#[test]
fn three_nodes_on_the_demonstration_s_bucket_outlive_one_and_are_found_again() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_base_port());
    let flags = ["--demo-s3", "--max-log-bytes", "100000"];
    let mut starter = Starter::start_with(Program::S3Node, dir.path(), port, &flags);
    let printed = starter.wait_for("founded now");
    assert!(printed.contains("plain files, snapshots in a bucket"), "{printed}");
    let victim = starter.pids()[0];
    for round in 0..60 {
        assert_eq!(ask(port, &["SET", "k", &value(round, 0)]), Reply::Status("OK".into()));
    }
    kill(victim);
    // What it says can be typed: with the keys, and where the bucket is.
    let said = starter.wait_for("has ended");
    assert!(said.contains(&format!("AWS_ACCESS_KEY_ID={} ", KEYS[0].1)) && said.contains("--bucket "), "{said}");
    assert_eq!(ask(port, &["GET", "k"]), Reply::Bulk(value(59, 0)));
    starter.signal(Signal::INT);
    assert!(starter.ended().success());

    let mut again = Starter::start_with(Program::S3Node, dir.path(), port, &flags);
    again.wait_for("found again");
    again.wait_for("Ctrl-C ends all three");
    assert_eq!(ask(port, &["GET", "k"]), Reply::Bulk(value(59, 0)));
    again.signal(Signal::INT);
    assert!(again.ended().success());
}

#[test]
fn a_founder_that_starts_late_installs_what_its_leader_reads_from_the_bucket() {
    let dir = tempfile::tempdir().unwrap();
    let (bucket, mut trio) = on_a_bucket(dir.path(), MAX_LOG_BYTES);
    trio.nodes[..2].iter_mut().for_each(Node::start);
    let leader = trio.leader().0;
    write(&trio, 0..10);
    wait_until("its log begins late", || trio.nodes[leader].number("first").filter(|first| *first > 50));
    assert!(bucket.objects() > 0, "no snapshot is in the bucket");

    trio.nodes[2].start();
    trio.agree();
    assert!(snapshots(&trio.nodes[2], "received") > 0, "it was brought up entry by entry");
    all_there(&trio, 9);

    // All that they know is on their disks and in the bucket.
    trio.nodes.iter_mut().for_each(Node::kill);
    trio.start();
    trio.agree();
    all_there(&trio, 9);
    write(&trio, 10..12);
    trio.agree();
    all_there(&trio, 11);
}

#[test]
fn commits_go_on_while_the_bucket_is_away_and_a_node_that_needs_it_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (mut bucket, mut trio) = on_a_bucket(dir.path(), MAX_LOG_BYTES);
    trio.start();
    write(&trio, 0..5);
    // Who starts late is sent the first one.
    let has_one = |node: &Node| snapshots(node, "taken") + snapshots(node, "received") > 0;
    wait_until("all have snapshots", || trio.nodes.iter().all(has_one).then_some(()));

    bucket.goes_away();
    write(&trio, 5..20);
    all_there(&trio, 19);
    let leader = trio.leader().0;
    let log_bytes = trio.nodes[leader].number("log_bytes").unwrap();
    assert!(log_bytes > 2 * MAX_LOG_BYTES, "the log was compacted to {log_bytes} bytes without a bucket");

    // One that was killed votes and saves, and has no state before the bucket is back.
    let victim = (leader + 1) % 3;
    trio.nodes[victim].kill();
    trio.nodes[victim].start();
    write(&trio, 20..22);
    let commit = trio.nodes[leader].number("commit").unwrap();
    wait_until("it has all of the log", || trio.nodes[victim].number("durable").filter(|durable| *durable >= commit));
    assert_eq!(trio.nodes[victim].number("applied"), Some(0));

    bucket.comes_back();
    trio.agree();
    all_there(&trio, 21);
    // The snapshot that waited was of long ago; the next one, for which the log has to grow, is of now.
    let mut round = 22;
    let short = |node: &Node| node.number("log_bytes").is_some_and(|bytes| bytes < 2 * MAX_LOG_BYTES);
    wait_until("the logs are compacted again", || {
        write(&trio, round..round + 1);
        round += 1;
        trio.nodes.iter().all(short).then_some(())
    });
}

#[test]
fn a_bucket_that_cannot_be_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let trio = Trio::found_on(Program::S3Node, dir.path());
    let data = trio.nodes[0].data.to_str().unwrap();
    let refused = |more: &[&str]| refused_by(Program::S3Node, dir.path(), &[&["run", "--data", data], more].concat());
    let wiped = dir.path().join("wiped");
    let wiped = ["run", "--data", wiped.to_str().unwrap(), "--bucket", NAME];
    let wiped = refused_by(Program::S3Node, dir.path(), &wiped);
    for word in ["voter whose disk was lost, do not", "as long as they are a majority", "restore --help"] {
        assert!(wiped.contains(word), "no {word:?} in {wiped}");
    }
    let nothing = refused(&[]);
    assert!(nothing.contains("--bucket"), "{nothing}");
    let demo = refused(&["--demo-s3"]);
    assert!(demo.contains("three nodes") && demo.contains("--endpoint"), "{demo}");
    let plain = refused(&["--bucket", NAME, "--endpoint", "http://127.0.0.1:9"]);
    assert!(plain.contains("http"), "{plain}");
    for wrong in ["a&allow_http=true", "a?bucket=another"] {
        let mixed = refused(&["--bucket", NAME, "--prefix", wrong]);
        assert!(mixed.contains("--prefix holds a & or a ?"), "{mixed}");
    }
}

#[test]
fn every_flag_stands_in_the_operating_manual_with_its_default() {
    let manual = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/OPERATING.md");
    let offenders = flags_unnamed(&std::fs::read_to_string(manual).unwrap(), Program::S3Node.path());
    assert!(offenders.is_empty(), "docs/OPERATING.md does not name:\n{}", offenders.join("\n"));
}
