//! However a node ends, it says why, and nobody waits for ever.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use common::{founder_disk, in_time, network::Network, options, reply};
use eraft_conformance::faulty::Faulty;
use eraft_core::{
    Entry, Expected, LogChange, LogIndex, MemoryStorage, NodeId, RaftStateUpdate, SnapshotReader, SnapshotStream,
    StateMachine, StateMachineError, Storage, StorageErrorKind, Term, snapshot_of,
};
use eraft_node::{Node, Options, ProposeError, StartError, StopCause};
use futures_util::{StreamExt as _, stream};
use tokio::time::{sleep, timeout};

/// What the state machine does at the command that says so.
#[derive(Debug)]
struct Moody {
    applied: LogIndex,
}

#[async_trait]
impl StateMachine for Moody {
    fn last_applied(&self) -> LogIndex {
        self.applied
    }

    async fn apply(&mut self, entries: Vec<Entry>) -> Result<Vec<Bytes>, StateMachineError> {
        for entry in &entries {
            match &entry.payload[..] {
                b"panic" => panic!("a command it cannot bear"),
                b"fail" => return Err("its disk is gone".into()),
                b"forget" => return Ok(Vec::new()),
                b"fail slowly" => {
                    sleep(Duration::from_secs(10)).await;
                    return Err("its disk is gone".into());
                }
                b"sleep" => sleep(Duration::from_secs(10)).await,
                _ => {}
            }
        }
        Ok(entries.iter().map(reply).collect())
    }

    async fn snapshot(&mut self) -> Result<SnapshotStream, StateMachineError> {
        Ok(snapshot_of("its mood"))
    }

    async fn restore(&mut self, _snapshot: SnapshotReader) -> Result<(), StateMachineError> {
        Err("it forgot how".into())
    }
}

/// A cluster of one that leads.
async fn lone() -> Node {
    let disk = founder_disk(NodeId(1), 1).await;
    let storage = Arc::new(MemoryStorage::open(&disk, Expected::any()).unwrap());
    let network = Network::default();
    let transport = Arc::new(network.transport(NodeId(1)));
    let state_machine = Box::new(Moody { applied: LogIndex::ZERO });
    let node = Node::start(options(NodeId(1)), storage, transport, state_machine).await.unwrap();
    let mut watch = node.watch();
    watch.wait_for(|seen| seen.leader.is_some()).await.unwrap();
    node
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_state_machine_ends_the_node_and_is_told() {
    let node = lone().await;
    let refused = in_time(node.propose("panic".into())).await.unwrap_err();
    let ProposeError::Stopped { cause: StopCause::Panicked { task, message }, .. } = refused else {
        panic!("{refused}")
    };
    assert_eq!((task, message.as_str()), ("apply task", "a command it cannot bear"));
    assert!(node.shutdown().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_state_machine_ends_the_node_and_is_told() {
    for command in ["fail", "forget"] {
        let node = lone().await;
        let refused = in_time(node.propose(command.into())).await.unwrap_err();
        assert!(refused.may_have_committed());
        let StopCause::StateMachine { index: LogIndex(3), reason } = node.stopped().await else { panic!("{refused}") };
        assert!(reason == "its disk is gone" || reason.contains("0 replies"), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_until_what_was_committed_is_applied() {
    let node = lone().await;
    let slow = tokio::spawn({
        let node = node.clone();
        async move { node.propose("sleep".into()).await }
    });
    while node.status().raft.commit < LogIndex(3) {
        sleep(Duration::from_millis(1)).await;
    }
    let read = node.linearizable_read();
    tokio::pin!(read);
    assert!(timeout(Duration::from_secs(5), &mut read).await.is_err(), "answered before it was applied");
    assert!(!slow.is_finished());
    read.await.unwrap();
    slow.await.unwrap().unwrap();
    assert_eq!(node.status().raft.applied, LogIndex(3));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_answers_everybody_who_waits() {
    let node = lone().await;
    let waiting = tokio::spawn({
        let node = node.clone();
        async move { node.propose("sleep".into()).await }
    });
    sleep(Duration::from_millis(100)).await;
    node.shutdown().await.unwrap();
    match waiting.await.unwrap() {
        // What was being applied is completed.
        Ok(reply) => assert_eq!(reply, "3:sleep"),
        Err(ProposeError::Stopped { cause: StopCause::Shutdown, may_have_committed: true }) => {}
        Err(other) => panic!("{other}"),
    }
    let refused = node.propose("late".into()).await.unwrap_err();
    assert!(
        matches!(refused, ProposeError::Stopped { cause: StopCause::Shutdown, may_have_committed: false }),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_state_machine_that_fails_while_the_node_is_shut_down_is_still_told() {
    let node = lone().await;
    let client = tokio::spawn({
        let node = node.clone();
        async move { node.propose("fail slowly".into()).await }
    });
    sleep(Duration::from_millis(100)).await;
    let cause = in_time(node.shutdown()).await.unwrap_err();
    assert!(matches!(cause, StopCause::StateMachine { index: LogIndex(3), .. }), "{cause}");
    assert!(client.await.unwrap().unwrap_err().may_have_committed());
}

#[tokio::test(start_paused = true)]
async fn the_watch_ends_with_the_node() {
    let node = lone().await;
    let mut watch = node.watch();
    watch.mark_unchanged();
    node.shutdown().await.unwrap();
    assert!(watch.changed().await.is_err());
}

#[test]
fn a_node_whose_runtime_ends_says_so() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let node = runtime.block_on(lone());
    drop(runtime);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let refused = runtime.block_on(node.propose("a".into())).unwrap_err();
    assert!(matches!(refused, ProposeError::Stopped { cause: StopCause::RuntimeEnded, .. }), "{refused}");
}

#[tokio::test]
async fn a_state_machine_that_knows_more_than_the_log_is_refused() {
    let disk = founder_disk(NodeId(1), 1).await;
    let storage = Arc::new(MemoryStorage::open(&disk, Expected::any()).unwrap());
    let transport = Arc::new(Network::default().transport(NodeId(1)));
    let state_machine = Box::new(Moody { applied: LogIndex(5) });
    let refused = Node::start(options(NodeId(1)), storage, transport, state_machine).await.unwrap_err();
    assert!(matches!(refused, StartError::StateMachine { applied: LogIndex(5), last: LogIndex(1), .. }), "{refused}");
}

#[tokio::test]
async fn a_log_that_ends_in_a_term_that_its_store_forgot_is_refused() {
    let disk = founder_disk(NodeId(1), 1).await;
    let storage = MemoryStorage::open(&disk, Expected::any()).unwrap();
    let log = LogChange::Append(vec![Entry::command(Term(2), LogIndex(2), "a")]);
    storage.save_raft_state(RaftStateUpdate { hard_state: None, log }).await.unwrap();
    let transport = Arc::new(Network::default().transport(NodeId(1)));
    let state_machine = Box::new(Moody { applied: LogIndex(0) });
    let refused = Node::start(options(NodeId(1)), Arc::new(storage), transport, state_machine).await.unwrap_err();
    let kind = if let StartError::Storage(error) = &refused { Some(error.kind()) } else { None };
    assert_eq!(kind, Some(StorageErrorKind::Corrupt), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_durable_state_machine_is_given_only_what_it_lacks() {
    let disk = founder_disk(NodeId(1), 1).await;
    let storage = MemoryStorage::open(&disk, Expected::any()).unwrap();
    let fatal = [2, 3].map(|index| Entry::command(Term(1), LogIndex(index), "fail"));
    let log = LogChange::Append(fatal.to_vec());
    storage.save_raft_state(RaftStateUpdate { hard_state: None, log }).await.unwrap();
    let transport = Arc::new(Network::default().transport(NodeId(1)));
    let state_machine = Box::new(Moody { applied: LogIndex(3) });
    // It ends the node if it is given entry 2 or 3 again.
    let node = Node::start(options(NodeId(1)), Arc::new(storage), transport, state_machine).await.unwrap();
    let mut watch = node.watch();
    watch.wait_for(|seen| seen.leader.is_some()).await.unwrap();
    assert_eq!(node.propose("a".into()).await.unwrap(), "5:a");
}

/// Cannot give a view of itself: not at all, or not to its end.
#[derive(Debug)]
struct Blind {
    at_once: bool,
}

#[async_trait]
impl StateMachine for Blind {
    fn last_applied(&self) -> LogIndex {
        LogIndex::ZERO
    }

    async fn apply(&mut self, entries: Vec<Entry>) -> Result<Vec<Bytes>, StateMachineError> {
        Ok(entries.iter().map(reply).collect())
    }

    async fn snapshot(&mut self) -> Result<SnapshotStream, StateMachineError> {
        if self.at_once {
            return Err("it sees nothing".into());
        }
        Ok(stream::iter([Ok("a part of it".into()), Err("it sees nothing".into())]).boxed())
    }

    async fn restore(&mut self, _snapshot: SnapshotReader) -> Result<(), StateMachineError> {
        Err("it never gave one".into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_machine_that_cannot_give_a_snapshot_ends_the_node_and_is_told() {
    for at_once in [true, false] {
        let disk = founder_disk(NodeId(1), 1).await;
        let (storage, faults) = Faulty::over(Arc::new(MemoryStorage::open(&disk, Expected::any()).unwrap()));
        let transport = Arc::new(Network::default().transport(NodeId(1)));
        let options = Options { max_log_bytes: 1, ..options(NodeId(1)) };
        let node = Node::start(options, storage, transport, Box::new(Blind { at_once })).await.unwrap();
        let cause = in_time(node.stopped()).await;
        let StopCause::StateMachine { reason, .. } = &cause else { panic!("{cause}") };
        assert_eq!(reason, "taking a snapshot: it sees nothing");
        assert_eq!(faults.stages(), 0, "half a snapshot was left");
    }
}
