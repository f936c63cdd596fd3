//! What leaves for one peer: filled, split, never stale, and never in the way of heartbeats.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Cluster, options, puppet::Stage, until};
use eraft_conformance::faulty::Method;
use eraft_core::{Entry, EntryId, LogIndex, Message, MessageBody, NodeId, Role, Term};
use eraft_node::Options;
use tokio::time::sleep;

/// The entries among `messages`.
fn entries(messages: &[Message]) -> Vec<(Term, &Entry)> {
    let mut found = Vec::new();
    for message in messages {
        if let MessageBody::AppendEntries { entries, .. } = &message.body {
            found.extend(entries.iter().map(|entry| (message.term, entry)));
        }
    }
    found
}

/// Node 1 leads with its empty entry committed, and has an uncommitted command on its disk that it has to read for peer 3,
/// which is held up in the disk.
async fn reading_for_a_lagging_peer() -> (Stage, Term) {
    let stage = Stage::set(Options { entry_cache_bytes: 0, ..options(NodeId(1)) }).await;
    let [two, three] = &stage.puppets;
    two.acknowledge_up_to(2);
    three.acknowledge_up_to(1);
    let term = stage.led().await;
    stage.durable(2).await;
    let node = stage.node.clone();
    tokio::spawn(async move { node.propose("mine".into()).await });
    stage.durable(3).await;
    stage.faults.hold(Method::ReadEntries);
    drop(three.received());
    three.say(term, MessageBody::Appended { matched: LogIndex(2), round: 1 }).await;
    until("the disk is read for peer 3", || stage.faults.waiting(Method::ReadEntries) > 0).await;
    (stage, term)
}

#[tokio::test(start_paused = true)]
async fn entries_of_a_later_leader_never_leave_under_an_older_term() {
    let (stage, term) = reading_for_a_lagging_peer().await;
    let [two, three] = &stage.puppets;
    let theirs = Entry::command(term.next(), LogIndex(3), "theirs");
    two.append(term.next(), EntryId::new(term.0, 2), vec![theirs]).await;
    until("it follows", || stage.node.watch().borrow().role == Role::Follower).await;
    stage.faults.release(Method::ReadEntries);
    sleep(Duration::from_millis(100)).await;
    let received = three.received();
    let stale: Vec<_> = entries(&received).into_iter().filter(|(term, entry)| entry.term > *term).collect();
    assert!(stale.is_empty(), "sent under a term in which it leads no more: {stale:?}");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_to_a_peer_go_on_while_the_disk_is_read_for_it() {
    let (stage, term) = reading_for_a_lagging_peer().await;
    let [_, three] = &stage.puppets;
    sleep(Duration::from_millis(350)).await;
    let heartbeats = three.received();
    assert!(heartbeats.len() >= 3, "{heartbeats:?}");
    assert!(entries(&heartbeats).is_empty());
    stage.faults.release(Method::ReadEntries);
    sleep(Duration::from_millis(50)).await;
    let received = three.received();
    assert_eq!(entries(&received), [(term, &Entry::command(term, LogIndex(3), "mine"))]);
}

#[tokio::test(start_paused = true)]
async fn a_message_stays_within_its_bytes() {
    let max_message_bytes = 4096;
    let tight = Options { max_entry_bytes: 2048, max_message_bytes, ..options(NodeId(1)) };
    let stage = Stage::set(tight).await;
    let [_, three] = &stage.puppets;
    stage.led().await;
    three.acknowledge_up_to(1);
    for n in 0..50 {
        stage.node.propose(vec![0; n * 40].into()).await.unwrap();
    }
    drop(three.received());
    three.acknowledge_up_to(u64::MAX);
    let reached = || stage.node.status().raft.peers[&NodeId(3)].match_index == LogIndex(52);
    until("peer 3 has everything", reached).await;
    let received = three.received();
    let largest = received.iter().map(Message::size_bytes).max().unwrap();
    assert!(largest <= max_message_bytes && largest > max_message_bytes / 2, "{largest}");
    let indexes: Vec<_> = entries(&received).iter().map(|(_, entry)| entry.index.0).collect();
    assert!(indexes.iter().copied().eq(3..=52), "not each once and in order: {indexes:?}");
}

#[tokio::test(start_paused = true)]
async fn bytes_under_way_to_a_peer_are_bounded() {
    let tight = Options {
        max_entry_bytes: 512,
        max_message_bytes: 1024,
        max_inflight_bytes: 2048,
        max_inflight_messages: 1000,
        ..options(NodeId(1))
    };
    let stage = Stage::set(tight).await;
    let [_, three] = &stage.puppets;
    stage.led().await;
    stage.node.propose("first".into()).await.unwrap();
    until("peer 3 follows", || stage.node.status().raft.peers[&NodeId(3)].match_index == LogIndex(3)).await;
    three.acknowledge_up_to(3);
    drop(three.received());
    for _ in 0..50 {
        stage.node.propose(vec![0; 400].into()).await.unwrap();
    }
    sleep(Duration::from_millis(50)).await;
    let received = three.received();
    let under_way: u64 = entries(&received).iter().map(|(_, entry)| entry.size_bytes()).sum();
    assert!((2048..3072).contains(&under_way), "{under_way}");
    assert_eq!(stage.node.status().peers[&NodeId(3)].inflight_bytes, under_way);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_down_costs_no_more_than_its_heartbeats() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let down = [1, 2, 3].map(NodeId).into_iter().find(|id| *id != leader).unwrap();
    cluster.kill(down).await;
    sleep(Duration::from_secs(1)).await;
    let failed = || cluster.node(leader).status().peers[&down].unreachable;
    let before = failed();
    for n in 0..200 {
        cluster.propose(&n.to_string()).await;
    }
    sleep(Duration::from_secs(10)).await;
    // One heartbeat and one probe in each of a hundred intervals.
    assert!(failed() - before <= 210, "{} sends failed in 10 s", failed() - before);
}
