//! A session with the real redis-cli, as the first screen suggests it.

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

/// Whether the tool is there. If not, the test says that it is skipped, and fails where it must not be.
fn redis_cli_is_missing(test: &str) -> bool {
    if Command::new("redis-cli").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return false;
    }
    println!("SKIPPED {test}: redis-cli is not installed (apt-get install redis-tools)");
    let required = std::env::var("ERAFT_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|tool| tool.trim() == "redis-tools"), "redis-tools is required here");
    true
}

#[test]
fn redis_cli_writes_and_reads_at_any_node_before_and_after_a_kill() {
    if redis_cli_is_missing("redis_cli_writes_and_reads_at_any_node_before_and_after_a_kill") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut trio = Trio::found(dir.path());
    trio.start();
    let (leader, _) = trio.leader();
    let ports: Vec<String> =
        trio.addresses().iter().map(|address| address.rsplit_once(':').unwrap().1.into()).collect();
    let cli = |port: &str, arguments: &[&str]| {
        let output = Command::new("redis-cli").args(["-c", "-p", port]).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
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
    trio.nodes[leader].start();
    wait_until("the killed node is back", || (cli(&ports[leader], &["GET", "count"]) == "1").then_some(()));
    assert!(cli(&ports[leader], &["CLUSTER", "NODES"]).contains("0-16383"));
}
