//! Snapshots in whole clusters: taken by policy, sent to who was away too long, read by a restart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Cluster, options, until};
use eraft_conformance::faulty::{Fault, Method};
use eraft_core::{LogIndex, NodeId, StorageError, StorageErrorKind};
use eraft_node::{NodeStatus, Options, ProposeError};
use tokio::time::sleep;

const MAX_LOG_BYTES: u64 = 4000;
const TRAILING_ENTRIES: u64 = 10;

/// A snapshot after every few dozen commands.
fn often(id: NodeId) -> Options {
    Options {
        max_log_bytes: MAX_LOG_BYTES,
        trailing_entries: TRAILING_ENTRIES,
        max_snapshot_chunk_bytes: 1000,
        ..options(id)
    }
}

async fn propose_range(cluster: &Cluster, range: std::ops::Range<usize>) {
    for n in range {
        cluster.propose(&format!("command {n:05}")).await;
    }
}

fn commands(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("command {n:05}")).collect()
}

fn status(cluster: &Cluster, id: NodeId) -> NodeStatus {
    cluster.node(id).status()
}

/// Everything was applied once, in order, by every member, whether entry by entry or by snapshot.
fn assert_whole(cluster: &Cluster, expected: &[String]) {
    for (id, member) in &cluster.members {
        assert_eq!(member.journal.commands(), expected, "node {id}");
        let indexes = member.journal.indexes();
        assert!(indexes.iter().copied().eq(1..=indexes.len() as u64), "node {id} has gaps or doubles: {indexes:?}");
    }
}

fn follower_of(leader: NodeId) -> NodeId {
    [1, 2, 3].map(NodeId).into_iter().find(|id| *id != leader).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_node_away_too_long_catches_up_from_a_snapshot_while_the_others_go_on() {
    let mut cluster = Cluster::start_with(3, often).await;
    let leader = cluster.leader().await;
    let away = follower_of(leader);
    propose_range(&cluster, 0..20).await;
    let last_seen = status(&cluster, away).raft.last.index;
    cluster.kill(away).await;
    propose_range(&cluster, 20..300).await;
    assert!(status(&cluster, leader).raft.base.index > last_seen, "the log still holds what the node lacks");

    cluster.network.slow_down_snapshots(Duration::from_millis(20));
    let back = cluster.run(away, often(away)).await;
    until("a snapshot comes in", || back.status().snapshots.receiving).await;
    propose_range(&cluster, 300..350).await;
    assert!(back.status().snapshots.receiving, "the others waited for the node that is behind");
    assert!(cluster.members[&away].journal.restored().is_empty());

    cluster.network.slow_down_snapshots(Duration::ZERO);
    cluster.applied_everywhere(350).await;
    assert_whole(&cluster, &commands(0..350));
    assert!(!cluster.members[&away].journal.restored().is_empty(), "it never needed a snapshot");
    assert!(status(&cluster, leader).snapshots.sent > 0);
    assert_eq!(back.status().snapshots.received, status(&cluster, leader).snapshots.sent);
}

#[tokio::test(start_paused = true)]
async fn a_restart_reads_the_snapshot_and_the_log_above_it() {
    let mut cluster = Cluster::start_with(3, often).await;
    propose_range(&cluster, 0..300).await;
    cluster.applied_everywhere(300).await;
    let snapshots: Vec<LogIndex> = [1, 2, 3].map(|id| status(&cluster, NodeId(id)).raft.snapshot.index).to_vec();
    for id in [1, 2, 3].map(NodeId) {
        cluster.kill(id).await;
    }
    for id in [1, 2, 3].map(NodeId) {
        cluster.run(id, often(id)).await;
    }
    propose_range(&cluster, 300..310).await;
    cluster.applied_everywhere(310).await;
    assert_whole(&cluster, &commands(0..310));
    for (member, snapshot) in cluster.members.values().zip(snapshots) {
        assert!(snapshot > LogIndex(100), "no snapshot was taken");
        assert_eq!(member.journal.restored(), [snapshot]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_stays_bounded_over_many_writes() {
    let cluster = Cluster::start_with(3, often).await;
    let leader = cluster.leader().await;
    let mut longest = 0;
    for round in 0..100 {
        propose_range(&cluster, round * 20..(round + 1) * 20).await;
        longest = longest.max(status(&cluster, leader).raft_state_size_bytes);
    }
    cluster.applied_everywhere(2000).await;
    for (id, node) in cluster.running() {
        let status = node.status();
        assert!(status.snapshots.taken > 10, "node {id} took {} snapshots", status.snapshots.taken);
        let kept = status.raft.last.index.0 - status.raft.base.index.0;
        assert!(kept < 200, "node {id} keeps {kept} entries");
    }
    // What trails, what grows, and what comes in while a snapshot is taken.
    assert!(longest < 2 * MAX_LOG_BYTES, "the log grew to {longest} bytes");
    assert!(cluster.network.snapshots() == 0, "nobody was behind");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_streamed_while_applying_goes_on_holds_what_was_applied_when_it_was_taken() {
    let mut cluster = Cluster::start_with(1, often).await;
    let node = NodeId(1);
    cluster.members[&node].journal.hold_snapshots.send_replace(true);
    propose_range(&cluster, 0..200).await;
    let before = status(&cluster, node);
    assert!(before.snapshots.taking, "no snapshot was begun");
    assert_eq!((before.snapshots.taken, before.raft.snapshot.index), (0, LogIndex::ZERO));

    cluster.members[&node].journal.hold_snapshots.send_replace(false);
    until("it is published", || status(&cluster, node).raft.snapshot.index > LogIndex::ZERO).await;
    let taken = status(&cluster, node);
    assert!(taken.raft.snapshot.index < LogIndex(150), "the snapshot claims {}", taken.raft.snapshot);
    cluster.kill(node).await;
    cluster.run(node, often(node)).await;
    cluster.applied_everywhere(200).await;
    assert_whole(&cluster, &commands(0..200));
    assert_eq!(cluster.members[&node].journal.restored(), [taken.raft.snapshot.index]);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_lost_on_the_way_leaves_nothing_and_is_sent_again() {
    let mut cluster = Cluster::start_with(3, often).await;
    let leader = cluster.leader().await;
    let away = follower_of(leader);
    cluster.kill(away).await;
    propose_range(&cluster, 0..300).await;
    cluster.network.lose_snapshot_after(5);
    cluster.run(away, often(away)).await;
    cluster.applied_everywhere(300).await;
    assert_whole(&cluster, &commands(0..300));
    assert!(cluster.network.snapshots() >= 2, "it was not sent again");
    until("no stage is left", || cluster.faults(away).stages() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn entries_compacted_under_a_read_for_a_peer_become_a_snapshot() {
    fn small_cache(id: NodeId) -> Options {
        Options { entry_cache_bytes: 700, ..often(id) }
    }
    let mut cluster = Cluster::start_with(3, small_cache).await;
    let leader = cluster.leader().await;
    let away = follower_of(leader);
    cluster.kill(away).await;
    // Too few for a snapshot, too many for the cache.
    propose_range(&cluster, 0..40).await;
    assert_eq!(status(&cluster, leader).raft.base.index, LogIndex::ZERO);
    let faults = cluster.faults(leader).clone();
    faults.hold(Method::ReadEntries);
    cluster.run(away, small_cache(away)).await;
    let waiting = || faults.waiting(Method::ReadEntries) > 0;
    until("entries are being read for the node that was away", waiting).await;
    // Enough for one snapshot, and what it holds is all that the node lacks of what was compacted.
    propose_range(&cluster, 40..100).await;
    let seen = status(&cluster, leader);
    assert_eq!(seen.snapshots.taken, 1);
    assert!(seen.raft.base.index > LogIndex(30));
    faults.release(Method::ReadEntries);
    cluster.applied_everywhere(100).await;
    assert_whole(&cluster, &commands(0..100));
    assert!(!cluster.members[&away].journal.restored().is_empty(), "it has not read the snapshot");
    assert_eq!(cluster.network.snapshots(), 1, "the read that met compaction brought another snapshot");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_the_store_could_not_take_is_taken_later_also_where_nothing_else_happens() {
    let cluster = Cluster::start_with(1, |id| Options { snapshot_retry: Duration::from_secs(1), ..often(id) }).await;
    let node = NodeId(1);
    let full = || StorageError::new(StorageErrorKind::Full, "staging a snapshot", "no room: free some");
    (1..=3).for_each(|nth| cluster.faults(node).fail_nth(Method::Stage, nth, Fault::Fail(full())));
    propose_range(&cluster, 0..200).await;
    // Nobody proposes any more: the node comes back to it by itself.
    until("it is published", || status(&cluster, node).raft.snapshot.index > LogIndex::ZERO).await;
    assert_eq!(cluster.faults(node).calls(Method::Stage), 4, "it did not meet the refusals");
    let status = status(&cluster, node);
    assert!(status.stopped.is_none() && status.snapshots.taken == 1, "{:?}", status.snapshots);
    assert_eq!(cluster.faults(node).stages(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_without_room_is_compacted_at_once_and_takes_commands_again() {
    let cluster = Cluster::start_with(1, |id| Options { max_log_bytes: 1 << 40, ..often(id) }).await;
    let node = NodeId(1);
    propose_range(&cluster, 0..50).await;
    cluster.faults(node).set_room_bytes(Some(10));
    let full = || async {
        let refused = cluster.node(node).propose("command 99999".into()).await.unwrap_err();
        assert!(matches!(refused, ProposeError::Full { room_bytes: 10 }), "{refused}");
    };
    full().await;
    until("it is compacted", || status(&cluster, node).raft.base.index > LogIndex(50)).await;
    let compacted = status(&cluster, node).raft;
    assert_eq!(compacted.base.index, compacted.last.index, "entries trail in a log that has no room for others");

    // There is nothing more to free: somebody else's files fill the disk.
    full().await;
    sleep(Duration::from_secs(1000)).await;
    full().await;
    assert_eq!(status(&cluster, node).snapshots.taken, 1);

    cluster.faults(node).set_room_bytes(None);
    propose_range(&cluster, 50..60).await;
    cluster.applied_everywhere(60).await;
    assert_whole(&cluster, &commands(0..60));
}
