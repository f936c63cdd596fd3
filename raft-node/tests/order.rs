//! Requests take their places at the call, whatever becomes of their futures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Cluster, options};
use eraft_core::NodeId;
use eraft_node::{Options, ProposeError};
use futures_util::future::join_all;
use tokio::time::timeout;

const ONE: NodeId = NodeId(1);

/// A cluster of one, leading, which lets three requests in at once.
async fn narrow() -> Cluster {
    let mut cluster = Cluster::start(1).await;
    cluster.kill(ONE).await;
    cluster.run(ONE, Options { max_pending_requests: 3, max_turn_events: 2, ..options(ONE) }).await;
    cluster.leader().await;
    cluster
}

#[tokio::test(start_paused = true)]
async fn commands_come_into_the_log_in_the_order_of_the_calls_whatever_is_polled_first() {
    for cluster in [Cluster::start(1).await, narrow().await] {
        cluster.leader().await;
        let node = cluster.node(ONE);
        let expected: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        let mut proposals: Vec<_> = expected.iter().map(|command| node.propose(command.clone().into())).collect();
        proposals.reverse();
        for reply in join_all(proposals).await {
            reply.unwrap();
        }
        assert_eq!(cluster.members[&ONE].journal.commands(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_is_on_its_way_though_its_future_was_never_polled() {
    let cluster = Cluster::start(1).await;
    cluster.leader().await;
    drop(cluster.node(ONE).propose("unheard".into()));
    cluster.propose("heard").await;
    assert_eq!(cluster.members[&ONE].journal.commands(), ["unheard", "heard"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_drops_a_future_that_waits_at_the_bound_takes_the_command_back() {
    let cluster = narrow().await;
    let node = cluster.node(ONE);
    cluster.members[&ONE].disk.hold_saves();
    let mut proposals: Vec<_> = (0..6).map(|n| node.propose(n.to_string().into())).collect();
    assert_eq!(node.status().pending_requests, 3);
    drop(proposals.remove(4));
    cluster.members[&ONE].disk.release_saves();
    for reply in join_all(proposals).await {
        reply.unwrap();
    }
    assert_eq!(cluster.members[&ONE].journal.commands(), ["0", "1", "2", "3", "5"]);
    assert_eq!(node.status().pending_requests, 0);
}

#[tokio::test(start_paused = true)]
async fn what_waits_at_the_bound_when_the_node_stops_was_not_committed() {
    let cluster = narrow().await;
    let node = cluster.node(ONE).clone();
    cluster.members[&ONE].disk.hold_saves();
    let mut proposals: Vec<_> = (0..5).map(|n| node.propose(n.to_string().into())).collect();
    let waiting = proposals.split_off(3);
    let stopping = tokio::spawn({
        let node = node.clone();
        async move { node.shutdown().await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let late = node.propose("late".into());
    cluster.members[&ONE].disk.release_saves();
    stopping.await.unwrap().unwrap();
    for refused in timeout(Duration::from_secs(60), join_all(waiting.into_iter().chain([late]))).await.unwrap() {
        assert!(matches!(refused, Err(ProposeError::Stopped { may_have_committed: false, .. })), "{refused:?}");
    }
    let commands = cluster.members[&ONE].journal.commands();
    assert!(!commands.iter().any(|command| ["3", "4", "late"].contains(&command.as_str())), "{commands:?}");
}
