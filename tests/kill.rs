//! The kill test: real processes, killed at any moment under load; nothing acknowledged may be lost.
//!
//! Eight clients write unique keys, and write, read and count on keys of all (`tests/load`). Round by round one node is
//! killed with signal 9 (any node; the leader; all three), with writes in flight, and started again. After each round
//! every acknowledged write must be there, all nodes must hold the same, and what the clients were told of each shared key
//! must be linearizable.
//!
//! `ERAFT_LONG=1` runs 30 rounds instead of 4; `ERAFT_SEED` repeats a run's choices.

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
mod processes;

use std::time::Duration;

use history::Checked;
use load::Load;
use processes::{Program, Trio};

/// A snapshot every few hundred writes, many in a round; who was away for longer than that comes back by one.
const MAX_LOG_BYTES: u64 = 20_000;
const TRAILING_ENTRIES: u64 = 20;
/// Writes that must be acknowledged in a round before its kill.
const ACKS_BEFORE_KILL: u64 = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Leader,
    Anyone,
    Everyone,
}

#[derive(Debug, Default)]
struct Figures {
    leader_kills_in_flight: u64,
    kills: u64,
    leader_changes: u64,
    /// By nodes that live at the end of a round, as of each.
    snapshots_taken: u64,
    snapshots_received: u64,
}

#[test]
fn every_acknowledged_write_survives_kills_at_any_moment_and_histories_are_linearizable() {
    kills(Program::FileNode);
}

#[cfg(feature = "rocksdb")]
#[test]
fn every_acknowledged_write_survives_kills_at_any_moment_on_rocksdb() {
    kills(Program::RocksdbNode);
}

fn kills(program: Program) {
    let long = std::env::var_os("ERAFT_LONG").is_some();
    let seed = std::env::var("ERAFT_SEED").ok().map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("seed {seed} (ERAFT_SEED repeats it)");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut schedule = schedule(long);
    random.shuffle(&mut schedule);

    let dir = tempfile::tempdir().unwrap();
    let mut trio = Trio::found_on(program, dir.path());
    trio.compact_often(MAX_LOG_BYTES, TRAILING_ENTRIES);
    trio.start();
    let mut leader = trio.leader();
    let mut load = Load::new(trio.addresses(), seed);
    let (mut figures, mut checked) = (Figures::default(), Checked::default());
    for (round, victim) in schedule.iter().enumerate() {
        leader = play(&mut trio, &mut load, *victim, &mut random, leader, &mut figures);
        let applied = trio.agree();
        checked += load.check();
        for node in &trio.nodes {
            let number = |name| node.number(name).unwrap_or_default();
            figures.snapshots_taken += number("snapshots_taken");
            figures.snapshots_received += number("snapshots_received");
        }
        println!("round {}: {victim:?} killed; all agree at {applied}; node {} leads", round + 1, leader.0 + 1);
    }
    load.conclude();
    println!(
        "kill test of {program:?}: {} rounds, {} kills, {} of them the leader with writes in flight; {} writes acknowledged, {} with an \
         unknown outcome; {checked}; {} leader changes; {} snapshots taken, {} received; term {}",
        schedule.len(),
        figures.kills,
        figures.leader_kills_in_flight,
        load.acknowledged(),
        load.unknown(),
        figures.leader_changes,
        figures.snapshots_taken,
        figures.snapshots_received,
        leader.1
    );
    assert!(figures.snapshots_taken > 0, "no snapshot was ever taken");
    let leader_rounds = schedule.iter().filter(|victim| **victim == Victim::Leader).count();
    assert!(figures.leader_kills_in_flight >= leader_rounds as u64, "too few kills hit what they were meant to hit");
}

fn schedule(long: bool) -> Vec<Victim> {
    let counts = if long { [12, 13, 5] } else { [2, 1, 1] };
    let kinds = [Victim::Leader, Victim::Anyone, Victim::Everyone];
    kinds.into_iter().zip(counts).flat_map(|(kind, count)| vec![kind; count]).collect()
}

/// One round; returns who leads at its end.
fn play(
    trio: &mut Trio,
    load: &mut Load,
    victim: Victim,
    random: &mut fastrand::Rng,
    before: (usize, u64),
    figures: &mut Figures,
) -> (usize, u64) {
    let running = load.start();
    running.wait_for_writes("writes before the kill", ACKS_BEFORE_KILL);
    std::thread::sleep(Duration::from_millis(random.u64(0..50)));
    let (leader, _) = trio.leader();
    let killed: Vec<usize> = match victim {
        Victim::Leader => vec![leader],
        Victim::Anyone => vec![random.usize(0..trio.nodes.len())],
        Victim::Everyone => (0..trio.nodes.len()).collect(),
    };
    // Spins, so that the kill falls between a request and its reply.
    let in_flight = running.wait_for_flight();
    for place in &killed {
        trio.nodes[*place].kill();
    }
    figures.kills += killed.len() as u64;
    figures.leader_kills_in_flight += u64::from(in_flight && killed.contains(&leader));
    if victim != Victim::Everyone {
        // The other two go on alone for a while.
        running.wait_for_writes("two of three go on", ACKS_BEFORE_KILL);
    }
    for place in &killed {
        trio.nodes[*place].start();
    }
    running.wait_for_load();
    running.stop(load);
    let after = trio.leader();
    figures.leader_changes += u64::from(after != before);
    after
}
