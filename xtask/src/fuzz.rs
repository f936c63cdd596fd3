//! `cargo xtask fuzz`: libFuzzer on the targets of `fuzz/`, one after the other, each from its seeds.
//!
//! It needs `cargo-fuzz`, and says so where that is missing. What was found stays in `fuzz/artifacts`, what was learnt in
//! `fuzz/corpus`; git knows neither.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::{cargo, rocksdb};

/// Longer inputs are slower and reach no more: no decoder's behaviour changes with the length alone.
const MAX_LEN_BYTES: u32 = 4096;

/// What `cargo xtask fuzz` may be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these targets; without it all of them.
    target: Vec<String>,
    /// How many inputs each target is given.
    #[arg(long, default_value_t = 1_000_000)]
    runs: u64,
    /// What is built in besides (`address` finds what `unsafe` code of a library does wrong, at a third of the speed).
    #[arg(long, default_value = "none")]
    sanitizer: String,
}

/// Runs the targets; false at the first that found something.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let installed =
        cargo::command(&cargo::root()).args(["fuzz", "--version"]).output().context("cargo did not start")?;
    ensure!(installed.status.success(), "cargo-fuzz is not installed: cargo install cargo-fuzz --locked");
    let fuzz = cargo::root().join("fuzz");
    let all = if args.target.is_empty() { targets(&fuzz)? } else { args.target.clone() };
    for target in &all {
        let on_rocksdb = target.starts_with("rocksdb_");
        if on_rocksdb && !rocksdb::ready()? {
            println!("fuzz: {target} is left out: RocksDB cannot be built here");
            continue;
        }
        let corpus = fuzz.join("corpus").join(target);
        std::fs::create_dir_all(&corpus).with_context(|| format!("{} cannot be made", corpus.display()))?;
        let mut command = cargo::command(&cargo::root());
        // cargo-fuzz asks for flags that the stable compiler knows and does not take unasked.
        command.env("RUSTC_BOOTSTRAP", "1").args(["fuzz", "run", "--sanitizer", &args.sanitizer]);
        if on_rocksdb {
            command.args(["--features", "rocksdb"]);
        }
        command.arg(target);
        command.arg(&corpus).arg(fuzz.join("seeds").join(target)).arg("--");
        command.args([format!("-runs={}", args.runs), format!("-max_len={MAX_LEN_BYTES}")]);
        command.args(["-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1"]);
        let words = fuzz.join("dictionaries").join(format!("{target}.dict"));
        if words.exists() {
            command.arg(format!("-dict={}", words.display()));
        }
        println!("fuzz: {target}, {} inputs", args.runs);
        if !command.status().context("cargo did not start")?.success() {
            println!("fuzz: {target} failed");
            return Ok(false);
        }
    }
    println!("fuzz: {} found nothing", all.join(", "));
    Ok(true)
}

/// The targets that have seeds, which a test demands of every one.
fn targets(fuzz: &Path) -> Result<Vec<String>> {
    let seeds = fuzz.join("seeds");
    let folders = std::fs::read_dir(&seeds).with_context(|| format!("{} cannot be read", seeds.display()))?;
    let mut names: Vec<_> = folders.flatten().map(|folder| folder.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}
