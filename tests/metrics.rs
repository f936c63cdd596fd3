//! Metrics as whoever scrapes them sees them: every name documented, and real nodes that tell the truth.

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
    reason = "a test of real processes, which uses a part of what the others share: real time, threads and files"
)]

mod processes;
mod scrape;

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
};

use processes::{AtLeader, Trio, file_node, free_base_port, init, wait_until};
use scrape::{Samples, get};

/// The section of the manual that lists the metrics.
fn documented() -> String {
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/OPERATING.md")).unwrap();
    let section = manual.split("\n## ").find(|section| section.starts_with("Metrics\n"));
    section.expect("docs/OPERATING.md has a section `## Metrics`").to_owned()
}

/// What stands in backquotes at the beginning of the manual's rows.
fn documented_names() -> BTreeSet<String> {
    let name = |row: &str| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    documented().lines().filter_map(name).filter(|name| name.starts_with("eraft_")).collect()
}

#[test]
fn the_manual_has_a_row_for_every_metric_and_for_no_other() {
    let metrics = eraft::metrics();
    let row = |metric: &eraft::Metric| {
        let (kind, unit) = (format!("{:?}", metric.kind).to_lowercase(), metric.unit.as_str());
        format!("| `{}` | {kind} | {unit} | {} |", metric.name, metric.help)
    };
    let rows: Vec<_> = metrics.iter().map(row).collect();
    let section = documented();
    let missing: Vec<_> = rows.iter().filter(|row| !section.lines().any(|line| line == **row)).collect();
    assert!(missing.is_empty(), "the section lacks these rows; it should have:\n{}", rows.join("\n"));
    let names: BTreeSet<_> = metrics.iter().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(names.len(), metrics.len(), "a name stands in two tables");
    let of_this_build = |name: &String| {
        (cfg!(feature = "rocksdb") || !name.starts_with("eraft_rocksdb_"))
            && (cfg!(feature = "s3") || !name.starts_with("eraft_s3_"))
    };
    let documented: BTreeSet<_> = documented_names().into_iter().filter(of_this_build).collect();
    assert_eq!(documented, names, "the section has rows for metrics that nothing tells");
}

#[test]
fn names_say_unit_and_kind() {
    for metric in eraft::metrics() {
        let (name, unit) = (metric.name, metric.unit.as_str());
        let area = ["eraft_raft_", "eraft_storage_", "eraft_rocksdb_", "eraft_s3_", "eraft_transport_"]
            .iter()
            .any(|area| name.starts_with(area));
        assert!(area, "{name}: whose is it?");
        let counts = format!("{:?}", metric.kind) == "Counter";
        assert_eq!(name.ends_with("_total"), counts, "{name}: `_total` says that it is a counter");
        for (word, named) in [("seconds", "_seconds"), ("bytes", "_bytes")] {
            let base = name.trim_end_matches("_total");
            assert_eq!(base.ends_with(named), unit == word, "{name}: its unit is {unit}");
        }
    }
}

/// Three nodes, each with its pages at a port of its own.
fn watched(dir: &Path) -> (Trio, Vec<String>) {
    let (mut trio, base) = (Trio::found(dir), free_base_port());
    let pages: Vec<_> = (0..3).map(|place| format!("127.0.0.1:{}", base + place)).collect();
    for (node, page) in trio.nodes.iter_mut().zip(&pages) {
        node.flags = vec!["--metrics".to_owned(), page.clone()];
    }
    trio.start();
    (trio, pages)
}

fn scrape(pages: &[String]) -> Vec<Samples> {
    pages.iter().map(|page| Samples::read(&get(page, "/metrics").unwrap())).collect()
}

fn set(trio: &Trio, keys: u32) {
    let mut client = AtLeader::of(trio);
    for key in 0..keys {
        client.call(&["SET", &format!("key{key}"), "value"]);
    }
}

#[test]
fn three_nodes_tell_of_one_leader_of_the_same_commit_index_and_of_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let (trio, pages) = watched(dir.path());
    set(&trio, 50);
    trio.agree();
    let all = wait_until("three connected nodes that tell of one leader and of the same", || {
        let all = scrape(&pages);
        let agree = |name| all.iter().all(|one| one.sum(name, "") == all[0].sum(name, "") && one.sum(name, "") > 50.0);
        let connected = all.iter().all(|one| one.sum("eraft_transport_connected", "") == 2.0);
        let leaders: f64 = all.iter().map(|one| one.sum("eraft_raft_role", "role=\"leader\"")).sum();
        let same = agree("eraft_raft_commit_index") && agree("eraft_raft_applied_index");
        (same && connected && leaders == 1.0).then_some(all)
    });
    for (node, samples) in all.iter().enumerate() {
        let counted = |name| samples.sum(name, "");
        assert_eq!(samples.sum("eraft_raft_role", ""), 1.0, "a node has one role");
        assert!(samples.sum("eraft_storage_sync_seconds_count", "what=\"file\"") > 0.0);
        assert!(counted("eraft_storage_save_seconds_count") >= counted("eraft_storage_commit_seconds_count"));
        assert_eq!(counted("eraft_storage_save_seconds_count"), counted("eraft_storage_saves_total"));
        assert_eq!(counted("eraft_storage_batch_saves_sum"), counted("eraft_storage_saves_total"));
        let (written, batches) = (counted("eraft_storage_written_bytes_total"), counted("eraft_storage_batches_total"));
        assert!(batches > 0.0 && written >= batches * 512.0, "a batch is a frame of a sector at least");
        assert_eq!(counted("eraft_storage_poisoned"), 0.0);
        assert!(counted("eraft_transport_received_bytes_total") > 0.0);
        assert!(samples.all_labelled(&format!("node=\"{}\"", node + 1)), "every value says whose it is");
    }
    let documented = documented_names();
    let undocumented: Vec<_> = all[0].families().filter(|family| !documented.contains(*family)).collect();
    assert!(undocumented.is_empty(), "not in docs/OPERATING.md: {undocumented:?}");
}

#[test]
fn counters_never_go_back_while_a_node_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (mut trio, pages) = watched(dir.path());
    let (leader, _) = trio.leader();
    let survivor = (leader + 1) % 3;
    let mut before = scrape(&pages).swap_remove(survivor);
    for round in 0..3 {
        set(&trio, 20);
        if round == 0 {
            trio.agree();
            trio.nodes[leader].kill();
        } else if round == 1 {
            trio.nodes[leader].start();
        }
        let now = Samples::read(&get(&pages[survivor], "/metrics").unwrap());
        assert_eq!(now.fallen_since(&before), Vec::<String>::new());
        assert!(now.sum("eraft_storage_saves_total", "") > before.sum("eraft_storage_saves_total", ""));
        before = now;
    }
    assert!(before.sum("eraft_raft_leader_changes_total", "") >= 2.0, "the first leader, and the next");
}

#[test]
fn a_node_alone_is_alive_and_not_ready_until_the_others_are_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut trio, pages) = watched(dir.path());
    set(&trio, 5);
    let ready = || wait_until("ready", || get(&pages[0], "/readyz").ok().filter(|page| page.status == 200));
    ready();
    trio.nodes[1].kill();
    trio.nodes[2].kill();
    wait_until("it knows that it is alone", || trio.nodes[0].info("leader").filter(|leader| leader == "none"));
    let alone = get(&pages[0], "/readyz").unwrap();
    assert_eq!(alone.status, 503, "{}", alone.body);
    assert!(alone.body.contains("knows no leader"), "{}", alone.body);
    assert_eq!(get(&pages[0], "/healthz").unwrap().status, 200, "it lives");
    wait_until("messages that reach nobody are counted, here and there", || {
        let now = scrape(&pages[..1]).swap_remove(0);
        let lost = now.sum("eraft_transport_messages_dropped_total", "reason=\"disconnected\"");
        let unreachable = now.sum("eraft_raft_peer_messages_dropped_total", "reason=\"unreachable\"");
        (lost > 0.0 && unreachable > 0.0).then_some(())
    });
    trio.nodes[1].start();
    trio.nodes[2].start();
    ready();
    assert_eq!(get(&pages[0], "/other").unwrap().status, 404);
}

#[test]
fn what_a_stranger_sends_is_refused_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (trio, pages) = watched(dir.path());
    trio.leader();
    let refused = |samples: &Samples| samples.sum("eraft_transport_streams_refused_total", "reason=\"handshake\"");
    assert_eq!(refused(&scrape(&pages)[0]), 0.0);

    // A node of another cluster that takes this one for its peer.
    let info = trio.nodes[0].client.clone();
    let port: u16 = info.rsplit_once(':').unwrap().1.parse().unwrap();
    let (own, data) = (free_base_port(), dir.path().join("stranger"));
    let voters = format!("1=127.0.0.1:{}/{info},2=127.0.0.1:{}/127.0.0.1:{own}", port + 100, own + 100);
    assert!(init(&data, "2", &voters).status.success());
    let mut stranger = Command::new(file_node());
    stranger.arg("run").arg("--until-stdin-closes").arg("--data").arg(&data).stdin(Stdio::piped());
    let mut stranger = stranger.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("a refusal is counted", || (refused(&scrape(&pages)[0]) > 0.0).then_some(()));
    stranger.kill().unwrap();
    stranger.wait().unwrap();

    // Bytes that are no HTTP/2.
    let ungreeted = |samples: &Samples| samples.sum("eraft_transport_connections_ungreeted_total", "");
    let before = wait_until("the stranger's last connection has ended", || {
        let (one, other) = (ungreeted(&scrape(&pages)[0]), ungreeted(&scrape(&pages)[0]));
        (one > 0.0 && one == other).then_some(one)
    });
    for _ in 0..3 {
        TcpStream::connect(("127.0.0.1", port + 100)).unwrap().write_all(&[0x2a; 100]).unwrap();
    }
    wait_until("garbage is counted", || (ungreeted(&scrape(&pages)[0]) >= before + 3.0).then_some(()));
}

#[test]
fn a_port_for_metrics_that_is_taken_ends_the_start_and_names_the_flag() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut start = Command::new(file_node());
    start.args(["--metrics", &port, "--data", "data", "--base-port", &free_base_port().to_string()]);
    let refused = start.current_dir(dir.path()).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    assert!(text.contains("--metrics") && text.contains(&port), "{text}");
}
