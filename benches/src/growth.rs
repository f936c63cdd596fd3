//! A save costs as much as it brings: appends to a log of 100 entries, and to one of 1,000,000.

use std::path::Path;

use crate::{
    rounds::{self, Contender},
    store::{Appends, Backend, Log},
};

const BYTES: usize = 100;
const SIZES: [u64; 2] = [100, 1_000_000];

/// Measures both logs on both backends, one save after the other.
///
/// # Errors
/// A store fails.
pub(crate) fn run(place: &Path, rounds: usize) -> anyhow::Result<()> {
    for backend in [Backend::RocksDb, Backend::Files] {
        let mut contenders: Vec<Box<dyn Contender>> = Vec::new();
        for entries in SIZES {
            let mut log = Log::blank(backend, &place.join(format!("{backend:?}-{entries}")), BYTES)?;
            log.fill(entries)?;
            let name = format!("{}, {entries} entries", backend.name());
            contenders.push(Box::new(Appends { name, log, writers: 1, per_round: 100 }));
        }
        let outcome = rounds::play(&mut contenders, rounds, 100.0)?;
        outcome.print(&format!("{}: appends of {BYTES} bytes per second, 100 a round", backend.name()));
        rounds::print_pressure();
        let (of_medians, by_rounds) = outcome.ratios(0, 1);
        println!("the longer log's append takes {of_medians:.3} times as long; round by round {by_rounds:.3}");
    }
    Ok(())
}
