//! What a save costs: one entry each, durable before it counts, with 1 and with 64 outstanding.

use std::path::Path;

use crate::{
    raw::{Raw, Tuning},
    rounds::{self, Contender},
    store::{Appends, Backend, Log},
};

/// Which saves.
#[derive(Debug, clap::Args)]
pub(crate) struct Saves {
    /// How many saves are outstanding.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64])]
    writers: Vec<usize>,
    /// Bytes of an entry's payload.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1024, 4096])]
    bytes: Vec<usize>,
}

/// Measures each number of writers with each size.
///
/// # Errors
/// A contender fails.
pub(crate) fn run(saves: &Saves, place: &Path, rounds: usize) -> anyhow::Result<()> {
    let mut verdicts = Vec::new();
    for writers in saves.writers.iter().copied() {
        for bytes in saves.bytes.iter().copied() {
            let dir = place.join(format!("{writers}-{bytes}"));
            std::fs::create_dir(&dir)?;
            verdicts.push(compare(&dir, (writers, bytes), rounds)?);
            std::fs::remove_dir_all(&dir)?;
        }
    }
    println!(
        "\n{:>7} {:>6}   raw RocksDB over ours   plain files over ours   (of medians, round by round)",
        "writers", "bytes"
    );
    verdicts.iter().for_each(|verdict| println!("{verdict}"));
    Ok(())
}

fn compare(dir: &Path, (writers, bytes): (usize, usize), rounds: usize) -> anyhow::Result<String> {
    let per_round = if writers == 1 { 200 } else { 4_000 };
    let ours = |backend: Backend, name: &str| {
        let log = Log::blank(backend, &dir.join(name), bytes)?;
        anyhow::Ok(Appends { name: backend.name().to_owned(), log, writers, per_round })
    };
    let tunings = match writers {
        1 => [Tuning::OneThreadBatches, Tuning::WriteGroup].as_slice(),
        _ => &[Tuning::OneThreadBatches, Tuning::WriteGroup, Tuning::ThreadsSync],
    };
    let mut contenders: Vec<Box<dyn Contender>> =
        vec![Box::new(ours(Backend::RocksDb, "rocksdb")?), Box::new(ours(Backend::Files, "files")?)];
    for tuning in tunings {
        let own = dir.join(format!("{tuning:?}"));
        let raw = Raw::blank(&own, &dir.join("rocksdb/db"), *tuning, (writers, per_round, bytes))?;
        contenders.push(Box::new(raw));
    }
    let outcome = rounds::play(&mut contenders, rounds, per_round as f64)?;
    outcome.print(&format!("{writers} writers, {bytes} bytes: saves per second, {per_round} a round"));
    rounds::print_pressure();
    // At one writer the peer is the one behind the same hand-off; the direct call only stands beside it.
    let peers = if writers == 1 { 2..3 } else { 2..contenders.len() };
    let best = peers.max_by(|one, other| outcome.median(*one).total_cmp(&outcome.median(*other))).unwrap_or(0);
    let told = |(of_medians, by_rounds): (f64, f64)| format!("{of_medians:>14.3} {by_rounds:>6.3}");
    Ok(format!("{writers:>7} {bytes:>6}   {}   {}", told(outcome.ratios(best, 0)), told(outcome.ratios(1, 0))))
}
