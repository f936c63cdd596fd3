//! `cargo xtask`: what a developer and CI type to check the whole project.
//!
//! It probes the machine, runs cargo, and says what ran and what did not; the checks themselves live in the crates. It must
//! never count as passed what did not run, and never need more than a Rust toolchain to start.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a developer's tool: it starts processes, measures them and writes files under target/"
)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod cargo;
mod conformance;
mod fresh;
mod fuzz;
mod hang;
mod libtest;
mod lint;
mod mutants;
mod probe;
mod rocksdb;
mod s3_image;
mod test;

/// Checks the whole project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Probes the machine, runs every test, and says what was skipped and how to enable it.
    Test(test::Args),
    /// Formatting, clippy and the documentation, every warning an error.
    Lint,
    /// Puts known bugs back one at a time; each must turn its test red.
    Mutants(mutants::Args),
    /// Runs the conformance suite on each backend, and prints promise by promise what it found.
    Conformance(conformance::Args),
    /// Runs README's two commands on a bare Debian 12, made by debootstrap in a folder.
    Fresh(fresh::Args),
    /// Compiles RocksDB once, and prints what a shell evaluates so that its own cargo links it too.
    Rocksdb,
    /// Makes the stand-in for S3 a container image, for machines that reach no registry.
    S3Image,
    /// Feeds every decoder what libFuzzer thinks of.
    Fuzz(fuzz::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Test(args) => test::run(&args),
        Task::Lint => lint::run(),
        Task::Mutants(args) => mutants::run(&args),
        Task::Conformance(args) => conformance::run(&args),
        Task::Fresh(args) => fresh::run(&args),
        Task::Rocksdb => rocksdb::run(),
        Task::S3Image => s3_image::run(),
        Task::Fuzz(args) => fuzz::run(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
