//! `cargo xtask lint`: what can be judged without running a test, every warning an error.

use anyhow::{Context, Result};

use crate::cargo;

/// Formatting, clippy over all targets, the facade without its features, the documentation; stops at the first that fails.
const STEPS: [(&str, &[&str]); 4] = [
    ("formatting", &["fmt", "--all", "--check"]),
    ("clippy", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    (
        "the facade without features",
        &["clippy", "--quiet", "-p", "eraft", "--no-default-features", "--", "-D", "warnings"],
    ),
    ("documentation", &["doc", "--quiet", "--workspace", "--no-deps"]),
];

/// Runs every step; false at the first that found something.
pub(crate) fn run() -> Result<bool> {
    for (what, args) in STEPS {
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
