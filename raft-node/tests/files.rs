//! The driver on plain files: a real clock, a real disk and threads, so that what a paused clock hides is met too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::{path::Path, sync::Arc, time::Duration};

use common::{CLUSTER, Journal, founders, network::Network, until};
use eraft_core::{Expected, NodeId};
use eraft_node::{Node, Options, ProposeError, WhenBusy, bootstrap};
use eraft_storage_file::FileStorage;
use tokio::{task::JoinSet, time::sleep};

const MEMBERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// Short timeouts, and bounds so tight that every one of them is met.
fn tight(id: NodeId) -> Options {
    Options {
        seed: Some(id.0),
        election_timeout: Duration::from_millis(300),
        heartbeat_interval: Duration::from_millis(50),
        max_entry_bytes: 1000,
        max_message_bytes: 2000,
        max_pending_requests: 40,
        max_unsaved_bytes: 4000,
        max_inflight_bytes: 4000,
        max_turn_events: 7,
        entry_cache_bytes: 2000,
        max_log_bytes: 8000,
        trailing_entries: 10,
        max_snapshot_chunk_bytes: 700,
        max_apply_bytes: 1500,
        when_busy: WhenBusy::Wait,
        ..Options::default()
    }
}

async fn run(dir: &Path, network: &Network, id: NodeId) -> (Node, Journal) {
    let storage = FileStorage::open(dir.join(id.to_string()), Expected::exactly(CLUSTER, id)).unwrap();
    let journal = Journal::default();
    let transport = Arc::new(network.transport(id));
    let node = Node::start(tight(id), Arc::new(storage), transport, Box::new(journal.clone())).await.unwrap();
    network.connect(id, node.inbox());
    (node, journal)
}

/// Proposes wherever it is taken until it is answered; a command may take effect twice when a leader was lost meanwhile.
async fn propose(nodes: &[Node], command: &str) {
    for _ in 0..1000 {
        for node in nodes {
            match node.propose(command.to_owned().into()).await {
                Ok(_) => return,
                Err(
                    ProposeError::NotLeader { .. }
                    | ProposeError::LeadershipLost { .. }
                    | ProposeError::Overtaken
                    | ProposeError::Stopped { .. },
                ) => {}
                Err(other) => panic!("{other}"),
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("nobody took {command}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_on_files_keep_every_acknowledged_command_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let network = Network::default();
    for id in MEMBERS {
        let path = dir.path().join(id.to_string());
        FileStorage::create(&path, CLUSTER, id).unwrap();
        let storage = FileStorage::open(&path, Expected::any()).unwrap();
        bootstrap(&storage, &founders(3)).await.unwrap();
        eraft_core::Storage::close(&storage).await.unwrap();
    }
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let mut nodes = Vec::new();
        let mut journals = Vec::new();
        for id in MEMBERS {
            let (node, journal) = run(dir.path(), &network, id).await;
            nodes.push(node);
            journals.push(journal);
        }
        let mut clients = JoinSet::new();
        for client in 0..16 {
            let nodes = nodes.clone();
            clients.spawn(async move {
                let mut mine = Vec::new();
                for n in 0..10 {
                    // Padded, so that batches meet the bounds on bytes.
                    let command = format!("{round}-{client}-{n}{}", " ".repeat(n * 60));
                    propose(&nodes, &command).await;
                    mine.push(command);
                }
                mine
            });
        }
        while let Some(mine) = clients.join_next().await {
            acknowledged.extend(mine.unwrap());
        }
        propose(&nodes, &format!("{round} ends")).await;
        acknowledged.push(format!("{round} ends"));
        for (node, journal) in nodes.iter().zip(&journals) {
            until("it has applied the last command", || journal.commands().last() == acknowledged.last()).await;
            let commands: std::collections::BTreeSet<_> = journal.commands().into_iter().collect();
            let lost: Vec<_> = acknowledged.iter().filter(|command| !commands.contains(*command)).collect();
            assert!(lost.is_empty(), "acknowledged and lost at {node:?}: {lost:?}");
            let indexes = journal.indexes();
            assert!(indexes.iter().copied().eq(1..=indexes.len() as u64), "applied out of order or twice");
        }
        for (id, node) in MEMBERS.into_iter().zip(nodes) {
            network.disconnect(id);
            node.shutdown().await.unwrap();
        }
    }
}
