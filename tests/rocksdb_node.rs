//! The example on RocksDB as its users meet it. It shares all but the backend with `file_node`, whose tests say the rest.

#![cfg(feature = "rocksdb")]
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

use std::{path::Path, time::Duration};

use processes::{Client, Program, Reply, Starter, Trio, free_base_port, kill, refused_by, wait_until};
use rustix::process::Signal;

/// What any of the three answers, once one does.
fn ask(base_port: u16, words: &[&str]) -> Reply {
    wait_until("a reply", || {
        let replies = (base_port..base_port + 3).filter_map(|port| {
            let mut client = Client::connect(&format!("127.0.0.1:{port}"), Duration::from_secs(5)).ok()?;
            client.call(words).ok()
        });
        replies.into_iter().find(|reply| !matches!(reply, Reply::Error(_)))
    })
}

#[test]
fn three_nodes_on_rocksdb_outlive_one_and_are_found_again() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_base_port());
    let mut starter = Starter::start_on(Program::RocksdbNode, dir.path(), port);
    let printed = starter.wait_for("founded now");
    assert!(printed.contains("three nodes on RocksDB"), "{printed}");
    let victim = starter.pids()[0];
    assert_eq!(ask(port, &["SET", "k", "v"]), Reply::Status("OK".into()));
    kill(victim);
    starter.wait_for("has ended");
    assert_eq!(ask(port, &["GET", "k"]), Reply::Bulk("v".into()));
    starter.signal(Signal::INT);
    assert!(starter.ended().success());

    let mut again = Starter::start_on(Program::RocksdbNode, dir.path(), port);
    again.wait_for("found again");
    again.wait_for("Ctrl-C ends all three");
    assert_eq!(ask(port, &["GET", "k"]), Reply::Bulk("v".into()));
    again.signal(Signal::INT);
    assert!(again.ended().success());
}

#[test]
fn a_node_on_rocksdb_is_held_by_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut trio = Trio::found_on(Program::RocksdbNode, dir.path());
    trio.start();
    trio.leader();
    let data = trio.nodes[0].data.clone();
    let text = refused_on(Program::RocksdbNode, dir.path(), &data);
    assert!(text.contains("another process runs on") && text.contains("end that one first"), "{text}");
}

#[test]
fn neither_backend_takes_a_store_of_the_other_for_its_own_or_for_none() {
    let dir = tempfile::tempdir().unwrap();
    for (program, other) in [(Program::FileNode, Program::RocksdbNode), (Program::RocksdbNode, Program::FileNode)] {
        let place = dir.path().join(format!("{program:?}"));
        std::fs::create_dir(&place).unwrap();
        let trio = Trio::found_on(program, &place);
        let text = refused_on(other, dir.path(), &trio.nodes[0].data);
        assert!(!text.contains("init --data"), "it offers to found what is another's: {text}");
    }
}

fn refused_on(program: Program, dir: &Path, data: &Path) -> String {
    refused_by(program, dir, &["run", "--data", data.to_str().unwrap()])
}
