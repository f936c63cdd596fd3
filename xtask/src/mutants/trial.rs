//! One run of a named test, and what it says about the tree.
//!
//! Building and running are two steps, so that a tree that does not compile is never taken for a test that failed, and the time
//! limit is the test's alone.

use std::fmt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::tree::Tree;
use crate::cargo;
use crate::libtest::Output;

/// After this a test is taken to hang.
const TEST_LIMIT: Duration = Duration::from_secs(300);
/// After this a build is given up.
const BUILD_LIMIT: Duration = Duration::from_secs(1800);

/// What the named test said. On the tree without a mutant `Survived` is what is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A test ran and failed.
    Killed,
    /// The test did not end; it was ended.
    Hung,
    /// All that ran passed.
    Survived {
        /// How many did.
        passed: usize,
    },
    /// No test ran, or those that ran said that they could not.
    NothingRan(String),
    /// The end of what the compiler said.
    DoesNotCompile(String),
    /// What is wrong with the patch, or what git said of it.
    DoesNotApply(String),
    /// The test is red, or absent, without the mutant.
    NotGreenBefore,
}

impl Verdict {
    /// Whether the bug was caught.
    pub(crate) fn is_kill(&self) -> bool {
        matches!(self, Verdict::Killed | Verdict::Hung)
    }

    /// One word, for a table.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Verdict::Killed => "killed",
            Verdict::Hung => "hung",
            Verdict::Survived { .. } => "SURVIVED",
            _ => "ERROR",
        }
    }

    /// What it means on the tree without a mutant.
    pub(crate) fn as_baseline(&self) -> String {
        match self {
            Verdict::Killed => "it is red".to_owned(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Killed => write!(f, "killed"),
            Verdict::Hung => write!(f, "the test hung for {} s and was ended", TEST_LIMIT.as_secs()),
            Verdict::Survived { .. } => write!(f, "survived: its test passes with the bug in"),
            Verdict::NothingRan(why) => write!(f, "no test ran: {why}"),
            Verdict::DoesNotCompile(log) => write!(f, "does not compile:\n{log}"),
            Verdict::DoesNotApply(why) => write!(f, "does not apply: {why}"),
            Verdict::NotGreenBefore => write!(f, "its test is not green without it"),
        }
    }
}

/// Builds and runs `cargo test <test>` in the tree, its results under `target`.
pub(crate) fn run(tree: &Tree, target: &Path, test: &[String]) -> Result<Verdict> {
    std::fs::create_dir_all(target)?;
    let log = target.join("trial.log");
    let split = test.iter().position(|word| word == "--").unwrap_or(test.len());
    let (cargo_args, test_args) = test.split_at(split);

    let mut build = command(tree, target, cargo_args);
    build.arg("--no-run");
    let built = run_logged(&mut build, &log, BUILD_LIMIT)?;
    if !built.is_some_and(|status| status.success()) {
        return Ok(Verdict::DoesNotCompile(errors(&read(&log)?)));
    }

    let mut trial = command(tree, target, cargo_args);
    trial.arg("--").args(test_args.iter().skip(1)).arg("--show-output");
    match run_logged(&mut trial, &log, TEST_LIMIT)? {
        None => Ok(Verdict::Hung),
        Some(status) => Ok(judge(status.success(), &read(&log)?)),
    }
}

fn command(tree: &Tree, target: &Path, args: &[String]) -> Command {
    let mut command = cargo::command(tree.dir());
    command.arg("test").args(args).env("CARGO_TARGET_DIR", target).env("RUST_BACKTRACE", "0");
    command
}

/// Strict on both sides: a kill needs a test that failed, a survival one that passed.
fn judge(success: bool, log: &str) -> Verdict {
    let mut output = Output::default();
    for line in log.lines() {
        output.line(line);
    }
    let report = output.finish();
    if !success && !report.failed.is_empty() {
        return Verdict::Killed;
    }
    if success && report.passed > 0 {
        return Verdict::Survived { passed: report.passed };
    }
    let why = report.skipped.first().map_or_else(
        || "nothing of that name".to_owned(),
        |skip| format!("{} was skipped: {}", skip.test, skip.reason),
    );
    Verdict::NothingRan(why)
}

/// Runs with all output in `log`; none when it was ended at the limit, with everything that it started.
fn run_logged(command: &mut Command, log: &Path, limit: Duration) -> Result<Option<ExitStatus>> {
    let file = std::fs::File::create(log).with_context(|| format!("{}", log.display()))?;
    command.stdin(Stdio::null()).stderr(file.try_clone()?).stdout(file).process_group(0);
    let mut child = command.spawn().context("cargo did not start")?;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > limit {
            let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
            let group = group.context("a child has a process id")?;
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).context("ending a test")?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn read(log: &Path) -> Result<String> {
    let bytes = std::fs::read(log).with_context(|| format!("{}", log.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first of the compiler's errors, or of cargo's.
fn errors(log: &str) -> String {
    let from: Vec<&str> = log.lines().skip_while(|line| !line.starts_with("error")).take(12).collect();
    if from.is_empty() { "it did not end in time, or was ended".to_owned() } else { from.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "     Running tests/a.rs (target/debug/deps/a-00)\n\nrunning 1 test\n";

    #[test]
    fn a_test_that_failed_is_a_kill() {
        let log = format!("{HEAD}test x ... FAILED\n\ntest result: FAILED. 0 passed; 1 failed; 0 ignored\n");
        assert_eq!(judge(false, &log), Verdict::Killed);
    }

    #[test]
    fn a_test_that_aborted_its_process_is_a_kill() {
        let log = format!("{HEAD}error: test failed, to rerun pass `--test a`\n");
        assert_eq!(judge(false, &log), Verdict::Killed);
    }

    #[test]
    fn a_test_that_passed_is_a_survival() {
        let log = format!("{HEAD}test x ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored\n");
        assert_eq!(judge(true, &log), Verdict::Survived { passed: 1 });
    }

    #[test]
    fn a_filter_that_matches_nothing_is_neither() {
        let log = format!("{HEAD}\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out\n");
        assert_eq!(judge(true, &log), Verdict::NothingRan("nothing of that name".into()));
    }

    #[test]
    fn a_test_that_was_skipped_is_neither() {
        let log = format!(
            "{HEAD}test x ... ok\n\nsuccesses:\n\n---- x stdout ----\nSKIPPED x: no redis-tools\n\n\
             test result: ok. 1 passed; 0 failed; 0 ignored\n"
        );
        assert_eq!(judge(true, &log), Verdict::NothingRan("x was skipped: no redis-tools".into()));
    }

    #[test]
    fn cargo_failing_without_a_test_is_not_a_kill() {
        assert!(matches!(judge(false, "error: no test target named `a`\n"), Verdict::NothingRan(_)));
    }

    #[test]
    fn what_does_not_end_is_ended_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let mut endless = Command::new("sh");
        endless.args(["-c", "sleep 1000 & echo $! ; wait"]);
        let log = dir.path().join("log");
        assert!(run_logged(&mut endless, &log, Duration::from_secs(2)).unwrap().is_none());
        let pid: u32 = read(&log).unwrap().trim().parse().expect("what it started, within two seconds");
        let alive = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        while alive() {
            std::thread::yield_now();
        }
    }
}
