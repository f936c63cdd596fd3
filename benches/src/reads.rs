//! No cliff of tombstones: a log of 64 MiB is read as fast after 100 truncations and compactions as when it was fresh.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;
use eraft_core::LogIndex;
use futures_executor::block_on;

use crate::{
    rounds::{self, Contender},
    store::{Backend, Log},
};

const BYTES: usize = 1024;
const ENTRIES: u64 = 64 * 1024;
const TURNS: u64 = 100;
/// In each turn so many entries are appended, half of them replaced, and as many dropped at the log's beginning.
const PER_TURN: u64 = 1024;
const READ_BYTES: u64 = 1 << 20;

struct Reads {
    name: String,
    log: Log,
    first: u64,
}

impl Contender for Reads {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn round(&mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let mut next = self.first;
        while next <= self.log.last {
            let range = LogIndex(next)..LogIndex(self.log.last + 1);
            let entries = block_on(self.log.storage.read_entries(range, READ_BYTES))?;
            ensure!(!entries.is_empty(), "entry {next} is not there");
            next += entries.len() as u64;
        }
        Ok(begun.elapsed())
    }
}

/// Measures both logs on both backends.
///
/// # Errors
/// A store fails.
pub(crate) fn run(place: &Path, rounds: usize) -> anyhow::Result<()> {
    for backend in [Backend::RocksDb, Backend::Files] {
        let mut fresh = Log::blank(backend, &place.join(format!("{backend:?}-fresh")), BYTES)?;
        fresh.fill(ENTRIES)?;
        let mut churned = Log::blank(backend, &place.join(format!("{backend:?}-churned")), BYTES)?;
        churned.fill(ENTRIES)?;
        for turn in 0..TURNS {
            churned.fill(churned.last + PER_TURN)?;
            churned.replace_tail(PER_TURN / 2)?;
            let upto = LogIndex((turn + 1) * PER_TURN);
            let state = block_on(churned.storage.read_raft_state())?;
            let term = state.outline.term(upto).map_or(1, |term| term.0);
            churned.compact(upto.0, term)?;
        }
        let first = TURNS * PER_TURN + 1;
        let reads = |name: &str, log, first| Box::new(Reads { name: name.to_owned(), log, first });
        let mut contenders: Vec<Box<dyn Contender>> =
            vec![reads("a fresh log", fresh, 1), reads("after 100 turns", churned, first)];
        let outcome = rounds::play(&mut contenders, rounds, 64.0)?;
        outcome.print(&format!("{}: reading 64 MiB of log, MiB per second", backend.name()));
        rounds::print_pressure();
        let (of_medians, by_rounds) = outcome.ratios(0, 1);
        println!("the old log's read takes {of_medians:.3} times as long; round by round {by_rounds:.3}");
    }
    Ok(())
}
