//! Every disk is gone, and the bucket is not: what it holds, and a cluster that begins from it, by the program's own
//! subcommands and real processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test of real processes: real time, threads and files"
)]

mod on_a_bucket;
#[path = "../../../tests/processes/mod.rs"]
mod processes;

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use eraft_s3_node::{KEYS, NAME};
use on_a_bucket::{Bucket, on_a_bucket};
use processes::{AtLeader, Client, Node, Program, Reply, free_base_port, wait_until};

const PATIENCE: Duration = Duration::from_secs(10);
const MAX_LOG_BYTES: u64 = 100_000;
const WRITES: usize = 3_000;
const AT_ONCE: usize = 100;

fn key(write: usize) -> String {
    format!("k{write}")
}

fn value(write: usize) -> String {
    format!("{write} {}", "v".repeat(250))
}

/// One key a write, so that what is there says after which write a snapshot was taken. Whether all were acknowledged.
fn write(client: &mut Client, writes: std::ops::Range<usize>) -> bool {
    let commands: Vec<_> = writes.map(|write| ["SET".to_owned(), key(write), value(write)]).collect();
    for batch in commands.chunks(AT_ONCE) {
        let words: Vec<Vec<&str>> = batch.iter().map(|command| command.iter().map(String::as_str).collect()).collect();
        let sent = client.send(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
        if sent.is_err() || !batch.iter().all(|_| client.reply().is_ok_and(|reply| reply == Reply::Status("OK".into())))
        {
            return false;
        }
    }
    true
}

/// How many writes are there: all of them up to some one, each with its value, and none behind.
fn writes_there(client: &mut Client) -> usize {
    let mut there = Vec::new();
    for write in 0..WRITES {
        match client.call(&["GET", &key(write)]).unwrap() {
            Reply::Nil => there.push(false),
            reply => {
                assert_eq!(reply, Reply::Bulk(value(write)));
                there.push(true);
            }
        }
    }
    let count = there.iter().filter(|there| **there).count();
    assert!(there[..count].iter().all(|there| *there), "a write is missing, and a later one is there");
    count
}

fn s3_node(arguments: &[&str]) -> Output {
    Command::new(Program::S3Node.path()).args(arguments).envs(KEYS).output().unwrap()
}

/// With all that says where the bucket is.
fn on<'a>(bucket: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &["--bucket", NAME, "--endpoint", bucket, "--allow-http"]].concat()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn succeeds(arguments: &[&str]) -> String {
    let output = s3_node(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    said(&output)
}

fn refused(arguments: &[&str]) -> String {
    let output = s3_node(arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", said(&output));
    assert!(!said(&output).contains("panicked"), "{}", said(&output));
    said(&output)
}

/// A restored node that runs and leads.
fn started(bucket: &str, data: &Path, client: &str) -> Node {
    let mut node = Node::in_place(Program::S3Node, data.to_owned(), 1, client.to_owned());
    node.flags = on(bucket, &["--max-log-bytes", "100000"]).into_iter().map(str::to_owned).collect();
    node.starter = vec!["env".to_owned()];
    node.starter.extend(KEYS.map(|(name, value)| format!("{name}={value}")));
    node.start();
    wait_until("the restored node leads", || node.info("role").filter(|role| role == "leader"));
    node
}

/// The manifests in a bucket, the newest first.
fn manifests(bucket: &Bucket) -> Vec<PathBuf> {
    fn below(dir: &Path, found: &mut Vec<PathBuf>) {
        // A folder that has become empty goes with its last object.
        for entry in fs::read_dir(dir).into_iter().flatten().map(Result::unwrap) {
            if entry.path().is_dir() {
                below(&entry.path(), found);
            } else if entry.path().extension().is_some_and(|extension| extension == "manifest") {
                found.push(entry.path());
            }
        }
    }
    let mut found = Vec::new();
    below(&bucket.directory.join(NAME), &mut found);
    found.sort_by_key(|path| std::cmp::Reverse(term_index(path)));
    found
}

fn term_index(manifest: &Path) -> (u64, u64) {
    let name = manifest.file_name().unwrap().to_str().unwrap();
    let numbers: Vec<_> = name.split('-').take(2).map(|number| number.parse().unwrap()).collect();
    (numbers[0], numbers[1])
}

/// What is left of a cluster that took several snapshots of its writes, and lost every disk.
fn lost_cluster(dir: &Path) -> Bucket {
    let (bucket, mut trio) = on_a_bucket(dir, MAX_LOG_BYTES);
    trio.start();
    // Of several nodes each, which may be of the same entries.
    let entries = || manifests(&bucket).iter().map(|path| term_index(path)).collect::<BTreeSet<_>>().len();
    let mut client = AtLeader::of(&trio);
    for from in (0..WRITES).step_by(500) {
        let (before, begun) = (entries(), Instant::now());
        client.until("writes", |client| write(client, from..from + 500).then_some(()));
        // What follows at once would be taken together with this.
        while entries() == before && begun.elapsed() < Duration::from_secs(3) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    wait_until("there are several", || {
        if entries() >= 4 {
            return Some(());
        }
        client.until("writes", |client| write(client, WRITES - 500..WRITES).then_some(()));
        None
    });
    trio.nodes.iter_mut().for_each(Node::kill);
    trio.nodes.iter().for_each(|node| fs::remove_dir_all(&node.data).unwrap());
    bucket
}

/// Takes the objects of all snapshots of the newest entry away, and half of every manifest of the entry before it: how many
/// these are.
fn make_useless(manifests: &[PathBuf]) -> [usize; 2] {
    let newest = term_index(&manifests[0]);
    let (lost, others): (Vec<_>, Vec<_>) = manifests.iter().partition(|path| term_index(path) == newest);
    let cut: Vec<_> = others.iter().filter(|path| term_index(path) == term_index(others[0])).collect();
    for path in &lost {
        fs::remove_file(path.with_extension("")).unwrap();
    }
    for path in &cut {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }
    [lost.len(), cut.len()]
}

fn serves_again(address: &str) {
    wait_until("it serves again", || {
        Client::connect(address, PATIENCE)
            .ok()?
            .call(&["GET", "k0"])
            .ok()
            .filter(|reply| *reply == Reply::Bulk(value(0)))
    });
}

fn two_clusters(bucket: &Bucket) {
    let own = fs::read_dir(bucket.directory.join(NAME))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir());
    assert_eq!(own.count(), 2, "two clusters");
}

#[test]
fn a_cluster_whose_disks_are_all_gone_comes_back_from_its_bucket_at_its_newest_whole_snapshot_or_at_a_chosen_one() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = lost_cluster(dir.path());
    let url = format!("http://{}", bucket.address);
    let before = manifests(&bucket);
    let listed = succeeds(&on(&url, &["list"]));
    assert_eq!(listed.lines().filter(|line| line.contains("complete, ")).count(), before.len(), "{listed}");

    let [lost, cut] = make_useless(&before);
    let listed = succeeds(&on(&url, &["list"]));
    let told = ["INCOMPLETE: ", "DAMAGED: ", "complete, "].map(|what| listed.matches(what).count());
    assert_eq!(told, [lost, cut, before.len() - lost - cut], "{listed}");

    let (data, port) = (dir.path().join("restored"), free_base_port());
    let at = |nth: u16| {
        (format!("127.0.0.1:{}", port + nth), format!("1=127.0.0.1:{}/127.0.0.1:{}", port + 100 + nth, port + nth))
    };
    let (address, voter) = at(0);
    let begun = Instant::now();
    let printed = succeeds(&on(&url, &["restore", "--data", data.to_str().unwrap(), "--voter", &voter]));
    let took = begun.elapsed();
    let whole = term_index(&before[lost + cut]);
    assert!(printed.contains(&format!("the snapshot at {}-{} ", whole.0, whole.1)), "{printed}");
    assert!(printed.contains("run it:") && printed.contains("--endpoint"), "{printed}");
    let mut node = started(&url, &data, &address);
    let mut client = Client::connect(&address, PATIENCE).unwrap();
    let newest = writes_there(&mut client);
    println!("{newest} of {WRITES} keys were in the newest whole snapshot; restored in {took:?}");
    // Each key is an entry of its own, and several were written twice where the leader changed.
    assert!(newest > 0 && newest as u64 <= whole.1, "{newest} keys in a snapshot of {} entries", whole.1);

    // It goes on, in a folder of its own, and is found again.
    assert!(write(&mut client, newest..WRITES));
    // All of them once more, or the log might stay too short for a snapshot.
    assert!(write(&mut client, 0..WRITES));
    wait_until("it takes a snapshot", || node.number("snapshots_taken").filter(|taken| *taken > 0));
    two_clusters(&bucket);
    node.kill();
    node.start();
    serves_again(&address);
    assert_eq!(writes_there(&mut Client::connect(&address, PATIENCE).unwrap()), WRITES);

    // Two clusters are there now, and their indexes say nothing about each other.
    let (older, (address, voter)) = (dir.path().join("older"), at(1));
    let older = older.to_str().unwrap();
    let ambiguous = refused(&on(&url, &["restore", "--data", older, "--voter", &voter]));
    assert!(ambiguous.contains("complete snapshots are there of cluster"), "{ambiguous}");
    let cluster = listed.lines().nth(1).unwrap().split_whitespace().next().unwrap();
    let [oldest, lost] = [before.last().unwrap(), &before[0]].map(|manifest| {
        let (term, index) = term_index(manifest);
        format!("{term}-{index}")
    });
    let here = ["restore", "--data", older, "--voter", &voter, "--cluster", cluster, "--at"];
    let why = refused(&on(&url, &[&here[..], &[&lost]].concat()));
    assert!(why.contains("that fit is complete") && !Path::new(older).exists(), "{why}");
    succeeds(&on(&url, &[&here[..], &[&oldest]].concat()));
    let _node = started(&url, Path::new(older), &address);
    let early = writes_there(&mut Client::connect(&address, PATIENCE).unwrap());
    assert!(0 < early && early < newest, "{early} of {newest}");

    let again = refused(&on(&url, &["restore", "--data", older, "--voter", &voter, "--cluster", cluster]));
    assert!(again.contains("new directory"), "{again}");
}

#[test]
fn a_restoration_that_is_killed_leaves_no_directory_and_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let data = dir.path().join("new");
    let arguments = ["restore", "--data", data.to_str().unwrap(), "--voter", "1=127.0.0.1:9/127.0.0.1:8"];
    let mut killed = Command::new(Program::S3Node.path()).args(on(&url, &arguments)).envs(KEYS).spawn().unwrap();
    let workshops = || fs::read_dir(dir.path()).unwrap().count();
    wait_until("it has begun", || (workshops() == 1).then_some(()));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(workshops() == 1 && !data.exists(), "it was killed on its way");
    let bucket = Bucket::new(dir.path().join("bucket"), free_base_port());
    let url = format!("http://{}", bucket.address);
    let why = refused(&on(&url, &arguments));
    assert!(why.contains("NotInitialised"), "nothing is there to restore from, and the directory is free: {why}");
    assert_eq!(workshops(), 1, "the bucket's own directory alone");
}

#[test]
fn a_bucket_without_a_snapshot_says_so_and_nothing_is_made_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket::new(dir.path().join("bucket"), free_base_port());
    let url = format!("http://{}", bucket.address);
    let listed = succeeds(&on(&url, &["list", "--prefix", "nobody"]));
    assert!(listed.contains("no snapshot is in bucket") && listed.contains("nobody"), "{listed}");
    let data = dir.path().join("new");
    let why =
        refused(&on(&url, &["restore", "--data", data.to_str().unwrap(), "--voter", "1=127.0.0.1:9/127.0.0.1:8"]));
    assert!(why.contains("NotInitialised") && why.contains("none of the 0 snapshots"), "{why}");
    assert!(!data.exists() && fs::read_dir(dir.path()).unwrap().count() == 1, "a workshop is left");
    let why = refused(&on(&url, &["restore", "--data", "x", "--voter", "1=127.0.0.1:9/127.0.0.1:8", "--at", "7"]));
    assert!(why.contains("TERM-INDEX"), "{why}");
}
