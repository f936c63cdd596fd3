//! `cargo xtask lint`: what can be judged without running a test, every warning an error.

use anyhow::{Context, Result};

use crate::{cargo, probe, rocksdb};

/// Formatting, clippy over all targets, the facade without its features, the documentation. `*` stands for the workspace, RocksDB
/// included where it can be built.
const STEPS: [(&str, &[&str]); 4] = [
    ("formatting", &["fmt", "--all", "--check"]),
    ("clippy", &["clippy", "--quiet", "*", "--all-targets", "--", "-D", "warnings"]),
    (
        "the facade without features",
        &["clippy", "--quiet", "-p", "eraft", "--no-default-features", "--", "-D", "warnings"],
    ),
    ("documentation", &["doc", "--quiet", "*", "--no-deps"]),
];

/// Runs every step; false at the first that found something.
pub(crate) fn run() -> Result<bool> {
    let with_rocksdb = rocksdb::ready()?;
    if !with_rocksdb {
        println!("lint: RocksDB's backend is left out: no libclang ({})", probe::LIBCLANG);
    }
    for (what, args) in STEPS {
        let whole = rocksdb::workspace(with_rocksdb);
        let args = args.iter().flat_map(|word| if *word == "*" { whole.clone() } else { vec![(*word).to_owned()] });
        let args: Vec<String> = args.collect();
        println!("lint: {what} (cargo {})", args.join(" "));
        let status = cargo::command(&cargo::root())
            .args(args)
            .env("RUSTDOCFLAGS", "-D warnings")
            .status()
            .context("cargo did not start")?;
        if !status.success() {
            println!("lint: {what} failed");
            return Ok(false);
        }
    }
    println!("lint: clean");
    Ok(true)
}
