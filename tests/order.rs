//! The order of acknowledgement: no reply leaves a node, to a client or to a peer, before the sync that covers what it
//! vouches for has returned. Shown on real nodes under load, by what the kernel was asked to do and when it answered
//! (`tests/traced/mod.rs` says how).
//!
//! A run that saw too little of anything is void, which is a failure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    reason = "a test of real processes: real time, threads and files"
)]

mod processes;
mod traced;

use eraft_conformance::machine::{STRACE, can_trace, skip};
use processes::{Node, Program, Trio, free_base_port};
use traced::{
    calls,
    load::{Load, Memory},
    order::{Figures, Place, judge},
    supervisor::Supervisor,
};

/// What a run must have seen at least of each.
const FLOOR: u64 = 20;

fn places(nodes: &[Node]) -> Vec<Place> {
    let place = |node: &Node| Place {
        data: node.data.clone(),
        client: node.client.parse().unwrap(),
        peer: node.peer().parse().unwrap(),
    };
    nodes.iter().map(place).collect()
}

/// Whether `test` cannot run here.
fn is_skipped(test: &str) -> bool {
    let lacks = can_trace();
    if let Err(reason) = &lacks {
        skip(test, STRACE, reason);
    }
    lacks.is_err()
}

/// Judges a run, and prints what it saw.
fn judged(record: &str, nodes: &[Node], memory: &Memory) -> Figures {
    let calls = calls::read(record);
    let mut figures = judge(&calls, &places(nodes), memory);
    let early = std::mem::take(&mut figures.early);
    println!("{} calls recorded; {figures:?}", calls.len());
    let first = early.iter().take(10).map(|what| format!("  {what}\n")).collect::<String>();
    assert!(early.is_empty(), "{} left too early, the first of them\n{first}", early.len());
    assert!(figures.syncs >= FLOOR && figures.done >= 10 * FLOOR && figures.shown >= FLOOR, "void: {figures:?}");
    figures
}

#[test]
fn on_one_node_no_reply_leaves_before_the_sync_that_covers_it_has_returned() {
    if is_skipped("on_one_node_no_reply_leaves_before_the_sync_that_covers_it_has_returned") {
        return;
    }
    one_node(Program::FileNode);
}

#[test]
fn on_three_nodes_nothing_leaves_before_the_sync_that_covers_it_has_returned() {
    if is_skipped("on_three_nodes_nothing_leaves_before_the_sync_that_covers_it_has_returned") {
        return;
    }
    three_nodes(Program::FileNode);
}

#[cfg(feature = "rocksdb")]
#[test]
fn on_one_node_on_rocksdb_no_reply_leaves_before_the_sync_that_covers_it_has_returned() {
    if is_skipped("on_one_node_on_rocksdb_no_reply_leaves_before_the_sync_that_covers_it_has_returned") {
        return;
    }
    one_node(Program::RocksdbNode);
}

#[cfg(feature = "rocksdb")]
#[test]
fn on_three_nodes_on_rocksdb_nothing_leaves_before_the_sync_that_covers_it_has_returned() {
    if is_skipped("on_three_nodes_on_rocksdb_nothing_leaves_before_the_sync_that_covers_it_has_returned") {
        return;
    }
    three_nodes(Program::RocksdbNode);
}

fn one_node(program: Program) {
    let dir = tempfile::tempdir().unwrap();
    let base = free_base_port();
    let voters = format!("1=127.0.0.1:{}/127.0.0.1:{base}", base + 100);
    let node = Node::found_on(program, dir.path().join("n1"), 1, format!("127.0.0.1:{base}"), &voters);
    let mut supervisor = Supervisor::start(dir.path());
    supervisor.run(&node);
    let load = Load::start(std::slice::from_ref(&node.client));
    load.wait_for(15 * FLOOR);
    let memory = load.stop();
    judged(&supervisor.end(), &[node], &memory);
}

/// The leader is killed under load and comes back: votes are cast while there is much to lose.
fn three_nodes(program: Program) {
    let dir = tempfile::tempdir().unwrap();
    let trio = Trio::found_on(program, dir.path());
    let mut supervisor = Supervisor::start(dir.path());
    trio.nodes.iter().for_each(|node| supervisor.run(node));
    let (leader, _) = trio.leader();
    let load = Load::start(&trio.addresses());
    load.wait_for(6 * FLOOR);
    supervisor.kill(&trio.nodes[leader]);
    load.wait_for(6 * FLOOR);
    supervisor.run(&trio.nodes[leader]);
    load.wait_for(6 * FLOOR);
    let memory = load.stop();
    trio.agree();
    let seen = judged(&supervisor.end(), &trio.nodes, &memory);
    assert!(seen.appended >= FLOOR && seen.committed >= FLOOR && seen.terms >= FLOOR, "void: {seen:?}");
    assert!(seen.votes >= 2 && seen.candidacies >= 2, "void: there were not two elections: {seen:?}");
}
