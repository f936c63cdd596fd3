//! The starter as a process: what it prints, whom it starts, how it ends.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Program, wait_until};

/// A starter and what it has printed.
pub struct Starter {
    process: Child,
    printed: PathBuf,
}

impl Starter {
    /// Starts three nodes on plain files with data in `dir/data`.
    pub fn start(dir: &Path, base_port: u16) -> Starter {
        Starter::start_on(Program::FileNode, dir, base_port)
    }

    /// The same with the nodes of another program.
    pub fn start_on(program: Program, dir: &Path, base_port: u16) -> Starter {
        Starter::start_with(program, dir, base_port, &[])
    }

    /// The same with these words more.
    pub fn start_with(program: Program, dir: &Path, base_port: u16, more: &[&str]) -> Starter {
        let printed = dir.join("printed");
        let out = File::create(&printed).unwrap();
        let mut command = Command::new(program.path());
        command.args(["--data", "data", "--base-port", &base_port.to_string()]).args(more).current_dir(dir);
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        Starter { process: command.spawn().unwrap(), printed }
    }

    /// Everything printed so far.
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.printed).unwrap()
    }

    /// Waits until this text has been printed.
    pub fn wait_for(&self, text: &str) -> String {
        wait_until(text, || Some(self.printed()).filter(|printed| printed.contains(text)))
    }

    /// The processes of the nodes, in their order, as the first screen tells them.
    pub fn pids(&self) -> Vec<i32> {
        let printed = self.wait_for("Ctrl-C ends all three");
        let rows = printed.lines().filter(|line| line.trim_start().starts_with("node ") && line.contains(" pid "));
        let pid = |row: &str| row.split_once(" pid ")?.1.split_whitespace().next()?.parse().ok();
        rows.filter_map(pid).take(3).collect()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        wait_until("the starter ends", || self.process.try_wait().unwrap())
    }
}

impl Drop for Starter {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("the starter printed:\n{}", self.printed());
        }
    }
}

/// Whether a process lives; one that has ended and was not yet waited for does not.
pub fn lives(pid: i32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|cmdline| !cmdline.is_empty())
}

/// Kills a process that somebody else started.
pub fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}
