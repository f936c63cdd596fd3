//! The example as its users meet it: founding, running, the first screen, redis-cli.

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
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use processes::{Client, Reply, Starter, file_node, free_base_port, init, kill, lives, wait_until};
use rustix::process::Signal;

const THREE: &str = "1=127.0.0.1:9101/127.0.0.1:9001,2=127.0.0.1:9102/127.0.0.1:9002,3=127.0.0.1:9103/127.0.0.1:9003";

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn run_briefly(data: &Path) -> Output {
    Command::new(file_node()).arg("run").arg("--data").arg(data).stdin(Stdio::null()).output().unwrap()
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn run_refuses_a_directory_that_holds_no_node_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("blank")).unwrap();
    for data in ["missing", "blank"] {
        let refused = run_briefly(&dir.path().join(data));
        assert!(!refused.status.success());
        let text = stderr(&refused);
        assert!(text.contains("holds no node") && text.contains("init --data"), "{text}");
        assert!(text.contains("disk was lost"), "{text}");
    }
    assert_eq!(names_in(dir.path()), ["blank"], "run made nothing");
}

#[test]
fn init_refuses_a_directory_that_is_initialised_and_leaves_it_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("n2");
    let made = init(&data, "2", THREE);
    assert!(made.status.success(), "{}", stderr(&made));
    let text = String::from_utf8_lossy(&made.stdout);
    assert!(text.contains("a voter whose disk was lost must not be initialised anew"), "{text}");
    let before = names_in(&data);
    let refused = init(&data, "2", THREE);
    assert!(!refused.status.success());
    assert!(stderr(&refused).contains("initialised already"), "{}", stderr(&refused));
    assert_eq!(names_in(&data), before);
    assert_eq!(names_in(dir.path()), ["n2"]);
}

#[test]
fn init_refuses_voters_that_make_no_cluster() {
    let dir = tempfile::tempdir().unwrap();
    for (id, voters, why) in [
        ("4", THREE, "does not name node 4"),
        ("1", "1=127.0.0.1:9101/127.0.0.1:9001,1=127.0.0.1:9102/127.0.0.1:9002", "an id twice"),
        ("1", "1=127.0.0.1:9101/127.0.0.1:9001,2=127.0.0.1:9101/127.0.0.1:9002", "127.0.0.1:9101 twice"),
        ("1", "1=127.0.0.1:9101", "PEER_ADDR/CLIENT_ADDR"),
        ("1", "127.0.0.1:9101/127.0.0.1:9001", "ID=PEER_ADDR/CLIENT_ADDR"),
    ] {
        let refused = init(&dir.path().join("n"), id, voters);
        assert!(!refused.status.success());
        assert!(stderr(&refused).contains(why), "{}", stderr(&refused));
    }
    assert!(names_in(dir.path()).is_empty(), "nothing is left of a refused init");
}

#[test]
fn a_kill_in_the_middle_of_init_leaves_nothing_half_made() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    assert!(init(&dir.path().join("whole"), "1", THREE).status.success());
    let whole_micros = u64::try_from(begun.elapsed().as_micros()).unwrap();
    let (mut killed_before, mut killed_after) = (0, 0);
    for attempt in 0..8 {
        let data = dir.path().join(format!("n{attempt}"));
        let mut command = Command::new(file_node());
        command.arg("init").arg("--data").arg(&data).args(["--id", "1", "--voters", THREE]);
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_micros(random.u64(0..whole_micros)));
        process.kill().unwrap();
        process.wait().unwrap();
        // Either all of it is there, and a second init refuses it, or nothing is, and a second init makes it.
        let complete = data.exists();
        let second = init(&data, "1", THREE);
        assert_eq!(second.status.success(), !complete, "{}", stderr(&second));
        *(if complete { &mut killed_after } else { &mut killed_before }) += 1;
        assert!(names_in(dir.path()).iter().all(|name| !name.contains(".init-")), "a workshop was left behind");
    }
    println!("{killed_before} killed before the node was there, {killed_after} after");
}

#[test]
fn what_a_killed_init_left_whole_runs() {
    let dir = tempfile::tempdir().unwrap();
    let base = free_base_port();
    let voters = format!("1=127.0.0.1:{}/127.0.0.1:{base}", base + 100);
    assert!(init(&dir.path().join("n1"), "1", &voters).status.success());
    let mut process = Command::new(file_node()).arg("run").arg("--data").arg(dir.path().join("n1")).spawn().unwrap();
    let mut client = leader_at(&format!("127.0.0.1:{base}"));
    assert_eq!(client.call(&["SET", "k", "v"]).unwrap(), Reply::Status("OK".into()));
    kill_process_with(&process, Signal::TERM);
    assert!(process.wait().unwrap().success(), "a node that is told to end, ends in order");
}

fn kill_process_with(process: &std::process::Child, signal: Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(process), signal).unwrap();
}

/// A cluster of one, run by a line of shell that finds its command in `"$@"`; it ends with its standard input.
struct Shelled {
    address: String,
    shell: std::process::Child,
}

fn node_under_shell(dir: &Path, line: &str) -> Shelled {
    let (base, data) = (free_base_port(), dir.join("n1"));
    assert!(init(&data, "1", &format!("1=127.0.0.1:{}/127.0.0.1:{base}", base + 100)).status.success());
    let mut shell = Command::new("sh");
    shell.args(["-c", line, "sh"]).arg(file_node()).args(["run", "--until-stdin-closes", "--data"]).arg(data);
    let shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let node = Shelled { address: format!("127.0.0.1:{base}"), shell };
    drop(leader_at(&node.address));
    node
}

impl Drop for Shelled {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// A connection to a node that serves reads and writes, once it does.
fn leader_at(address: &str) -> Client {
    wait_until("the node leads", || {
        let mut client = Client::connect(address, Duration::from_secs(5)).ok()?;
        matches!(client.call(&["DBSIZE"]), Ok(Reply::Integer(_))).then_some(client)
    })
}

/// A connection to whichever of the three leads.
fn leader_of_three(base: u16) -> Client {
    wait_until("a leader", || {
        (base..base + 3).find_map(|port| {
            let mut client = Client::connect(&format!("127.0.0.1:{port}"), Duration::from_secs(5)).ok()?;
            matches!(client.call(&["DBSIZE"]), Ok(Reply::Integer(_))).then_some(client)
        })
    })
}

#[test]
fn the_starter_founds_a_cluster_finds_it_again_and_no_node_outlives_it() {
    let dir = tempfile::tempdir().unwrap();
    let base = free_base_port();

    let mut starter = Starter::start(dir.path(), base);
    let pids = starter.pids();
    assert_eq!(pids.len(), 3);
    assert!(starter.printed().contains("founded now"));
    let mut client = leader_of_three(base);
    assert_eq!(client.call(&["SET", "greeting", "hello"]).unwrap(), Reply::Status("OK".into()));
    starter.signal(Signal::KILL);
    starter.ended();
    wait_until("the nodes of a killed starter end", || pids.iter().all(|pid| !lives(*pid)).then_some(()));

    let mut starter = Starter::start(dir.path(), base);
    let pids = starter.pids();
    assert!(starter.printed().contains("found again"));
    let mut client = leader_of_three(base);
    assert_eq!(client.call(&["GET", "greeting"]).unwrap(), Reply::Bulk("hello".into()));
    starter.signal(Signal::INT);
    assert!(starter.ended().success());
    assert!(pids.iter().all(|pid| !lives(*pid)), "Ctrl-C ends all three before the starter");
}

#[test]
fn the_starter_reports_a_killed_node_and_the_command_it_prints_brings_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let base = free_base_port();
    let mut starter = Starter::start(dir.path(), base);
    let pids = starter.pids();
    kill(pids[1]);
    let printed = starter.wait_for("node 2 (pid");
    let command = wait_until("the command that brings it back", || {
        let printed = starter.printed();
        let after = printed.split_once(&format!("node 2 (pid {})", pids[1]))?.1;
        after.lines().nth(1).map(|line| line.trim().to_owned()).filter(|line| line.ends_with("data/n2"))
    });
    assert!(printed.contains("signal: 9"), "{printed}");
    assert!(pids.iter().all(|pid| lives(*pid) == (*pid != pids[1])), "the starter brings nobody back by itself");
    let words: Vec<_> = command.split_whitespace().collect();
    let mut back = Command::new(words[0]).args(&words[1..]).current_dir(dir.path()).spawn().unwrap();
    starter.wait_for("node 2 is back");
    starter.signal(Signal::INT);
    assert!(starter.ended().success());
    let ended = wait_until("the node that was brought back by hand ends", || back.try_wait().unwrap());
    assert!(ended.success(), "Ctrl-C ends all three, also one that was brought back by hand");
}

#[test]
fn clients_without_end_leave_the_store_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let node = node_under_shell(dir.path(), "ulimit -n 160; exec \"$@\"");
    let mut idle: Vec<_> = (0..160).map(|_| Client::connect(&node.address, Duration::from_secs(30)).unwrap()).collect();
    // One more than there are files: it can be told so only if there is a file left to tell it by.
    assert_eq!(idle[159].reply().unwrap(), Reply::Error("ERR max number of clients reached".into()));
    assert_eq!(idle[0].call(&["SET", "a", "1"]).unwrap(), Reply::Status("OK".into()));
}

#[test]
fn a_node_lives_on_when_nobody_reads_its_log_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let node = node_under_shell(dir.path(), "export ERAFT_LOG=trace; \"$@\" 2>&1 | head -c 1 >&2");
    let mut client = leader_at(&node.address);
    assert_eq!(client.call(&["SET", "a", "1"]).unwrap(), Reply::Status("OK".into()));
}

#[test]
fn the_starter_says_which_port_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let base = free_base_port();
    let _held = std::net::TcpListener::bind(("127.0.0.1", base + 1)).unwrap();
    let mut starter = Starter::start(dir.path(), base);
    assert!(!starter.ended().success());
    let printed = starter.printed();
    assert!(printed.contains(&format!("127.0.0.1:{}", base + 1)) && printed.contains("--base-port"), "{printed}");
    assert!(!dir.path().join("data").exists(), "nothing was founded");
}
