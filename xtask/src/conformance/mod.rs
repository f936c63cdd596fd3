//! `cargo xtask conformance`: the report card, promise by promise and backend by backend.
//!
//! It runs each backend's conformance tests with plain `cargo test` and reads what they print, so it can only tell what
//! they told: a case that was skipped counts as skipped, and one that never ran as missing.

mod card;

use std::{
    io::{BufRead, BufReader, IsTerminal, Write},
    process::Stdio,
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::cargo;
use card::{Card, Outcome};

/// What `cargo xtask conformance` may be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these backends; may be given several times.
    #[arg(long, value_name = "NAME")]
    backend: Vec<String>,
    /// Run every case under many seeds, and the random walk over many steps.
    #[arg(long)]
    long: bool,
    /// Print the card as JSON.
    #[arg(long)]
    json: bool,
}

/// A backend, and where its conformance tests are.
struct Backend {
    name: &'static str,
    /// What `cargo test` is told.
    target: &'static [&'static str],
}

const BACKENDS: &[Backend] = &[
    Backend { name: "memory", target: &["-p", "eraft-conformance", "--test", "memory"] },
    Backend { name: "file", target: &["-p", "eraft-storage-file", "--test", "conformance"] },
    Backend { name: "redb", target: &["-p", "eraft-conformance", "--test", "redb"] },
];

/// Runs the suite on each backend and prints the card; true when nothing failed.
pub(crate) fn run(args: &Args) -> Result<bool> {
    for name in &args.backend {
        if !BACKENDS.iter().any(|backend| backend.name == name) {
            let known: Vec<_> = BACKENDS.iter().map(|backend| backend.name).collect();
            bail!("--backend {name}: there is none of that name; known are {}", known.join(", "));
        }
    }
    let mut card = Card::default();
    for backend in BACKENDS {
        if args.backend.is_empty() || args.backend.iter().any(|name| name == backend.name) {
            test(backend, args, &mut card)?;
        }
    }
    if args.json {
        println!("{}", card.json());
    } else {
        print!("{}", card.table());
    }
    Ok(card.failed() == 0)
}

fn test(backend: &Backend, args: &Args, card: &mut Card) -> Result<()> {
    let started = Instant::now();
    let mut command = cargo::command(&cargo::root());
    command.args(["test", "--quiet", "--no-fail-fast"]).args(backend.target);
    command.args(["--", "--show-output", "--format=pretty"]).stdin(Stdio::null()).stdout(Stdio::piped());
    if args.long {
        command.env("ERAFT_LONG", "1").env("ERAFT_SEEDS", "100").env("ERAFT_STEPS", "3000");
    }
    let mut child = command.spawn().context("cargo did not start")?;
    let output = child.stdout.take().context("cargo's output")?;
    let mut progress = Progress { name: backend.name, all: 0, done: 0, shown: std::io::stderr().is_terminal() };
    for line in BufReader::new(output).lines() {
        let line = line.context("reading cargo's output")?;
        if let Some(rest) = line.strip_prefix("running ") {
            progress.all += rest.split(' ').next().and_then(|number| number.parse::<usize>().ok()).unwrap_or(0);
        } else if let Some((case, outcome)) = outcome(&line) {
            progress.step(outcome != Outcome::Skipped);
            card.take(backend.name, &case, outcome);
        }
    }
    progress.end();
    let status = child.wait().context("waiting for cargo")?;
    eprintln!("{}: {} cases in {:.1} s", backend.name, card.cases(backend.name), started.elapsed().as_secs_f64());
    if card.cases(backend.name) == 0 || (!status.success() && card.failed() == 0) {
        bail!("the tests of {} did not build, or did not run to their end: see above", backend.name);
    }
    Ok(())
}

/// What one line of a test binary says of a case.
fn outcome(line: &str) -> Option<(String, Outcome)> {
    if let Some((case, _)) = line.strip_prefix("SKIPPED ").and_then(|rest| rest.split_once(": ")) {
        return Some((case.to_owned(), Outcome::Skipped));
    }
    let (case, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let outcome = if outcome.starts_with("ok") { Outcome::Passed } else { Outcome::Failed };
    Some((case.to_owned(), outcome))
}

/// A bar on a terminal; nothing elsewhere.
struct Progress {
    name: &'static str,
    all: usize,
    done: usize,
    shown: bool,
}

impl Progress {
    fn step(&mut self, counts: bool) {
        self.done += usize::from(counts);
        if self.shown {
            let filled = (self.done * 40).checked_div(self.all).unwrap_or(0).min(40);
            eprint!("\r{:<8} [{:<40}] {}/{}", self.name, "#".repeat(filled), self.done, self.all);
            let _ = std::io::stderr().flush();
        }
    }

    fn end(&self) {
        if self.shown {
            eprint!("\r{:<70}\r", "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_of_a_case_or_of_nothing() {
        assert_eq!(outcome("test line_01_x ... ok"), Some(("line_01_x".into(), Outcome::Passed)));
        assert_eq!(outcome("test line_01_x ... FAILED"), Some(("line_01_x".into(), Outcome::Failed)));
        assert_eq!(outcome("SKIPPED line_01_x: no disk: none"), Some(("line_01_x".into(), Outcome::Skipped)));
        assert_eq!(outcome("test result: ok. 1 passed"), None);
    }
}
