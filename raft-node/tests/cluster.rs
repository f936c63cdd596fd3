//! Whole clusters: what clients see of elections, replication and failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use common::Cluster;

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
