//! What the program says when it must not do what it is asked.

use std::{
    ffi::OsStr,
    fs::File,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{Program, wait_until};

/// After this it counts as running.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// Runs the program on plain files in `dir`, sees it end by itself and not well, and returns all that it said.
pub fn refused<A: AsRef<OsStr>>(dir: &Path, arguments: &[A]) -> String {
    refused_by(Program::FileNode, dir, arguments)
}

/// The same with another program.
pub fn refused_by<A: AsRef<OsStr>>(program: Program, dir: &Path, arguments: &[A]) -> String {
    let said = dir.join("refusal");
    let out = File::create(&said).unwrap();
    let mut command = Command::new(program.path());
    command.args(arguments).current_dir(dir).stdin(Stdio::null());
    let mut process = command.stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
    let (begun, mut runs) = (Instant::now(), false);
    let ended = wait_until("the program ends", || {
        // What was started against its promise is ended in order: a starter takes its nodes along.
        if !runs && begun.elapsed() > ENDS_WITHIN {
            runs = true;
            rustix::process::kill_process(rustix::process::Pid::from_child(&process), Signal::TERM).unwrap();
        }
        process.try_wait().unwrap()
    });
    let text = std::fs::read_to_string(&said).unwrap();
    std::fs::remove_file(said).unwrap();
    assert!(!runs, "it did what it should have refused:\n{text}");
    assert!(!ended.success(), "it ended well, having said:\n{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}
