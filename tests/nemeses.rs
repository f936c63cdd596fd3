//! Faults around real processes under load: partitions, pauses, and clocks that jump; nothing acknowledged may be lost, and
//! no client may be told what cannot have been (`tests/nemesis`). Kills are in `tests/kill.rs`.
//!
//! `ERAFT_LONG=1` plays each fault twelve times; `ERAFT_SEED` repeats a run's choices.

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

mod history;
mod load;
mod nemesis;
mod processes;

use nemesis::{Fault, World, play};
use processes::{Clock, Hosts, Program};

const PARTITIONS: [Fault; 6] =
    [Fault::LeaderCutOff, Fault::AnyoneCutOff, Fault::LeaderUnheard, Fault::LeaderDeaf, Fault::TwoApart, Fault::Moving];

fn times() -> usize {
    if std::env::var_os("ERAFT_LONG").is_some() { 12 } else { 1 }
}

#[test]
fn partitions_between_hosts_lose_nothing_and_show_no_client_what_cannot_be() {
    let test = "partitions_between_hosts_lose_nothing_and_show_no_client_what_cannot_be";
    partitions(test, Program::FileNode, &PARTITIONS);
}

#[test]
fn pauses_lose_nothing_and_show_no_client_what_cannot_be() {
    play("pauses", Program::FileNode, World::default(), &[Fault::LeaderPaused, Fault::AnyonePaused], times());
}

#[test]
fn clocks_that_jump_lose_nothing_and_show_no_client_what_cannot_be() {
    clocks("clocks_that_jump_lose_nothing_and_show_no_client_what_cannot_be", Program::FileNode);
}

/// What the backend is matters little to a partition: two of them show that it plays its part.
#[cfg(feature = "rocksdb")]
#[test]
fn partitions_between_hosts_on_rocksdb_lose_nothing_and_show_no_client_what_cannot_be() {
    let test = "partitions_between_hosts_on_rocksdb_lose_nothing_and_show_no_client_what_cannot_be";
    partitions(test, Program::RocksdbNode, &[Fault::LeaderCutOff, Fault::Moving]);
}

fn partitions(test: &str, program: Program, faults: &[Fault]) {
    let Some(hosts) = Hosts::make(test) else { return };
    let world = World { hosts: Some(&hosts), clocks: None };
    hosts.among_clients(|| play("partitions", program, world, faults, times()));
}

fn clocks(test: &str, program: Program) {
    let dir = tempfile::tempdir().unwrap();
    let Some(clocks) = Clock::three(test, dir.path()) else { return };
    let world = World { hosts: None, clocks: Some(&clocks) };
    play("clocks", program, world, &[Fault::LeaderAhead, Fault::LeaderBehind, Fault::AllClocks], times());
}
