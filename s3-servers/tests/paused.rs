//! A process that is stopped at any moment, and goes on when a copy of its directory has taken the folder: it removes nothing that its
//! successor wrote, and ends knowing why.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    unreachable_pub,
    reason = "tests of real processes"
)]

#[path = "../examples/rival/store.rs"]
mod store;

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use eraft_conformance::machine;
use eraft_core::{ClusterId, NodeId, Storage as _};
use eraft_s3_servers::{Access, moto::Moto, stand_in::StandIn};
use eraft_storage_file::FileStorage;
use eraft_storage_s3::{S3Options, SnapshotCondition, list_snapshots};
use futures_util::TryStreamExt as _;
use object_store::ObjectStore as _;
use rustix::process::{Pid, Signal, kill_process};
use store::{content, go_on, open};

/// The program, beside this test's own.
fn rival() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let rival = own.parent().unwrap().parent().unwrap().join("examples/rival");
    assert!(
        rival.exists(),
        "a whole `cargo test` builds it, and so does: cargo build -p eraft-s3-servers --example rival"
    );
    rival
}

struct Rival {
    process: Child,
    said: std::io::Lines<BufReader<ChildStdout>>,
}

impl Rival {
    fn start(dir: &Path, access: &Access, prefix: &str) -> Rival {
        let Access { endpoint, bucket, region, access_key, secret_key } = access;
        let mut command = Command::new(rival());
        command.arg(dir).args([prefix, endpoint, bucket, region, access_key, secret_key]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap()).lines();
        Rival { process, said }
    }

    /// Stops it, and waits until each of its threads has met the signal.
    fn stop(&self) {
        self.send(Signal::STOP);
        let has_stopped = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("stat"));
            // One that has just ended does nothing more, either.
            let Some(state) = stat.as_ref().map_or(Some(" T"), |stat| stat.rsplit(')').next()) else { return false };
            assert!(!state.starts_with(" Z"), "the rival has ended by itself");
            state.starts_with(" T")
        };
        let tasks = format!("/proc/{}/task", self.process.id());
        while !std::fs::read_dir(&tasks).unwrap().all(has_stopped) {
            std::thread::yield_now();
        }
    }

    fn send(&self, signal: Signal) {
        let process = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(process, signal).unwrap();
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        let _it_has_ended = self.process.kill();
        let _how = self.process.wait();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

/// The names of all that the second owner of the folder wrote.
async fn of_the_successor(access: &Access, prefix: &str) -> BTreeSet<String> {
    let listed = access.client().list(Some(&prefix.into()));
    let names = listed.map_ok(|object| object.location.to_string());
    names.try_filter(|name| std::future::ready(name.contains("/2/"))).try_collect().await.unwrap()
}

/// Stops the rival `after` a while, lets a copy of it go on, and continues it.
async fn race(access: &Access, prefix: &str, after: Duration) {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    FileStorage::create(&first, ClusterId(7), NodeId(1)).unwrap();
    let mut rival = Rival::start(&first, access, prefix);
    for _ in 0..3 {
        rival.said.next().expect("it ended too early").unwrap();
    }
    std::thread::sleep(after);
    rival.stop();

    copy(&first, &second);
    let successor = open(&second, access, prefix).await.unwrap();
    let mut last = 0;
    for _ in 0..3 {
        last = go_on(&successor).await.unwrap();
    }
    let written = of_the_successor(access, prefix).await;
    assert!(written.len() >= 4, "two snapshots are kept: {written:?}");

    rival.send(Signal::CONT);
    let said: Vec<String> = rival.said.by_ref().map(Result::unwrap).collect();
    assert!(rival.process.wait().unwrap().success(), "{said:?}");
    let why = said.last().unwrap();
    assert!(why.starts_with("Poisoned") && why.contains("/owner"), "{why}");

    let there = of_the_successor(access, prefix).await;
    assert!(written.is_subset(&there), "of {written:?} only {there:?} is left");
    let read = successor.read_snapshot().await.unwrap().unwrap().read_all().await.unwrap();
    assert_eq!(read, content(last).as_bytes());
    // Stopped between an object and its manifest, the rival has described what was collected meanwhile: nothing here is kept
    // for its age. That goes with what nobody needs.
    go_on(&successor).await.unwrap();
    let options = S3Options { prefix: prefix.to_owned(), ..S3Options::default() };
    for found in list_snapshots(Arc::new(access.client()), &options).await.unwrap() {
        assert!(matches!(found.condition, SnapshotCondition::Complete { .. }), "{found:?}");
    }
    successor.close().await.unwrap();
}

async fn races(access: &Access) {
    let rounds = if std::env::var("ERAFT_LONG").is_ok_and(|long| long == "1") { 200 } else { 8 };
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..rounds {
        let prefix = format!("paused-{}/{round}", std::process::id());
        race(access, &prefix, Duration::from_micros(random.u64(..40_000))).await;
    }
    println!("{rounds} processes were stopped at any moment, and removed nothing of their successors");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_stopped_removes_nothing_of_its_successor_on_the_stand_in() {
    let directory = tempfile::tempdir().unwrap();
    let server = StandIn::start(directory.path()).unwrap();
    races(server.access()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_stopped_removes_nothing_of_its_successor_on_moto() {
    if let Err(reason) = Moto::interpreter() {
        return machine::skip("a_process_that_was_stopped_removes_nothing_of_its_successor_on_moto", "moto", &reason);
    }
    races(Moto::start().unwrap().access()).await;
}
