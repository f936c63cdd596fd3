//! Whole clusters: what clients see of elections, replication and failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Cluster, options, until};
use eraft_core::{LogIndex, NodeId, Role};
use eraft_node::{ProposeError, ReadError};
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn three_nodes_elect_a_leader_commit_and_reply() {
    let cluster = Cluster::start(3).await;
    assert_eq!(cluster.propose("a").await, "3:a");
    assert_eq!(cluster.propose("b").await, "4:b");
    cluster.applied_everywhere(2).await;
    for member in cluster.members.values() {
        assert_eq!(member.journal.commands(), ["a", "b"]);
        assert_eq!(member.journal.indexes(), [1, 2, 3, 4]);
    }
}

#[tokio::test(start_paused = true)]
async fn one_node_alone_commits() {
    let cluster = Cluster::start(1).await;
    assert_eq!(cluster.propose("a").await, "3:a");
    cluster.node(NodeId(1)).linearizable_read().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_follower_refuses_and_says_who_leads() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let (_, follower) = cluster.running().find(|(id, _)| *id != leader).unwrap();
    let refused = follower.propose("a".into()).await.unwrap_err();
    assert!(matches!(refused, ProposeError::NotLeader { leader: Some(id) } if id == leader), "{refused}");
    assert!(!refused.may_have_committed());
    let refused = follower.linearizable_read().await.unwrap_err();
    assert!(matches!(refused, ReadError::NotLeader { leader: Some(id) } if id == leader), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn nothing_acknowledged_is_lost_when_the_leader_is_killed() {
    let mut cluster = Cluster::start(3).await;
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        for n in 0..20 {
            let command = format!("{round}-{n}");
            cluster.propose(&command).await;
            acknowledged.push(command);
        }
        let leader = cluster.leader().await;
        cluster.kill(leader).await;
        let next = cluster.leader().await;
        assert_ne!(next, leader);
        cluster.propose("while one is away").await;
        acknowledged.push("while one is away".to_owned());
        cluster.run(leader, options(leader)).await;
    }
    cluster.applied_everywhere(acknowledged.len()).await;
    for member in cluster.members.values() {
        assert_eq!(member.journal.commands(), acknowledged);
        let indexes = member.journal.indexes();
        assert!(indexes.iter().copied().eq(1..=indexes.len() as u64), "applied out of order or twice: {indexes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_killed_at_once_come_back_with_everything_acknowledged() {
    let mut cluster = Cluster::start(3).await;
    for n in 0..50 {
        cluster.propose(&n.to_string()).await;
    }
    for id in [1, 2, 3].map(NodeId) {
        cluster.kill(id).await;
    }
    for id in [1, 2, 3].map(NodeId) {
        cluster.run(id, options(id)).await;
    }
    cluster.propose("after").await;
    cluster.applied_everywhere(51).await;
    let expected: Vec<_> = (0..50).map(|n| n.to_string()).chain(["after".to_owned()]).collect();
    for member in cluster.members.values() {
        assert_eq!(member.journal.commands(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_sees_the_last_acknowledged_write() {
    let cluster = Cluster::start(3).await;
    for n in 1..=50 {
        cluster.propose(&n.to_string()).await;
        let leader = cluster.leader().await;
        cluster.node(leader).linearizable_read().await.unwrap();
        assert_eq!(cluster.members[&leader].journal.commands().len(), n);
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_says_that_a_command_may_still_commit() {
    let cluster = Cluster::start(3).await;
    let old = cluster.leader().await;
    for id in [1, 2, 3].map(NodeId).into_iter().filter(|id| *id != old) {
        cluster.network.cut(old, id);
    }
    let (refused, read) = tokio::join!(cluster.node(old).propose("a".into()), cluster.node(old).linearizable_read());
    let refused = refused.unwrap_err();
    assert!(matches!(refused, ProposeError::LeadershipLost { .. }), "{refused}");
    assert!(refused.may_have_committed());
    assert!(matches!(read.unwrap_err(), ReadError::NotLeader { .. }));

    cluster.network.heal();
    cluster.propose("b").await;
    until("all agree", || {
        cluster.members.values().all(|member| member.journal.commands().last().is_some_and(|last| last == "b"))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_was_away_catches_up() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let away = [1, 2, 3].map(NodeId).into_iter().find(|id| *id != leader).unwrap();
    cluster.kill(away).await;
    for n in 0..500 {
        cluster.propose(&n.to_string()).await;
    }
    cluster.run(away, options(away)).await;
    cluster.applied_everywhere(500).await;
}

#[tokio::test(start_paused = true)]
async fn many_clients_at_once_are_all_answered_each_with_its_own_reply() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..200 {
        let node = cluster.node(leader).clone();
        clients.spawn(async move {
            for n in 0..20 {
                let command = format!("{client}-{n}");
                let reply = node.propose(command.clone().into()).await.unwrap();
                assert!(reply.ends_with(format!(":{command}").as_bytes()), "{reply:?} to {command}");
            }
        });
    }
    while let Some(outcome) = clients.join_next().await {
        outcome.unwrap();
    }
    cluster.applied_everywhere(4000).await;
    assert_eq!(cluster.node(leader).status().pending_requests, 0);
}

#[tokio::test(start_paused = true)]
async fn the_watch_tells_role_term_and_leader() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let seen = *cluster.node(leader).watch().borrow();
    assert_eq!((seen.role, seen.leader), (Role::Leader, Some(leader)));
    let status = cluster.node(leader).status();
    assert_eq!((status.raft.role, status.raft.term), (Role::Leader, seen.term));
    assert_eq!(status.raft.last.index, LogIndex(2));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(*cluster.node(leader).watch().borrow(), seen, "an idle minute changed the leader");
}
