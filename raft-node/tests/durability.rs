//! What is said waits for what is durable, and what fails to become durable ends the node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::{sync::Arc, time::Duration};

use common::{
    CLUSTER, Cluster, Journal, founder_disk, founders, in_time, network::Network, options, puppet::Stage, until,
};
use eraft_conformance::faulty::{Fault, Faulty, Method};
use eraft_core::{
    EntryId, Expected, LogIndex, MemoryDisk, MemoryStorage, MessageBody, NodeId, Storage, StorageError,
    StorageErrorKind, Term,
};
use eraft_node::{BootstrapError, Node, Options, ProposeError, ReadError, StartError, StopCause, bootstrap};
use tokio::time::{sleep, timeout};

#[tokio::test(start_paused = true)]
async fn a_command_is_answered_only_when_it_is_durable_also_on_one_node_alone() {
    let cluster = Cluster::start(1).await;
    cluster.propose("a").await;
    let member = &cluster.members[&NodeId(1)];
    member.disk.hold_saves();
    let proposed = cluster.node(NodeId(1)).propose("b".into());
    tokio::pin!(proposed);
    assert!(timeout(Duration::from_secs(60), &mut proposed).await.is_err(), "answered before it was durable");
    assert_eq!(member.journal.commands(), ["a"], "applied before it was durable");
    member.disk.release_saves();
    assert_eq!(proposed.await.unwrap(), "4:b");
}

#[tokio::test(start_paused = true)]
async fn entries_reach_the_peers_while_the_leaders_own_disk_is_busy() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.propose("a").await;
    let member = &cluster.members[&leader];
    member.disk.hold_saves();
    let proposed = tokio::spawn({
        let node = cluster.node(leader).clone();
        async move { node.propose("b".into()).await }
    });
    let others = || cluster.members.iter().filter(|(id, _)| **id != leader).map(|(_, other)| other);
    until("both peers have applied it", || others().all(|other| other.journal.commands() == ["a", "b"])).await;
    // Two of three hold it, so it is committed; the leader itself applies it only when it has it too.
    assert!(!proposed.is_finished());
    assert_eq!(member.journal.commands(), ["a"]);
    member.disk.release_saves();
    assert_eq!(proposed.await.unwrap().unwrap(), "4:b");
}

#[tokio::test(start_paused = true)]
async fn a_failed_save_ends_the_node_with_the_first_cause() {
    let stage = Stage::set(options(NodeId(1))).await;
    let term = stage.led().await;
    stage.durable(2).await;
    let full = StorageError::new(StorageErrorKind::Full, "writing a segment", "no space is left: free some");
    stage.disk.fail_next_save(full);
    let refused = in_time(stage.node.propose("a".into())).await.unwrap_err();
    let StopCause::Storage(cause) = in_time(stage.node.stopped()).await else { panic!("not for its store") };
    assert_eq!((cause.kind(), cause.during()), (StorageErrorKind::Full, "writing a segment"));
    assert!(matches!(refused, ProposeError::Stopped { cause: StopCause::Storage(_), .. }), "{refused}");
    assert!(refused.may_have_committed());

    // It acknowledges nothing, votes for nobody and leads no more.
    let [two, three] = &stage.puppets;
    sleep(Duration::from_secs(1)).await;
    drop((two.received(), three.received()));
    two.append(term.next(), EntryId::new(term.0, 2), Vec::new()).await;
    three.say(term.next(), MessageBody::RequestVote { last: EntryId::new(100, 100) }).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!((two.received(), three.received()), (vec![], vec![]), "it still speaks");
    let refused = stage.node.propose("b".into()).await.unwrap_err();
    assert!(matches!(refused, ProposeError::Stopped { may_have_committed: false, .. }), "{refused}");
    assert!(matches!(stage.node.linearizable_read().await, Err(ReadError::Stopped { .. })));
    assert!(stage.node.status().stopped.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_vote_that_could_not_be_saved_is_never_given_and_the_node_ends() {
    let stage = Stage::set(Options { election_timeout: Duration::from_secs(600), ..options(NodeId(1)) }).await;
    let [two, three] = &stage.puppets;
    stage.disk.fail_next_save(StorageError::new(StorageErrorKind::Io, "syncing", "the device failed"));
    two.say(Term(5), MessageBody::RequestVote { last: EntryId::new(4, 9) }).await;
    assert!(matches!(in_time(stage.node.stopped()).await, StopCause::Storage(_)));
    three.say(Term(5), MessageBody::RequestVote { last: EntryId::new(4, 9) }).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!((two.received(), three.received()), (vec![], vec![]), "it voted, and its disk does not know for whom");
}

#[tokio::test]
async fn a_store_whose_state_cannot_be_read_starts_no_node() {
    let disk = founder_disk(NodeId(1), 3).await;
    let (storage, faults) = Faulty::over(Arc::new(MemoryStorage::open(&disk, Expected::any()).unwrap()));
    let damage = StorageError::new(StorageErrorKind::Corrupt, "reading the state", "a checksum does not match");
    faults.fail_nth(Method::ReadState, 1, Fault::Fail(damage));
    let network = Network::default();
    let transport = Arc::new(network.transport(NodeId(1)));
    let refused = Node::start(options(NodeId(1)), storage, transport, Box::new(Journal::default())).await.unwrap_err();
    let StartError::Storage(error) = &refused else { panic!("{refused}") };
    assert_eq!((error.kind(), error.during()), (StorageErrorKind::Corrupt, "reading the state"));
    assert_eq!(faults.calls(Method::Save), 0, "it wrote over what it could not read");
}

#[tokio::test(start_paused = true)]
async fn entries_that_cannot_be_read_end_the_node_instead_of_being_passed_over() {
    let stage = Stage::set(Options { entry_cache_bytes: 0, ..options(NodeId(1)) }).await;
    stage.led().await;
    until("its first entry is applied", || stage.node.status().raft.applied == LogIndex(2)).await;
    let damage = StorageError::new(StorageErrorKind::Corrupt, "reading entries", "a checksum does not match");
    stage.faults.fail_from(Method::ReadEntries, 1, Fault::Fail(damage));
    let refused = in_time(stage.node.propose("a".into())).await.unwrap_err();
    let StopCause::Storage(cause) = in_time(stage.node.stopped()).await else { panic!("{refused}") };
    assert_eq!((cause.kind(), cause.during()), (StorageErrorKind::Corrupt, "reading entries"));
    assert!(stage.journal.commands().is_empty(), "it applied what it could not read");
}

#[tokio::test(start_paused = true)]
async fn a_save_that_fails_as_the_node_is_shut_down_is_told_by_its_own_words() {
    let cluster = Cluster::start(1).await;
    cluster.propose("a").await;
    let (node, disk) = (cluster.node(NodeId(1)), &cluster.members[&NodeId(1)].disk);
    disk.hold_saves();
    let proposed = node.propose("b".into());
    tokio::pin!(proposed);
    assert!(timeout(Duration::from_secs(1), &mut proposed).await.is_err());
    // The loop hears of both in one wake-up.
    disk.fail_next_save(StorageError::new(StorageErrorKind::Full, "writing a segment", "no space is left: free some"));
    let shutdown = node.shutdown();
    tokio::pin!(shutdown);
    assert!(futures_util::poll!(&mut shutdown).is_pending());
    disk.release_saves();
    let StopCause::Storage(cause) = in_time(shutdown).await.unwrap_err() else { panic!("not for its store") };
    assert_eq!((cause.kind(), cause.during()), (StorageErrorKind::Full, "writing a segment"));
    assert!(proposed.await.unwrap_err().may_have_committed());
}

#[tokio::test(start_paused = true)]
async fn a_follower_whose_save_fails_acknowledges_nothing_and_ends() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.propose("a").await;
    cluster.applied_everywhere(1).await;
    let follower = [1, 2, 3].map(NodeId).into_iter().find(|id| *id != leader).unwrap();
    let error = StorageError::new(StorageErrorKind::Io, "syncing", "the disk is gone");
    cluster.members[&follower].disk.fail_next_save(error);
    cluster.propose("b").await;
    assert!(matches!(in_time(cluster.node(follower).stopped()).await, StopCause::Storage(_)));
    sleep(Duration::from_secs(5)).await;
    let matched = cluster.node(leader).status().raft.peers[&follower].match_index;
    assert_eq!(matched, LogIndex(3), "it has acknowledged what it could not save");
    cluster.propose("c").await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_disk_slows_nothing_but_its_own_node() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.propose("a").await;
    let slow = [1, 2, 3].map(NodeId).into_iter().find(|id| *id != leader).unwrap();
    cluster.members[&slow].disk.hold_saves();
    for n in 0..20 {
        cluster.propose(&n.to_string()).await;
    }
    sleep(Duration::from_secs(30)).await;
    assert_eq!(cluster.leader().await, leader, "a follower with a slow disk has deposed the leader");
    cluster.members[&slow].disk.release_saves();
    cluster.applied_everywhere(21).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_minute_writes_nothing_to_any_disk() {
    let cluster = Cluster::start(3).await;
    cluster.propose("a").await;
    cluster.applied_everywhere(1).await;
    sleep(Duration::from_secs(1)).await;
    let saves = || cluster.members.keys().map(|id| cluster.faults(*id).calls(Method::Save)).sum::<u64>();
    let before = saves();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(saves() - before, 0);
}

#[tokio::test(start_paused = true)]
async fn shutting_down_saves_the_commit_index_and_closes_the_store() {
    let mut cluster = Cluster::start(1).await;
    for n in 0..10 {
        cluster.propose(&n.to_string()).await;
    }
    let node = cluster.node(NodeId(1)).clone();
    let commit = node.status().raft.commit;
    node.shutdown().await.unwrap();
    node.shutdown().await.unwrap();
    assert!(matches!(node.stopped().await, StopCause::Shutdown));
    let disk = &cluster.members[&NodeId(1)].disk;
    let reopened = MemoryStorage::open(disk, Expected::any()).expect("the lock is free once the node has ended");
    assert_eq!(reopened.read_raft_state().await.unwrap().hard_state.commit, commit);
    reopened.close().await.unwrap();

    // What was committed is applied at the start already, before anybody is heard.
    cluster.run(NodeId(1), options(NodeId(1))).await;
    until("applied", || cluster.members[&NodeId(1)].journal.commands().len() == 10).await;
}

#[tokio::test]
async fn a_blank_store_never_starts_by_itself() {
    let disk = MemoryDisk::new(1);
    MemoryStorage::create(&disk, CLUSTER, NodeId(1)).unwrap();
    let storage = Arc::new(MemoryStorage::open(&disk, Expected::any()).unwrap());
    let transport = Arc::new(Network::default().transport(NodeId(1)));
    let refused = Node::start(options(NodeId(1)), storage, transport, Box::new(Journal::default())).await.unwrap_err();
    assert!(matches!(refused, StartError::Blank { node: NodeId(1) }));
    assert!(refused.to_string().contains("bootstrap"), "{refused}");
}

#[tokio::test]
async fn a_store_is_bootstrapped_once_and_only_by_a_founder() {
    let disk = MemoryDisk::new(1);
    MemoryStorage::create(&disk, CLUSTER, NodeId(9)).unwrap();
    let storage = MemoryStorage::open(&disk, Expected::any()).unwrap();
    let refused = bootstrap(&storage, &founders(3)).await.unwrap_err();
    assert!(matches!(refused, BootstrapError::Founders { node: NodeId(9), .. }), "{refused}");
    assert!(storage.read_raft_state().await.unwrap().is_blank());

    let disk = founder_disk(NodeId(1), 3).await;
    let storage = MemoryStorage::open(&disk, Expected::any()).unwrap();
    let before = storage.read_raft_state().await.unwrap();
    assert_eq!((before.hard_state.term, before.outline.last()), (Term(1), EntryId::new(1, 1)));
    let refused = bootstrap(&storage, &founders(3)).await.unwrap_err();
    assert!(matches!(refused, BootstrapError::NotBlank { node: NodeId(1), .. }), "{refused}");
    assert_eq!(storage.read_raft_state().await.unwrap(), before);
}
