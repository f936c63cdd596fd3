//! What befalls a cluster while clients are at work, and how it comes right again.
//!
//! A round: load; a fault, which spares a majority, so that the load goes on (but for the partition that moves); its end;
//! load again. Then all nodes must agree, every acknowledged write must be there, and what clients were told must be
//! linearizable.

#![allow(dead_code, reason = "each test uses the part it needs")]

mod fault;

use std::{fmt, path::Path};

use crate::{
    history::Checked,
    load::{Load, Running},
    processes::{Clock, Hosts, Program, Trio},
};
pub use fault::Fault;

/// A snapshot every few hundred writes, many in a round; who was away for longer than that comes back by one.
const MAX_LOG_BYTES: u64 = 20_000;
const TRAILING_ENTRIES: u64 = 20;
/// Writes that must be acknowledged before a fault, during it, and after it.
const WRITES: u64 = 60;

/// What can be done to the nodes, beside what can be done to any process.
#[derive(Clone, Copy, Debug, Default)]
pub struct World<'a> {
    pub hosts: Option<&'a Hosts>,
    pub clocks: Option<&'a [Clock; 3]>,
}

impl World<'_> {
    /// A cluster under `dir`, each node on its host and with its clock.
    pub fn found(&self, program: Program, dir: &Path) -> Trio {
        let clients = self.hosts.map_or_else(Trio::on_loopback, Hosts::clients);
        let mut trio = Trio::found_on_hosts(program, dir, clients);
        for (place, node) in trio.nodes.iter_mut().enumerate() {
            let host = self.hosts.map(|hosts| hosts.starter(place));
            let clock = self.clocks.map(|clocks| clocks[place].starter());
            node.starter = host.into_iter().chain(clock).flatten().collect();
        }
        trio
    }
}

/// How it went.
#[derive(Debug, Default)]
struct Figures {
    checked: Checked,
    leader_changes: u64,
    partitions: u64,
    packets_lost: u64,
    pauses: u64,
    /// Reads that waited for a paused node: told what was there, or refused.
    waiting_reads_told: u64,
    waiting_reads_refused: u64,
    jumps: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { checked, leader_changes, partitions, packets_lost, pauses, jumps, .. } = self;
        let (told, refused) = (self.waiting_reads_told, self.waiting_reads_refused);
        write!(
            f,
            "{checked}; {leader_changes} leader changes; {partitions} partitions, {packets_lost} packets lost in them; "
        )?;
        write!(
            f,
            "{pauses} pauses, {told} of the reads that waited in them told and {refused} refused; {jumps} jumps of a clock; no round void"
        )
    }
}

/// A cluster, its clients, and what befalls it.
struct Campaign<'a> {
    world: World<'a>,
    trio: Trio,
    load: Load,
    random: fastrand::Rng,
    figures: Figures,
}

/// Plays these faults, each `times` times, in an order that the seed decides.
pub fn play(name: &str, program: Program, world: World<'_>, faults: &[Fault], times: usize) {
    let seed = std::env::var("ERAFT_SEED").ok().map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("seed {seed} (ERAFT_SEED repeats it)");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut schedule = faults.repeat(times);
    random.shuffle(&mut schedule);

    let dir = tempfile::tempdir().unwrap();
    let mut trio = world.found(program, dir.path());
    trio.compact_often(MAX_LOG_BYTES, TRAILING_ENTRIES);
    trio.start();
    let load = Load::new(trio.addresses(), seed);
    let mut campaign = Campaign { world, trio, load, random, figures: Figures::default() };
    for (round, fault) in schedule.iter().enumerate() {
        let story = campaign.round(*fault);
        let applied = campaign.trio.agree();
        campaign.figures.checked += campaign.load.check();
        println!("round {}: {story}; all agree at {applied}", round + 1);
    }
    campaign.load.conclude();
    let (acknowledged, unknown) = (campaign.load.acknowledged(), campaign.load.unknown());
    println!(
        "{name} of {program:?}: {} rounds; {acknowledged} writes acknowledged, {unknown} with an unknown outcome; {}",
        schedule.len(),
        campaign.figures
    );
}

impl Campaign<'_> {
    /// One round; returns what happened in it.
    fn round(&mut self, fault: Fault) -> String {
        let before = self.trio.leader();
        let running = self.load.start();
        running.wait_for_writes("writes before the fault", WRITES);
        let (leader, _) = self.trio.leader();
        let story = self.befall(fault, leader, &running);
        running.wait_for_writes("writes after the fault", WRITES);
        running.wait_for_load();
        running.stop(&mut self.load);
        self.figures.leader_changes += u64::from(self.trio.leader() != before);
        story
    }

    /// The majority goes on.
    fn others_go_on(&self, running: &Running) {
        running.wait_for_writes("two of three go on", WRITES);
    }
}
