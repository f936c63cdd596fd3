//! System calls that fail: `strace` injects an error, or a signal, into a process that knows nothing of it.
//!
//! A call that is made to fail does not take place. `strace` counts calls thread by thread, so "the first" is that of the
//! first thread that makes one, and until it is detached another thread may meet a first of its own.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs::DirEntry,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

use super::{command, run};

/// The name of what a machine must offer for it.
pub const STRACE: &str = "strace";

/// What befalls the calls of a process, and which.
#[derive(Clone, Debug)]
pub struct Fault<'a> {
    /// The calls that count, such as `fdatasync`.
    pub calls: &'a [&'a str],
    /// What happens to them, in `strace`'s words: `error=EIO:when=1`.
    pub effect: &'a str,
    /// Only calls on these files, named as the process sees them; empty for all.
    pub paths: &'a [PathBuf],
}

/// A fault that a running process has been given.
#[derive(Debug)]
pub struct Injection {
    strace: Child,
    told: Arc<Told>,
    listener: Option<JoinHandle<()>>,
}

/// What `strace` has said.
#[derive(Debug, Default)]
struct Told {
    /// Every thread that it found was told to stop. One that it has, and has not stopped yet, may make a call that it does
    /// not see.
    attached: AtomicBool,
    /// A call has failed.
    fired: AtomicBool,
}

/// Whether faults can be given to processes here: found out once, on a process that does nothing. A container may have
/// the program and forbid what it does.
///
/// # Errors
/// What is missing.
pub fn can_trace() -> Result<(), String> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    FOUND.get_or_init(trace_an_idle_process).clone()
}

fn trace_an_idle_process() -> Result<(), String> {
    run(STRACE, ["-V"])?;
    // It ends with its input.
    let mut idle = command("cat").stdin(Stdio::piped()).spawn().map_err(|error| format!("cat: {error}"))?;
    let fault = Fault { calls: &["write"], effect: "error=EIO:when=1", paths: &[] };
    let outcome = fault.attach(idle.id()).map(|injection| _ = injection.detach());
    drop(idle.stdin.take());
    idle.wait().map_err(|error| format!("cat: {error}"))?;
    outcome
}

impl Fault<'_> {
    fn strace(&self) -> Command {
        let calls = self.calls.join(",");
        let mut strace = command(STRACE);
        strace.args(["-f", "-y", "-e", "signal=none", "-e", &format!("trace={calls}")]);
        strace.args(["-e", &format!("inject={calls}:{}", self.effect)]);
        for path in self.paths {
            strace.arg("-P").arg(path);
        }
        strace
    }

    /// A command that starts `program` with the fault.
    pub fn starting(&self, program: impl AsRef<OsStr>) -> Command {
        let mut strace = self.strace();
        strace.args(["-qq", "-o", "/dev/null"]).arg(program);
        strace
    }

    /// Gives the fault to a process that runs; when this returns, every thread of it has it, or it has fired. It is taken
    /// back when it has fired once.
    ///
    /// # Errors
    /// `strace` is not there, or may not trace the process, or does not find all threads of it within a minute.
    pub fn attach(&self, process: u32) -> Result<Injection, String> {
        let started = Instant::now();
        let mut patience = Duration::from_secs(1);
        loop {
            let mut injection = self.start(process)?;
            if injection.has_all_of(process, patience)? {
                return Ok(injection);
            }
            if started.elapsed() > Duration::from_secs(60) {
                return Err(format!("{STRACE} does not find every thread of process {process}"));
            }
            // `strace` reads the list of threads once. One that was made meanwhile, by one that it did not have yet, it
            // never has: another look finds it.
            injection.end();
            if injection.has_fired() {
                return Ok(injection);
            }
            patience *= 2;
        }
    }

    fn start(&self, process: u32) -> Result<Injection, String> {
        let mut strace = self.strace();
        strace.arg("-p").arg(process.to_string()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut strace = strace.spawn().map_err(|error| format!("{STRACE}: {error}"))?;
        let said = strace.stderr.take().ok_or("strace has no output")?;
        let (pid, told) = (pid_of(&strace), Arc::new(Told::default()));
        let listener = std::thread::spawn({
            let told = told.clone();
            move || listen(said, pid, &told)
        });
        Ok(Injection { strace, told, listener: Some(listener) })
    }
}

impl Injection {
    /// Whether a call has failed of it.
    pub fn has_fired(&self) -> bool {
        self.told.fired.load(Ordering::SeqCst)
    }

    /// Takes the fault back; when this returns, the process is its own again. Whether a call has failed of it.
    pub fn detach(mut self) -> bool {
        self.end();
        self.has_fired()
    }

    /// Whether every thread of the process is traced before `patience` is over.
    fn has_all_of(&mut self, process: u32, patience: Duration) -> Result<bool, String> {
        let started = Instant::now();
        while !(self.told.attached.load(Ordering::SeqCst) && is_traced(process)) {
            let ended = self.strace.try_wait().map_err(|error| format!("{STRACE}: {error}"))?;
            if self.has_fired() {
                return Ok(true);
            }
            if let Some(status) = ended {
                return Err(format!("{STRACE} does not trace process {process}: {status}"));
            }
            if started.elapsed() > patience {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(true)
    }

    fn end(&mut self) {
        if let Some(listener) = self.listener.take() {
            interrupt(pid_of(&self.strace));
            let _panic_of_a_reader = listener.join();
            let _how_it_ended = self.strace.wait();
        }
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads what `strace` says until it ends, and asks it to end once it has done its work.
fn listen(said: ChildStderr, strace: Option<Pid>, told: &Told) {
    for line in BufReader::new(said).lines().map_while(Result::ok) {
        if line.contains(": Process ") && line.contains(" attached") {
            told.attached.store(true, Ordering::SeqCst);
        }
        if line.contains("(INJECTED)") && !told.fired.swap(true, Ordering::SeqCst) {
            interrupt(strace);
        }
    }
}

/// Until it is waited for its number cannot be another's.
fn pid_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

fn interrupt(process: Option<Pid>) {
    if let Some(process) = process {
        let _it_has_ended = rustix::process::kill_process(process, Signal::INT);
    }
}

/// Whether every thread of the process is traced: at two looks, since one that was not yet may have made another behind the first.
fn is_traced(process: u32) -> bool {
    let looks = [(); 2].map(|()| all_traced(process));
    matches!(looks, [Some(first), Some(second)] if first == second)
}

/// The threads of the process, if all of them are traced.
fn all_traced(process: u32) -> Option<BTreeSet<OsString>> {
    let threads = std::fs::read_dir(Path::new("/proc").join(process.to_string()).join("task")).ok()?;
    let is_traced = |thread: &DirEntry| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
    };
    threads.flatten().map(|thread| is_traced(&thread).then(|| thread.file_name())).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::machine::skip;

    #[test]
    fn the_next_write_of_a_running_process_fails_once() {
        if let Err(reason) = can_trace() {
            return skip("the_next_write_of_a_running_process_fails_once", STRACE, &reason);
        }
        // A shell that writes what it reads, and tells by its own words which write failed.
        let script =
            "while read line; do echo \"$line\" 2>/dev/null || failed=$line; done; echo \"failed: $failed\" >&2";
        let mut shell = command("sh");
        shell.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let (mut asked, mut answers) = (shell.stdin.take().unwrap(), BufReader::new(shell.stdout.take().unwrap()));
        let mut say = |line: &str| std::io::Write::write_all(&mut asked, line.as_bytes()).unwrap();
        let mut answer = String::new();
        say("one\n");
        answers.read_line(&mut answer).unwrap();
        let fault = Fault { calls: &["write"], effect: "error=ENOSPC:when=1", paths: &[] };
        let injection = fault.attach(shell.id()).unwrap();
        say("two\n");
        let said = Instant::now();
        while !injection.has_fired() {
            assert!(said.elapsed() < Duration::from_secs(60), "the write has not failed");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(injection.detach(), "it had fired");
        say("three\n");
        drop(asked);
        let (mut rest, mut failed) = (String::new(), String::new());
        answers.read_to_string(&mut rest).unwrap();
        shell.stderr.take().unwrap().read_to_string(&mut failed).unwrap();
        shell.wait().unwrap();
        assert_eq!((answer.as_str(), rest.trim(), failed.trim()), ("one\n", "three", "failed: two"));
    }

    #[test]
    fn a_process_that_is_gone_cannot_be_traced() {
        if let Err(reason) = can_trace() {
            return skip("a_process_that_is_gone_cannot_be_traced", STRACE, &reason);
        }
        let mut gone = command("true").spawn().unwrap();
        let process = gone.id();
        gone.wait().unwrap();
        let fault = Fault { calls: &["write"], effect: "error=EIO:when=1", paths: &[] };
        assert!(fault.attach(process).is_err());
    }
}
