//! `cargo xtask test`: every test of the workspace, with an honest count.
//!
//! It runs plain `cargo test` with `--show-output`, because a test that cannot run here passes and prints
//! `SKIPPED <test>: <reason>`, and libtest hides what a passing test prints. A test that did so is counted as skipped, never
//! as passed. What the tests are told goes through three variables: `ERAFT_REQUIRE` (names of probes whose absence must
//! fail a test instead of skipping it), `ERAFT_LONG` and `ERAFT_SEED`.

use std::io::Write;
use std::process::Stdio;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::libtest::{Output, Report, Skip};
use crate::{cargo, hang, probe, rocksdb};

/// What `cargo xtask test` may be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fail, instead of skipping, where one of these is missing (comma separated; the names of the table).
    #[arg(long, value_delimiter = ',')]
    require: Vec<String>,
    /// Run the long versions: 30 rounds of the kill test, 100 power cuts on each file system, every state, call and place.
    #[arg(long)]
    long: bool,
    /// The seed of the random tests; without it each draws its own or takes its default, and prints it.
    #[arg(long)]
    seed: Option<u64>,
    /// Only these packages (as `cargo test -p`); without it the whole workspace.
    #[arg(long, short)]
    package: Vec<String>,
}

/// Probes, runs, reports; true when nothing failed and nothing required was skipped.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let require: Vec<&str> = args.require.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
    let findings = probe::all();
    probe::print_table(&findings);
    let missing = missing(&require, &findings)?;
    if !missing.is_empty() {
        println!("\nrequired, and not here: {}", missing.join(", "));
        println!("\n0 passed, {} failed, 0 skipped", missing.len());
        return Ok(false);
    }

    let started = Instant::now();
    let whole = args.package.is_empty();
    let with_rocksdb = (whole || rocksdb::is_meant(&args.package)) && rocksdb::ready()?;
    let (mut report, cargo_failed) = cargo_test(args, &require, with_rocksdb)?;
    if !with_rocksdb && whole {
        let reason = format!("no libclang ({})", probe::LIBCLANG);
        report.skipped.push(Skip { test: "storage-rocksdb, and the tests of the node on it".into(), reason });
    }
    let seconds = started.elapsed().as_secs();
    let required_skips: Vec<_> =
        report.skipped.iter().filter(|skip| require.iter().any(|name| skip.reason.contains(name))).collect();

    println!("\ntook {} min {:02} s", seconds / 60, seconds % 60);
    for skip in &report.skipped {
        println!("SKIPPED {}: {}", skip.test, skip.reason);
    }
    for skip in &required_skips {
        println!("FAILED {}: skipped, although `{}` is required", skip.test, skip.reason);
    }
    for failure in &report.failed {
        println!("FAILED {failure}");
    }
    let mut failed = report.failed.len() + required_skips.len();
    if cargo_failed && failed == 0 {
        println!("FAILED cargo test: it did not build or did not run to its end; see above");
        failed = 1;
    }
    let skipped = report.skipped.len() - required_skips.len();
    println!("\n{} passed, {failed} failed, {skipped} skipped", report.passed);
    Ok(failed == 0)
}

/// Which of the required names were not found; a name that no probe bears is an error.
fn missing<'a>(require: &[&'a str], findings: &[probe::Finding]) -> Result<Vec<&'a str>> {
    let mut missing = Vec::new();
    for name in require {
        let Some(finding) = findings.iter().find(|finding| finding.probe.name == *name) else {
            let known: Vec<_> = findings.iter().map(|finding| finding.probe.name).collect();
            bail!("--require {name}: nothing of that name is probed; known are {}", known.join(", "));
        };
        if finding.found.is_err() {
            missing.push(*name);
        }
    }
    Ok(missing)
}

/// Runs cargo, shows its progress, and collects what the tests printed; also says whether cargo itself failed.
fn cargo_test(args: &Args, require: &[&str], with_rocksdb: bool) -> Result<(Report, bool)> {
    let (reader, writer) = std::io::pipe().context("a pipe for cargo's output")?;
    let mut command = cargo::command(&cargo::root());
    command.args(["test", "--no-fail-fast"]);
    if args.package.is_empty() {
        command.args(rocksdb::workspace(with_rocksdb));
    }
    for package in &args.package {
        command.args(["-p", package]);
    }
    command.args(["--", "--show-output"]).env("ERAFT_REQUIRE", require.join(",")).stdin(Stdio::null());
    if args.long {
        command.env("ERAFT_LONG", "1");
    }
    if let Some(seed) = args.seed {
        command.env("ERAFT_SEED", seed.to_string());
    }
    // One pipe for both, so that "Running tests/x.rs" (stderr) stays in front of what that binary prints (stdout).
    command.stderr(writer.try_clone().context("a second end of the pipe")?).stdout(writer);
    let mut child = command.spawn().context("cargo did not start")?;
    drop(command); // it holds our ends of the pipe: the reader would wait for them for ever

    let mut output = Output::default();
    let lines = hang::lines(reader);
    let patience = if args.long { hang::PATIENCE_LONG } else { hang::PATIENCE };
    let mut silences = 0;
    loop {
        match lines.recv_timeout(patience) {
            Ok(line) => {
                silences = 0;
                if let Some(shown) = output.line(&line?) {
                    println!("{shown}");
                    let _ = std::io::stdout().flush();
                }
            }
            // What was started by something that is gone holds the output open, and is not below cargo any more.
            Err(RecvTimeoutError::Timeout) if silences > 0 => {
                println!("nothing was heard of cargo since: it is ended, too");
                child.kill().context("ending cargo")?;
                break;
            }
            Err(RecvTimeoutError::Timeout) if output.is_running() => {
                println!("nothing was heard of this for {} min: it is ended", patience.as_secs() / 60);
                hang::end_what_it_started(child.id())?;
                silences += 1;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = child.wait().context("waiting for cargo")?;
    Ok((output.finish(), !status.success()))
}
