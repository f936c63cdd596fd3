//! A snapshot on its way in: what is refused, what is left behind, and what the state machine's failures do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use common::{founders, in_time, options, puppet::Stage, until};
use eraft_conformance::faulty::Method;
use eraft_core::{
    Entry, EntryId, EntryKind, LogIndex, MessageBody, NodeId, SnapshotMeta, SnapshotReader, StorageError,
    StorageErrorKind, Term, codec,
};
use eraft_node::{Options, ProposeError, StopCause};
use futures_util::{StreamExt as _, stream};
use tokio::time::{sleep, timeout};

/// A follower that the tests' puppets lead.
async fn follower(options: Options) -> Stage {
    let stage = Stage::set(Options { election_timeout: Duration::from_secs(600), ..options }).await;
    // Entry 1 is the configuration that all were founded with.
    stage.puppets[0].append(Term(2), EntryId::new(1, 1), Vec::new()).await;
    until("it follows", || stage.node.watch().borrow().leader == Some(NodeId(2))).await;
    stage
}

fn entries(range: std::ops::Range<u64>) -> Vec<Entry> {
    range.map(|index| Entry::command(Term(2), LogIndex(index), format!("{index}"))).collect()
}

/// What the journal of a node that has applied everything up to `last` says of itself.
fn state(last: u64) -> Bytes {
    let first = Entry { kind: EntryKind::Config, ..Entry::command(Term(1), LogIndex(1), codec::encode(&founders(3))) };
    codec::encode(&[vec![first], entries(2..last + 1)].concat())
}

fn snapshot(last: u64, size_bytes: u64, chunks: Vec<Result<Bytes, StorageError>>) -> SnapshotReader {
    let meta = SnapshotMeta { last: EntryId::new(2, last), conf_state: founders(3) };
    // Each takes its time, so that a test can come between.
    let chunks = stream::iter(chunks).then(|chunk| async {
        sleep(Duration::from_millis(10)).await;
        chunk
    });
    SnapshotReader { meta, size_bytes, chunks: chunks.boxed() }
}

fn whole(last: u64) -> SnapshotReader {
    let state = state(last);
    snapshot(last, state.len() as u64, state.chunks(50).map(|chunk| Ok(state.slice_ref(chunk))).collect())
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_installed_restored_and_acknowledged_and_what_follows_is_applied() {
    let stage = follower(options(NodeId(1))).await;
    stage.puppets[0].received();
    stage.node.inbox().receive_snapshot(NodeId(2), Term(2), whole(20)).await.unwrap();
    until("it is restored", || stage.node.status().raft.applied == LogIndex(20)).await;
    assert_eq!(stage.journal.restored(), [LogIndex(20)]);
    stage.puppets[0].append(Term(2), EntryId::new(2, 20), entries(21..24)).await;
    stage.puppets[0].commit(Term(2), EntryId::new(2, 23), 23).await;
    until("what follows is applied", || stage.node.status().raft.applied == LogIndex(23)).await;
    assert!(stage.journal.indexes().into_iter().eq(1..=23));
    assert_eq!(stage.faults.stages(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_read_for_apply_that_meets_compaction_waits_for_the_restore_that_overtook_it() {
    let stage = follower(Options { entry_cache_bytes: 0, ..options(NodeId(1)) }).await;
    stage.faults.hold(Method::ReadEntries);
    stage.puppets[0].append(Term(2), EntryId::new(1, 1), entries(2..10)).await;
    stage.durable(9).await;
    stage.puppets[0].commit(Term(2), EntryId::new(2, 9), 9).await;
    let waiting = || stage.faults.waiting(Method::ReadEntries) > 0;
    until("a read for apply waits", waiting).await;
    stage.node.inbox().receive_snapshot(NodeId(2), Term(2), whole(20)).await.unwrap();
    until("it is published", || stage.node.status().raft.commit == LogIndex(20)).await;
    stage.faults.release(Method::ReadEntries);
    until("it is restored", || stage.node.status().raft.applied == LogIndex(20)).await;
    assert!(stage.journal.indexes().into_iter().eq(1..=20));
    stage.puppets[0].append(Term(2), EntryId::new(2, 20), entries(21..24)).await;
    stage.puppets[0].commit(Term(2), EntryId::new(2, 23), 23).await;
    until("what follows is applied", || stage.node.status().raft.applied == LogIndex(23)).await;
    assert!(stage.node.status().stopped.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_reply_a_snapshot_has_overtaken_is_told_that_its_command_was_committed() {
    let stage = Stage::set(Options { entry_cache_bytes: 0, ..options(NodeId(1)) }).await;
    let term = stage.led().await;
    until("its first entry is applied", || stage.node.status().raft.applied == LogIndex(2)).await;
    stage.puppets.iter().for_each(|puppet| puppet.acknowledge_up_to(2));
    let node = stage.node.clone();
    let client = tokio::spawn(async move { node.propose("mine".into()).await });
    stage.durable(3).await;
    sleep(Duration::from_millis(10)).await;
    stage.faults.hold(Method::ReadEntries);
    stage.puppets[0].say(term, MessageBody::Appended { matched: LogIndex(3), round: 1 }).await;
    until("it is committed", || stage.node.status().raft.commit == LogIndex(3)).await;
    // Before it is applied here, another leads, whose snapshot holds it.
    stage.puppets[0].append(term.next(), EntryId::new(term.0, 3), Vec::new()).await;
    stage.node.inbox().receive_snapshot(NodeId(2), term.next(), whole(20)).await.unwrap();
    until("the snapshot is published", || stage.node.status().raft.commit == LogIndex(20)).await;
    stage.faults.release(Method::ReadEntries);
    let told = in_time(client).await.unwrap().unwrap_err();
    assert!(matches!(told, ProposeError::Overtaken), "{told}");
    assert!(told.may_have_committed());
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_not_whole_is_refused_and_leaves_nothing() {
    let stage = follower(options(NodeId(1))).await;
    let state = state(20);
    let size_bytes = state.len() as u64;
    let lost = || StorageError::new(StorageErrorKind::Unavailable, "receiving a snapshot", "the sender went away");
    let cases = [
        ("lost on the way", size_bytes, vec![Ok(state.slice(..100)), Err(lost())]),
        ("too short", size_bytes, vec![Ok(state.slice(..100))]),
        ("too long", size_bytes, vec![Ok(state.clone()), Ok(Bytes::from("x"))]),
        ("empty", size_bytes, vec![]),
    ];
    for (what, size_bytes, chunks) in cases {
        let arriving = snapshot(20, size_bytes, chunks);
        let refused = stage.node.inbox().receive_snapshot(NodeId(2), Term(2), arriving).await;
        assert!(refused.is_err(), "{what}");
        assert_eq!(stage.faults.stages(), 0, "{what} has left a stage");
    }
    assert_eq!(stage.node.status().raft.snapshot.index, LogIndex::ZERO);
    stage.node.inbox().receive_snapshot(NodeId(2), Term(2), whole(20)).await.unwrap();
    until("a whole one is installed all the same", || stage.node.status().raft.applied == LogIndex(20)).await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_goes_away_leaves_nothing_and_blocks_nobody() {
    let stage = follower(options(NodeId(1))).await;
    let inbox = stage.node.inbox();
    for cut_millis in [5, 25, 60] {
        let given_up =
            timeout(Duration::from_millis(cut_millis), inbox.receive_snapshot(NodeId(2), Term(2), whole(20)));
        assert!(given_up.await.is_err());
        until("no stage is left", || stage.faults.stages() == 0).await;
        assert!(!stage.node.status().snapshots.receiving);
    }
    inbox.receive_snapshot(NodeId(2), Term(2), whole(20)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_snapshot_comes_in_at_a_time_and_none_of_an_old_term() {
    let stage = follower(options(NodeId(1))).await;
    let inbox = stage.node.inbox();
    let (first, second) = tokio::join!(
        inbox.receive_snapshot(NodeId(2), Term(2), whole(20)),
        inbox.receive_snapshot(NodeId(2), Term(2), whole(30))
    );
    assert!(first.is_ok());
    assert!(second.unwrap_err().reason.contains("another"));
    let stale = inbox.receive_snapshot(NodeId(3), Term(1), whole(40)).await;
    assert!(stale.unwrap_err().reason.contains("term"));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_whose_term_ends_while_it_comes_in_is_given_up() {
    let stage = follower(options(NodeId(1))).await;
    let inbox = stage.node.inbox();
    let arriving = tokio::spawn(async move { inbox.receive_snapshot(NodeId(2), Term(2), whole(20)).await });
    until("it comes in", || stage.node.status().snapshots.receiving).await;
    stage.puppets[1].append(Term(3), EntryId::new(1, 1), Vec::new()).await;
    assert!(in_time(arriving).await.unwrap().is_err());
    assert_eq!(stage.faults.stages(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_state_machine_that_cannot_restore_ends_the_node_and_is_told() {
    let stage = follower(options(NodeId(1))).await;
    let nonsense = Bytes::from("no journal says this");
    let arriving = snapshot(20, nonsense.len() as u64, vec![Ok(nonsense)]);
    stage.node.inbox().receive_snapshot(NodeId(2), Term(2), arriving).await.unwrap();
    let cause = in_time(stage.node.stopped()).await;
    let StopCause::StateMachine { index: LogIndex(20), reason } = &cause else { panic!("{cause}") };
    assert!(reason.contains("restoring"), "{reason}");
    let late = stage.node.inbox().receive_snapshot(NodeId(2), Term(2), whole(30)).await;
    assert!(late.is_err(), "a node that has ended takes no snapshot");
}

#[tokio::test(start_paused = true)]
async fn a_node_is_shut_down_in_the_middle_of_everything() {
    let stage = follower(options(NodeId(1))).await;
    let inbox: Arc<dyn eraft_core::Inbox> = stage.node.inbox();
    let arriving = tokio::spawn(async move { inbox.receive_snapshot(NodeId(2), Term(2), whole(20)).await });
    until("it comes in", || stage.node.status().snapshots.receiving).await;
    in_time(stage.node.shutdown()).await.unwrap();
    assert!(in_time(arriving).await.unwrap().is_err());
    assert_eq!(stage.faults.stages(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_restore_that_is_under_way_holds_up_what_follows() {
    let stage = follower(options(NodeId(1))).await;
    stage.journal.hold_restores.send_replace(true);
    stage.node.inbox().receive_snapshot(NodeId(2), Term(2), whole(20)).await.unwrap();
    stage.puppets[0].append(Term(2), EntryId::new(2, 20), entries(21..24)).await;
    stage.durable(23).await;
    stage.puppets[0].commit(Term(2), EntryId::new(2, 23), 23).await;
    until("it is committed", || stage.node.status().raft.commit == LogIndex(23)).await;
    sleep(Duration::from_secs(1)).await;
    assert!(stage.node.status().raft.applied < LogIndex(20), "reported before it was restored");
    stage.journal.hold_restores.send_replace(false);
    until("what follows is applied", || stage.node.status().raft.applied == LogIndex(23)).await;
    assert!(stage.journal.indexes().into_iter().eq(1..=23));
}
