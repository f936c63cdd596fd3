//! Backends and their peers, measured side by side on a real disk.
//!
//! ```text
//! eval "$(cargo xtask rocksdb)"                          # links the RocksDB that is compiled already
//! cargo run --release -p eraft-benches -- saves          # what a save costs beside raw RocksDB and plain files
//! cargo run --release -p eraft-benches -- growth         # the same save to a log of 100 entries and of 1,000,000
//! cargo run --release -p eraft-benches -- reads          # a log of 64 MiB, fresh, and after 100 truncations and compactions
//! cargo run --release -p eraft-benches -- stages         # a snapshot into RocksDB while saves go on, and the other ways in
//! cargo run --release -p eraft-benches -- snapshots      # into a bucket and out of it, beside object_store's own means
//! ```
//!
//! A shared machine is never calm, so no figure of one run is compared with one of another: the contenders take turns, round by
//! round, in one process, and what is quoted are ratios of medians. All rounds are printed, and how the processors were fought
//! for meanwhile. Nothing here is a test: it asserts nothing, and no other crate may depend on it.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::cast_precision_loss,
    reason = "a measurement reads the clock, starts threads and writes to the disk that it measures"
)]

mod disk;
mod growth;
mod raw;
mod reads;
mod rounds;
mod saves;
mod server;
mod snapshots;
mod stages;
mod store;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures storage backends beside their peers.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Where the stores are made: a directory on the disk that is meant.
    #[arg(long, global = true, default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// How many rounds each contender gets.
    #[arg(long, global = true, default_value_t = 25)]
    rounds: usize,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Appends, each durable before it counts: RocksDB through us, raw RocksDB doing the same writes, plain files.
    Saves(saves::Saves),
    /// Appends to a log of 100 entries, and to one of 1,000,000.
    Growth,
    /// Reads of a fresh log, and of one that was truncated and compacted many times.
    Reads,
    /// A snapshot into RocksDB while saves go on: through us, and by the ways that raw RocksDB has.
    Stages(stages::Stages),
    /// Snapshots into a bucket and out of it: through us, and by object_store's own multipart writer and ranged reads.
    Snapshots(snapshots::Snapshots),
    /// What `snapshots` starts as another process: an S3 server over the directory, until its input ends.
    #[command(hide = true)]
    Serve,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let place = || disk::place(&arguments.dir);
    match &arguments.what {
        What::Saves(saves) => saves::run(saves, place()?.path(), arguments.rounds),
        What::Growth => growth::run(place()?.path(), arguments.rounds),
        What::Reads => reads::run(place()?.path(), arguments.rounds),
        What::Stages(stages) => stages::run(stages, place()?.path(), arguments.rounds),
        What::Snapshots(snapshots) => snapshots::run(snapshots, place()?.path(), arguments.rounds),
        What::Serve => server::serve(&arguments.dir),
    }
}
