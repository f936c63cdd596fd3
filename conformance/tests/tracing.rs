//! A process that gives a fault to itself, while it makes threads. Alone in its process: whatever is started meanwhile would be
//! traced, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests of real processes")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use eraft_conformance::machine::{Fault, STRACE, can_trace, skip};

/// As many as stay at once.
const THREADS: usize = 100;

#[test]
fn every_thread_of_a_process_that_makes_threads_has_the_fault() {
    if let Err(reason) = can_trace() {
        return skip("every_thread_of_a_process_that_makes_threads_has_the_fault", STRACE, &reason);
    }
    // A tracer that is taken for whole too early may never let go.
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        give_faults();
        tell.send(())
    });
    told.recv_timeout(Duration::from_secs(250)).expect("all rounds end, each with every thread traced");
}

fn give_faults() {
    for round in 0..10 {
        let enough = Arc::new(AtomicBool::new(false));
        let first = thread::spawn({
            let enough = enough.clone();
            move || make(THREADS, &enough)
        });
        let fault = Fault { calls: &["fdatasync"], effect: "error=EIO:when=1", paths: &[] };
        let injection = fault.attach(std::process::id()).unwrap();
        let untraced = untraced();
        enough.store(true, Ordering::SeqCst);
        first.join().unwrap();
        assert_eq!(untraced, 0, "round {round}");
        assert!(!injection.detach(), "nothing was synced");
    }
}

/// Threads that stay, made one by another while `strace` reads the list of them.
fn make(left: usize, enough: &Arc<AtomicBool>) {
    let next = (left > 0 && !enough.load(Ordering::SeqCst)).then(|| {
        let enough = enough.clone();
        thread::spawn(move || make(left - 1, &enough))
    });
    while !enough.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(20));
    }
    if let Some(next) = next {
        next.join().unwrap();
    }
}

/// How many of this process's threads nobody traces.
fn untraced() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(Result::unwrap);
    let statuses = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("status")).ok());
    statuses.filter(|status| status.lines().any(|line| line == "TracerPid:\t0")).count()
}
