//! A leader that is cut off and does not know it: what it tells clients must hold all the same.
//!
//! Its peers no longer hear it, and have elected another; and its clock stands still (it was put back by hours), so that it
//! does not notice how long it has heard nobody. Clients reach it, and its successor. It may leave them without an answer.
//! What it answers goes into the histories, with what the successor says, and these are judged: a read without asking a
//! quorum is stale, one of what is not committed is dirty, and a write acknowledged by one node is lost.

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

use std::path::Path;

use load::{Hand, Load};
use nemesis::World;
use processes::{Clock, Hosts, Program, Trio, wait_until};

const HOURS: i64 = 2 * 3600;

#[test]
fn a_leader_that_was_deposed_and_does_not_know_it_tells_clients_nothing_wrong() {
    deposed("a_leader_that_was_deposed_and_does_not_know_it_tells_clients_nothing_wrong", Program::FileNode);
}

fn deposed(test: &str, program: Program) {
    let dir = tempfile::tempdir().unwrap();
    let Some(clocks) = Clock::three(test, dir.path()) else { return };
    let Some(hosts) = Hosts::make(test) else { return };
    let world = World { hosts: Some(&hosts), clocks: Some(&clocks) };
    hosts.among_clients(|| tell_nothing_wrong(world, &hosts, &clocks, program, dir.path()));
}

fn leads(trio: &Trio, place: usize) -> bool {
    trio.nodes[place].info("role").is_some_and(|role| role == "leader")
}

/// Stops the clock of `old`, cuts it off, and waits until another leads.
fn depose(trio: &Trio, old: usize, hosts: &Hosts, clocks: &[Clock; 3]) {
    let others = [(old + 1) % 3, (old + 2) % 3];
    clocks[old].jump_to(-HOURS);
    hosts.cut(&others.map(|other| [(old, other), (other, old)]).concat());
    wait_until("another leader", || others.iter().any(|place| leads(trio, *place)).then_some(()));
}

fn tell_nothing_wrong(world: World<'_>, hosts: &Hosts, clocks: &[Clock; 3], program: Program, dir: &Path) {
    let mut trio = world.found(program, dir);
    trio.start();
    let mut load = Load::new(trio.addresses(), 0);
    Hand::new(&mut load, "stale").write();
    Hand::new(&mut load, "dirty").write();
    Hand::new(&mut load, "lost").write();

    let (old, old_term) = wait_until("a leader that was deposed and does not know it", || {
        let (old, term) = trio.leader();
        depose(&trio, old, hosts, clocks);
        if leads(&trio, old) && trio.nodes[old].number("term") == Some(term) {
            return Some((old, term));
        }
        // It has heard of the other before it was cut off.
        hosts.heal();
        clocks[old].jump_to(0);
        trio.agree();
        None
    });
    let others = [(old + 1) % 3, (old + 2) % 3];

    // Written where it is known to hold, read where it may not be known.
    let mut hand = Hand::new(&mut load, "stale");
    hand.write_among(&others);
    let stale = hand.read_at(old);
    // Written and read where nothing can be committed any more; then read where all is.
    let mut hand = Hand::new(&mut load, "dirty");
    let kept = hand.write_at(old);
    let dirty = hand.read_at(old);
    hand.read_among(&others);
    // The same, but for the read in between.
    let mut hand = Hand::new(&mut load, "lost");
    let lost = hand.write_at(old);
    hand.read_among(&others);
    println!("the old leader read {stale:?}, acknowledged {kept:?}, read {dirty:?}, acknowledged {lost:?}");
    assert!(leads(&trio, old), "it knows better: nothing was tested");
    assert_eq!(trio.nodes[old].number("term"), Some(old_term));

    let checked = load.check();

    assert!(hosts.heal() > 0, "the partition cut nothing off");
    clocks[old].jump_to(0);
    trio.agree();
    load.conclude();
    println!("cut off: {checked}");
}
