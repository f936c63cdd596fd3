//! `cargo xtask conformance`: the report card, promise by promise and backend by backend.
//!
//! It runs each backend's conformance tests with plain `cargo test` and reads what they print, so it can only tell what
//! they told: a case that was skipped counts as skipped, and a run that did not come to its end as failed.

mod card;

use std::{
    io::{BufRead, BufReader, IsTerminal, Write},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{cargo, probe, rocksdb};
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
    /// Every crash is a real one, which takes its time: `--long` leaves the number of seeds to it.
    is_real: bool,
}

impl Backend {
    /// Whether what it takes is there; RocksDB is compiled when this returns.
    fn can_be_built(&self) -> Result<bool> {
        let words: Vec<String> = self.target.iter().map(|word| (*word).to_owned()).collect();
        Ok(!rocksdb::is_meant(&words) || rocksdb::ready()?)
    }
}

const BACKENDS: &[Backend] = &[
    Backend { name: "memory", target: &["-p", "eraft-conformance", "--test", "memory"], is_real: false },
    Backend { name: "file", target: &["-p", "eraft-storage-file", "--test", "conformance"], is_real: false },
    Backend {
        name: "file-real-disk",
        target: &["-p", "eraft-storage-file", "--test", "conformance_real_disk"],
        is_real: true,
    },
    Backend { name: "rocksdb", target: &["-p", "eraft-storage-rocksdb", "--test", "conformance"], is_real: true },
    Backend { name: "s3-memory", target: &["-p", "eraft-s3-servers", "--test", "conformance_memory"], is_real: true },
    Backend { name: "s3-moto", target: &["-p", "eraft-s3-servers", "--test", "conformance_moto"], is_real: true },
    Backend { name: "s3-file", target: &["-p", "eraft-s3-servers", "--test", "conformance_file"], is_real: true },
    Backend { name: "s3-away", target: &["-p", "eraft-s3-servers", "--test", "conformance_away"], is_real: true },
    Backend {
        name: "s3-rocksdb",
        target: &["-p", "eraft-s3-servers", "--features", "rocksdb", "--test", "conformance_rocksdb"],
        is_real: true,
    },
    Backend { name: "redb", target: &["-p", "eraft-conformance", "--test", "redb"], is_real: false },
];

/// Servers that a snapshot in a bucket would be most likely to meet and that no test starts: what runs the suite on them.
const NOT_RUN_HERE: [&str; 3] = [
    "MinIO: docker compose up --wait, and the line that docker-compose.yml has for it, with `cargo xtask conformance --backend s3-file`",
    "AWS: CONFORMANCE_S3_ENDPOINT=https://s3.<region>.amazonaws.com AWS_REGION=<region> CONFORMANCE_S3_BUCKET=<bucket> and a key's two \
     variables, with `cargo xtask conformance --backend s3-file`",
    "Garage: cargo install garage --locked, a node of it with a bucket and a key, and CONFORMANCE_S3_ENDPOINT, CONFORMANCE_S3_BUCKET, \
     AWS_REGION=garage, CONFORMANCE_S3_FENCING=off and the key's two variables, with `cargo xtask conformance --backend s3-file`",
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
    let chosen = |backend: &&Backend| args.backend.is_empty() || args.backend.iter().any(|name| name == backend.name);
    for backend in BACKENDS.iter().filter(chosen) {
        if backend.can_be_built()? {
            test(backend, args, &mut card)?;
        } else {
            card.leave_out(backend.name, format!("no libclang ({})", probe::LIBCLANG));
        }
    }
    if BACKENDS.iter().filter(chosen).any(|backend| backend.name.starts_with("s3-")) {
        NOT_RUN_HERE.iter().for_each(|server| card.note(format!("NOT RUN HERE, S3 on {server}")));
    }
    if args.json {
        println!("{}", card.json());
    } else {
        print!("{}", card.table());
    }
    Ok(card.failed() == 0)
}

fn test(backend: &Backend, args: &Args, card: &mut Card) -> Result<()> {
    eprintln!("{}: built, then run", backend.name);
    let started = Instant::now();
    let mut command = cargo::command(&cargo::root());
    command.args(["test", "--quiet", "--no-fail-fast"]).args(backend.target);
    command.args(["--", "--show-output", "--format=pretty"]).stdin(Stdio::null()).stdout(Stdio::piped());
    if args.long {
        command.env("ERAFT_LONG", "1");
        if !backend.is_real {
            command.env("ERAFT_SEEDS", "100").env("ERAFT_STEPS", "3000");
        }
    }
    let mut child = command.spawn().context("cargo did not start")?;
    let output = child.stdout.take().context("cargo's output")?;
    let mut progress = Progress::of(backend.name);
    for line in BufReader::new(output).lines() {
        let line = line.context("reading cargo's output")?;
        if let Some(rest) = line.strip_prefix("running ") {
            progress.all += rest.split(' ').next().and_then(|number| number.parse::<usize>().ok()).unwrap_or(0);
            progress.told = Instant::now();
        } else if let Some((case, outcome)) = outcome(&line) {
            progress.step(outcome != Outcome::Skipped);
            card.take(backend.name, &case, outcome);
        } else if let Some(server) = line.strip_prefix("S3: ") {
            card.note(format!("{}: {server}", backend.name));
        }
    }
    progress.end();
    let status = child.wait().context("waiting for cargo")?;
    eprintln!("{}: {} cases in {:.1} s", backend.name, card.cases(backend.name), started.elapsed().as_secs_f64());
    if card.cases(backend.name) == 0
        || progress.done < progress.all
        || status.success() != (card.failed_by(backend.name) == 0)
    {
        eprintln!("the tests of {} did not build, or did not run to their end: see above", backend.name);
        card.take(backend.name, "the_run_to_its_end", Outcome::Failed);
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

/// A bar on a terminal; elsewhere a line a minute.
struct Progress {
    name: &'static str,
    all: usize,
    done: usize,
    on_terminal: bool,
    told: Instant,
}

impl Progress {
    const PAUSE: Duration = Duration::from_secs(60);

    fn of(name: &'static str) -> Progress {
        Progress { name, all: 0, done: 0, on_terminal: std::io::stderr().is_terminal(), told: Instant::now() }
    }

    fn step(&mut self, counts: bool) {
        self.done += usize::from(counts);
        if self.on_terminal {
            let filled = (self.done * 40).checked_div(self.all).unwrap_or(0).min(40);
            eprint!("\r{:<14} [{:<40}] {}/{}", self.name, "#".repeat(filled), self.done, self.all);
            let _ = std::io::stderr().flush();
        } else if self.told.elapsed() >= Self::PAUSE {
            eprintln!("{}: {} of {}", self.name, self.done, self.all);
            self.told = Instant::now();
        }
    }

    fn end(&self) {
        if self.on_terminal {
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
