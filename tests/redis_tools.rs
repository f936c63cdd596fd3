//! Sessions with the real redis-cli, as the first screen suggests it, and with redis-benchmark.
//!
//! `ERAFT_LONG=1 cargo test --release --test redis_tools -- --nocapture` prints the benchmark's full figures.

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

mod processes;

use std::process::Command;

use processes::{Trio, wait_until};

/// Whether a tool is missing. If so, the test says that it is skipped, and fails where it must not be.
fn is_missing(tool: &str, test: &str) -> bool {
    if Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return false;
    }
    println!("SKIPPED {test}: {tool} is not installed (apt-get install redis-tools)");
    let required = std::env::var("ERAFT_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|package| package.trim() == "redis-tools"), "redis-tools is required here");
    true
}

#[test]
fn redis_cli_writes_and_reads_at_any_node_before_and_after_a_kill() {
    if is_missing("redis-cli", "redis_cli_writes_and_reads_at_any_node_before_and_after_a_kill") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut trio = Trio::found(dir.path());
    trio.start();
    let (leader, _) = trio.leader();
    let ports: Vec<String> =
        trio.addresses().iter().map(|address| address.rsplit_once(':').unwrap().1.into()).collect();
    let cli = |port: &str, arguments: &[&str]| {
        // On a machine that stalls nobody may lead for a moment.
        wait_until("a reply of a leader", || {
            let output = Command::new("redis-cli").args(["-c", "-p", port]).args(arguments).output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap().trim().to_owned();
            (!said.starts_with("CLUSTERDOWN")).then_some(said)
        })
    };
    for (place, port) in ports.iter().enumerate() {
        let value = format!("hello {place}");
        wait_until("a write at any node", || (cli(port, &["SET", "greeting", &value]) == "OK").then_some(()));
        for port in &ports {
            assert_eq!(cli(port, &["GET", "greeting"]), value);
        }
    }
    trio.nodes[leader].kill();
    let (next, _) = trio.leader();
    assert_eq!(cli(&ports[next], &["GET", "greeting"]), "hello 2");
    assert_eq!(cli(&ports[next], &["INCR", "count"]), "1");
    assert_eq!(cli(&ports[next], &["MSET", "{cli}a", "1", "{cli}b", "2"]), "OK");
    assert_eq!(cli(&ports[next], &["MGET", "{cli}a", "none", "{cli}b"]), "1\n\n2");
    assert_eq!(cli(&ports[next], &["SETNX", "greeting", "other"]), "0");
    assert_eq!(cli(&ports[next], &["APPEND", "greeting", "!"]), "8");
    assert_eq!(cli(&ports[next], &["EXISTS", "greeting", "none"]), "1");
    assert_eq!(cli(&ports[next], &["CONFIG", "GET", "append*"]), "appendonly\nyes");
    assert!(cli(&ports[next], &["LPUSH", "list", "1"]).starts_with("ERR unknown command 'LPUSH'"));
    assert!(cli(&ports[next], &["-3", "HELLO"]).contains("proto 3"), "RESP3 is spoken to who asks for it");
    trio.nodes[leader].start();
    wait_until("the killed node is back", || (cli(&ports[leader], &["GET", "count"]) == "1").then_some(()));
    assert!(cli(&ports[leader], &["CLUSTER", "NODES"]).contains("0-16383"));
}

#[test]
fn redis_benchmark_runs_without_errors_with_and_without_a_pipeline() {
    if is_missing("redis-benchmark", "redis_benchmark_runs_without_errors_with_and_without_a_pipeline") {
        return;
    }
    let requests = if std::env::var_os("ERAFT_LONG").is_some() { "200000" } else { "4000" };
    let dir = tempfile::tempdir().unwrap();
    let mut trio = Trio::found(dir.path());
    trio.start();
    for pipeline in ["16", "1"] {
        let load = [
            "-t",
            "ping_inline,ping_mbulk,set,get,incr,mset",
            "-c",
            "64",
            "-n",
            requests,
            "-d",
            "100",
            "-P",
            pipeline,
            "--csv",
        ];
        // A machine that stalls for a second may see another leader, and the tool leaves at the first redirection: that
        // run says nothing.
        let printed = wait_until("a run under one leader", || {
            let before = trio.leader();
            let port = trio.nodes[before.0].client.rsplit_once(':').unwrap().1;
            let output = Command::new("redis-benchmark").args(["-p", port]).args(load).output().unwrap();
            let printed = String::from_utf8(output.stdout).unwrap();
            let complaints = String::from_utf8(output.stderr).unwrap();
            let clean = output.status.success() && complaints.is_empty();
            assert!(clean || trio.leader() != before, "{complaints}{printed}");
            clean.then_some(printed)
        });
        println!("redis-benchmark {}\n{printed}", load.join(" "));
        let rows: Vec<&str> = printed.lines().map(|line| line.split(',').next().unwrap()).collect();
        let tests = ["test", "PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"];
        let expected = tests.map(|test| format!("\"{test}\""));
        assert_eq!(rows, expected, "a row too many is an error that a server sent");
    }
    trio.agree();
}
