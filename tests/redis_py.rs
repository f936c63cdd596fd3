//! A session with redis-py's cluster client: every command, at any node, and a kill of the leader in the middle.
//!
//! The client is not ours, knows a real Redis cluster, and is what many services would speak through; its own retries must
//! be enough. `tests/redis_py/session.py` is what it says; `xtask/from_pypi.py` brings it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    unreachable_pub,
    missing_docs,
    reason = "a test of real processes: real time, threads and files"
)]

mod processes;

use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use processes::{Trio, wait_until};

/// Writes that are acknowledged before the kill.
const BEFORE_THE_KILL: usize = 50;

/// The interpreter that has redis-py; where there is none, the test says that it is skipped, or fails where it must not be.
fn interpreter(test: &str) -> Option<PathBuf> {
    let built = std::env::current_exe().unwrap();
    // Beside what cargo has built: it stays for the next run, which then needs no network.
    let place = built.ancestors().nth(3).unwrap().join("redis-py");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (installer, wanted) = (root.join("xtask/from_pypi.py"), root.join("tests/redis_py/requirements.txt"));
    let installed = Command::new("python3").arg(installer).arg(wanted).arg(&place).stdin(Stdio::null()).output();
    let why = match installed {
        Ok(output) if output.status.success() => return Some(place.join("bin/python")),
        Ok(output) => String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("no message").to_owned(),
        Err(absent) => format!("python3: {absent}"),
    };
    println!("SKIPPED {test}: no redis-py ({why})");
    let required = std::env::var("ERAFT_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|probe| probe.trim() == "redis-py"), "redis-py is required here: {why}");
    None
}

/// The client's process.
struct Session {
    process: Child,
    printed: Lines<BufReader<ChildStdout>>,
}

impl Session {
    fn start(python: &Path, addresses: &[String]) -> Session {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/redis_py/session.py");
        let mut command = Command::new(python);
        command.arg(script).args(addresses).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let printed = BufReader::new(process.stdout.take().unwrap()).lines();
        Session { process, printed }
    }

    /// The next line; the session's own complaint is on standard error.
    fn line(&mut self) -> String {
        self.printed.next().expect("the session ended early, see above").unwrap()
    }

    fn say(&mut self, line: &str) {
        writeln!(self.process.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn redis_pys_cluster_client_goes_on_by_itself_when_the_leader_is_killed() {
    let Some(python) = interpreter("redis_pys_cluster_client_goes_on_by_itself_when_the_leader_is_killed") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut trio = Trio::found(dir.path());
    trio.start();
    // What cannot be asked twice is answered with an error where the leader changes: then the session begins anew.
    let mut session = wait_until("a session under one leader", || {
        let before = trio.leader();
        let mut session = Session::start(&python, &trio.addresses());
        let is_ready = session.printed.next().is_some_and(|line| line.unwrap() == "ready");
        assert!(is_ready || trio.leader() != before, "the session ended early, see above");
        is_ready.then_some(session)
    });
    for _ in 0..BEFORE_THE_KILL {
        assert!(session.line().starts_with("wrote "));
    }
    let (leader, term) = trio.leader();
    trio.nodes[leader].kill();
    session.say("killed");
    let mut written = BEFORE_THE_KILL;
    loop {
        match session.line() {
            line if line.starts_with("wrote ") => written += 1,
            line => break assert_eq!(line, "done"),
        }
    }
    assert!(trio.leader().1 > term, "somebody else has been elected");
    println!("{written} writes were acknowledged, before and after node {} was killed", leader + 1);
    trio.nodes[leader].start();
    trio.agree();
}
