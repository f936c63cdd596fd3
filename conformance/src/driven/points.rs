//! Where something can be done to a driver: every system call of its that changes the disk.
//!
//! `strace` counts thread by thread, so a point is the n-th call of a name by one thread. Which of them change the disk, a
//! recorded life tells; the same orders, one at a time, lead a later one by the same calls. A thread can be followed from
//! one of two moments: when the driver is ready, or, if it was born of the opening, when the store is open.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::driver::Driver;
use crate::machine::{STRACE, command};

/// What changes a disk. A file that is opened counts where that makes it.
const CALLS: &str = "write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,?rename,renameat,renameat2,?unlink,unlinkat,\
                     ?rmdir,?mkdir,mkdirat,ftruncate,fallocate,?open,openat";

/// Since when a thread is there to be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Since {
    /// The driver was ready.
    Ready,
    /// The store was open.
    Opened,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) since: Since,
    /// Which of the threads that are there since then.
    thread: usize,
    pub(super) call: String,
    nth: u64,
    /// The call as it was recorded, for a reader.
    pub(super) text: String,
}

/// A tracer at work.
#[derive(Debug)]
pub(super) struct Tracer {
    strace: Child,
    record: PathBuf,
}

/// What befalls the call at a point. The call itself does not take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The process is killed.
    Kill,
    /// The call fails.
    Fails(&'static str),
}

impl Point {
    /// Whether it writes bytes.
    pub(super) fn writes(&self) -> bool {
        self.call.contains("write")
    }

    /// Arranges for `effect` in a driver that has just come to the moment from which the thread is followed;
    /// `before` are the threads that it had at the moment before.
    pub(super) fn arrange(&self, driver: &Driver, before: &[u32], effect: Effect, record: PathBuf) -> Option<Tracer> {
        let threads: Vec<u32> = driver.threads().into_iter().filter(|thread| !before.contains(thread)).collect();
        let thread = *threads.get(self.thread)?;
        let what = match effect {
            Effect::Kill => "error=EIO:signal=KILL".to_owned(),
            Effect::Fails(errno) => format!("error={errno}"),
        };
        let mut strace = command(STRACE);
        strace.args(["-y", "-qq", "-e", "signal=none", "-e", &format!("trace={}", self.call)]);
        strace.args(["-e", &format!("inject={}:{what}:when={}", self.call, self.nth)]);
        Some(Tracer::attach(strace, &[thread], record))
    }
}

impl Tracer {
    /// Records every call of every thread that may change the disk, from now on.
    pub(super) fn record(driver: &Driver, record: PathBuf) -> Tracer {
        let mut strace = command(STRACE);
        strace.args(["-f", "-y", "-qq", "-s", "16", "-e", "signal=none", "-e", &format!("trace={CALLS}")]);
        Tracer::attach(strace, &driver.threads(), record)
    }

    /// Kills the driver as one of its threads enters its n-th data sync, which does not take place.
    pub(super) fn kill_at_sync(driver: &Driver, nth: u64, record: PathBuf) -> Tracer {
        let mut strace = command(STRACE);
        strace.args(["-f", "-qq", "-e", "signal=none", "-e", "trace=fdatasync"]);
        strace.args(["-e", &format!("inject=fdatasync:error=EIO:signal=KILL:when={nth}")]);
        Tracer::attach(strace, &driver.threads(), record)
    }

    /// When this returns, these threads are followed; the first of them stands for a process where all of its are.
    fn attach(mut strace: Command, threads: &[u32], record: PathBuf) -> Tracer {
        strace.arg("-o").arg(&record).arg("-p").arg(threads[0].to_string());
        let mut strace = strace.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let is_followed = |thread: &u32| {
            let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
            status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
        };
        while !threads.iter().all(is_followed) {
            assert!(strace.try_wait().unwrap().is_none(), "{STRACE} does not trace the threads {threads:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        Tracer { strace, record }
    }

    /// What was recorded, once what it followed has ended.
    pub(super) fn end(mut self) -> String {
        self.strace.wait().unwrap();
        fs::read_to_string(&self.record).unwrap()
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _it_may_have_ended = self.strace.kill();
        let _it_is_gone = self.strace.wait();
    }
}

/// The points of a recorded life that changed something under `place`, in order, and how many calls of threads that
/// cannot be followed did.
pub(super) fn points(record: &str, ready: &[u32], opened: &[u32], place: &Path) -> (Vec<Point>, u64) {
    let born: Vec<u32> = opened.iter().filter(|thread| !ready.contains(thread)).copied().collect();
    let mut threads: HashMap<u32, (Since, usize)> = HashMap::new();
    threads.extend(ready.iter().enumerate().map(|(at, thread)| (*thread, (Since::Ready, at))));
    threads.extend(born.iter().enumerate().map(|(at, thread)| (*thread, (Since::Opened, at))));
    let (mut found, mut out_of_reach) = (Vec::new(), 0);
    let mut counts: BTreeMap<(u32, String), u64> = BTreeMap::new();
    let mut is_open = false;
    let place = place.to_str().unwrap();
    for line in record.lines() {
        is_open |= line.contains("\"@opened");
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let (thread, call) = (thread.parse().unwrap(), call.trim_start());
        let Some((name, _)) = call.split_once('(').filter(|_| !call.starts_with('<')) else { continue };
        let who = threads.get(&thread);
        if who.is_some_and(|(since, _)| *since == Since::Opened && !is_open) {
            out_of_reach += u64::from(changes(call, place));
            continue;
        }
        let count = counts.entry((thread, name.to_owned())).or_default();
        *count += 1;
        if changes(call, place) {
            match who {
                Some((since, thread)) => found.push(Point {
                    since: *since,
                    thread: *thread,
                    call: name.to_owned(),
                    nth: *count,
                    text: call.chars().take(160).collect(),
                }),
                None => out_of_reach += 1,
            }
        }
    }
    (found, out_of_reach)
}

/// The call that failed on purpose, as a record tells it. An engine with threads of its own may have made another one there
/// than in the life that was recorded.
pub(super) fn hit(record: &str) -> Option<&str> {
    record.lines().find(|line| line.contains("(INJECTED)"))
}

/// Whether somebody must be told where this call fails: it writes to an open file below `place`, or syncs one, and it is none
/// of the `harmless`. What a directory's sync was to keep may be made good by the next.
pub(super) fn must_be_told(call: &str, place: &Path, harmless: &[&str]) -> bool {
    let name = call.split('(').next().unwrap_or_default();
    let Some(file) = open_file(call).map(Path::new).filter(|file| file.starts_with(place)) else { return false };
    let counts = name.contains("write") || (name.contains("sync") && !file.is_dir());
    counts && !harmless.iter().any(|harmless| file.ends_with(harmless))
}

/// The path behind a call's descriptor.
fn open_file(call: &str) -> Option<&str> {
    Some(call.split_once('<')?.1.split_once('>')?.0)
}

fn changes(call: &str, place: &str) -> bool {
    call.contains(place) && (!call.starts_with("open") || call.contains("O_CREAT"))
}
