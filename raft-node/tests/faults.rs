//! A node on a store that fails, delays and tears by plan: it ends with the first cause, says nothing that its store does
//! not vouch for, and leaves nobody waiting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::time::Duration;

use common::{CLUSTER, Cluster, in_time, options, puppet::Stage, until};
use eraft_conformance::faulty::{Fault, Method};
use eraft_core::{
    Entry, EntryId, Expected, LogIndex, MemoryStorage, Message, MessageBody, NodeId, Storage, StorageError,
    StorageErrorKind, Term,
};
use eraft_node::{Options, ProposeError, ReadError, StopCause};
use tokio::time::sleep;

fn error(kind: StorageErrorKind) -> StorageError {
    StorageError::new(kind, "the planned call", "as the test asked")
}

/// Waits until `holds`, or the node has ended: whether it lives.
async fn lives_until(stage: &Stage, what: &str, holds: impl Fn() -> bool) -> bool {
    until(what, || stage.node.status().stopped.is_some() || holds()).await;
    stage.node.status().stopped.is_none()
}

/// A life with saves of every kind: a vote for another, an election, entries of its own, another leader's. Whether the node
/// has lived through it.
async fn life(stage: &Stage) -> bool {
    let [two, three] = &stage.puppets;
    let status = || stage.node.status().raft;
    three.say(Term(5), MessageBody::RequestVote { last: EntryId::new(4, 9) }).await;
    if !lives_until(stage, "it has voted, and then leads", || status().applied == LogIndex(2)).await {
        return false;
    }
    let term = status().term;
    let (a, b, read) = tokio::join!(
        in_time(stage.node.propose("a".into())),
        in_time(stage.node.propose("b".into())),
        in_time(stage.node.linearizable_read()),
    );
    if stage.node.status().stopped.is_some() {
        let told: Vec<_> = [a, b].into_iter().filter_map(Result::err).collect();
        assert!(told.iter().all(|error| matches!(error, ProposeError::Stopped { .. })), "{told:?}");
        assert!(matches!(read, Ok(()) | Err(ReadError::Stopped { .. })), "{read:?}");
        return false;
    }
    assert!(a.is_ok() && b.is_ok(), "{a:?}, {b:?}");
    two.append(term.next(), EntryId::new(term.0, 4), vec![Entry::command(term.next(), LogIndex(5), "theirs")]).await;
    lives_until(stage, "it has acknowledged", || status().durable == LogIndex(5)).await;
    sleep(Duration::from_millis(50)).await;
    stage.node.status().stopped.is_none()
}

/// No message says more than the disk holds when the node is gone.
async fn assert_vouched_for(stage: &Stage, said: &[Message], context: &str) {
    stage.disk.kill();
    let storage = MemoryStorage::open(&stage.disk, Expected::exactly(CLUSTER, NodeId(1))).unwrap();
    let state = storage.read_raft_state().await.unwrap();
    let (durable, last) = (state.hard_state, state.outline.last_index());
    for message in said {
        let of_this_term = message.term == durable.term;
        let vouched_for = match &message.body {
            // They ask for a term that nobody is in.
            MessageBody::RequestPreVote { .. } | MessageBody::PreVote { .. } => true,
            _ if message.term > durable.term => false,
            MessageBody::RequestVote { .. } if of_this_term => durable.vote == Some(NodeId(1)),
            MessageBody::Vote { granted: true } if of_this_term => durable.vote == Some(message.to),
            MessageBody::Appended { matched, .. } if of_this_term => *matched <= last,
            _ => true,
        };
        assert!(vouched_for, "{context}: {message:?} left, and the disk holds {durable:?} and a log up to {last}");
    }
}

#[tokio::test(start_paused = true)]
async fn whichever_save_fails_the_node_ends_with_the_first_cause_and_has_said_nothing_more_than_its_disk_holds() {
    for torn in [false, true] {
        let mut failed = 0;
        for nth in 1.. {
            let context = format!("save {nth}, torn: {torn}");
            let stage = Stage::set(options(NodeId(1))).await;
            let planned = error(StorageErrorKind::Io);
            let fault = if torn { Fault::FailDone(planned) } else { Fault::Fail(planned) };
            stage.faults.fail_nth(Method::Save, nth, fault);
            let [two, three] = &stage.puppets;
            if life(&stage).await {
                break;
            }
            failed += 1;
            let StopCause::Storage(cause) = in_time(stage.node.stopped()).await else { panic!("{context}") };
            assert_eq!((cause.kind(), cause.during()), (StorageErrorKind::Io, "the planned call"), "{context}");
            let said: Vec<Message> = two.received().into_iter().chain(three.received()).collect();
            let saves = stage.faults.calls(Method::Save);

            // It votes no more, acknowledges no more, and nobody waits.
            let last = EntryId::new(100, 100);
            three.say(Term(100), MessageBody::RequestVote { last }).await;
            two.append(Term(100), EntryId::new(1, 1), vec![Entry::command(Term(100), LogIndex(2), "late")]).await;
            let refused = in_time(stage.node.propose("late".into())).await.unwrap_err();
            assert!(matches!(refused, ProposeError::Stopped { may_have_committed: false, .. }), "{context}: {refused}");
            let refused = in_time(stage.node.linearizable_read()).await.unwrap_err();
            assert!(matches!(refused, ReadError::Stopped { .. }), "{context}: {refused}");
            sleep(Duration::from_secs(60)).await;
            assert_eq!((two.received(), three.received()), (vec![], vec![]), "{context}: it still speaks");
            assert_eq!(stage.faults.calls(Method::Save), saves, "{context}: it still saves");
            assert_vouched_for(&stage, &said, &context).await;
        }
        assert!(failed >= 5, "only {failed} saves were met");
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_save_is_on_its_way_nothing_that_rests_on_it_is_said() {
    let stage = Stage::set(options(NodeId(1))).await;
    let [two, three] = &stage.puppets;
    let term = stage.led().await;
    stage.durable(2).await;
    stage.faults.hold(Method::Save);
    sleep(Duration::from_secs(1)).await;
    drop((two.received(), three.received()));
    let proposed = stage.node.propose("a".into());
    tokio::pin!(proposed);
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut proposed).await.is_err(), "answered too early");
    let next = term.next();
    two.append(next, EntryId::new(term.0, 2), vec![Entry::command(next, LogIndex(3), "theirs")]).await;
    three.say(next.next(), MessageBody::RequestVote { last: EntryId::new(100, 100) }).await;
    sleep(Duration::from_secs(60)).await;
    let early = |message: &Message| {
        let of_an_old_term = message.term <= term;
        let asks_beforehand = matches!(message.body, MessageBody::RequestPreVote { .. } | MessageBody::PreVote { .. });
        !of_an_old_term && !asks_beforehand
    };
    let said: Vec<_> = two.received().into_iter().chain(three.received()).filter(early).collect();
    assert!(said.is_empty(), "said before it was durable: {said:?}");
    assert!(stage.faults.waiting(Method::Save) > 0);
    stage.faults.release(Method::Save);
    let answered = || {
        let received = three.received();
        received.iter().any(|message| matches!(message.body, MessageBody::Vote { granted: true }) || early(message))
    };
    until("what waited for the disk is said", answered).await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_on_disks_of_different_slowness_loses_and_repeats_nothing() {
    let cluster = Cluster::start(3).await;
    cluster.leader().await;
    for (id, millis) in [(1, 1), (2, 30), (3, 170)] {
        let delay = Fault::Delay(Duration::from_millis(millis));
        for method in [Method::Save, Method::ReadEntries] {
            cluster.faults(NodeId(id)).fail_from(method, 1, delay.clone());
        }
    }
    let commands: Vec<String> = (0..30).map(|n| n.to_string()).collect();
    for command in &commands {
        cluster.propose(command).await;
    }
    cluster.applied_everywhere(commands.len()).await;
    for (id, member) in &cluster.members {
        assert_eq!(member.journal.commands(), commands, "node {id}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_torn_save_is_there_when_the_node_comes_back() {
    let mut cluster = Cluster::start(1).await;
    cluster.propose("a").await;
    cluster.faults(NodeId(1)).fail_nth(Method::Save, 1, Fault::FailDone(error(StorageErrorKind::Io)));
    let told = in_time(cluster.node(NodeId(1)).propose("b".into())).await.unwrap_err();
    assert!(told.may_have_committed(), "it cannot know: {told}");
    assert_eq!(cluster.members[&NodeId(1)].journal.commands(), ["a"], "applied though it was not told to be durable");
    cluster.kill(NodeId(1)).await;
    cluster.run(NodeId(1), options(NodeId(1))).await;
    cluster.propose("c").await;
    assert_eq!(cluster.members[&NodeId(1)].journal.commands(), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lies_is_found_out_by_the_next_save() {
    let stage = Stage::set(options(NodeId(1))).await;
    stage.led().await;
    stage.durable(2).await;
    stage.faults.fail_nth(Method::Save, 1, Fault::Lie);
    // What a store says it has, it is believed to have: no node can tell.
    in_time(stage.node.propose("lost".into())).await.unwrap();
    in_time(stage.node.propose("b".into())).await.unwrap_err();
    let StopCause::Storage(cause) = in_time(stage.node.stopped()).await else { panic!("not for its store") };
    assert_eq!(cause.kind(), StorageErrorKind::Invalid, "{cause}");
}

/// Node 1 leads, on a disk whose reads of entries for peer 3 meet this.
async fn reading_for_a_peer(fault: Fault, nth: u64, lasts: bool) -> Stage {
    let stage = Stage::set(Options { entry_cache_bytes: 0, ..options(NodeId(1)) }).await;
    let [two, three] = &stage.puppets;
    two.acknowledge_up_to(2);
    three.acknowledge_up_to(1);
    let term = stage.led().await;
    stage.durable(2).await;
    let node = stage.node.clone();
    tokio::spawn(async move { node.propose("mine".into()).await });
    stage.durable(3).await;
    drop(three.received());
    match lasts {
        true => stage.faults.fail_from(Method::ReadEntries, nth, fault),
        false => stage.faults.fail_nth(Method::ReadEntries, nth, fault),
    }
    three.acknowledge_up_to(u64::MAX);
    three.say(term, MessageBody::Appended { matched: LogIndex(2), round: 1 }).await;
    stage
}

#[tokio::test(start_paused = true)]
async fn a_read_for_a_peer_that_fails_for_now_is_tried_again() {
    let stage = reading_for_a_peer(Fault::Fail(error(StorageErrorKind::Unavailable)), 1, false).await;
    until("peer 3 has it all the same", || stage.node.status().raft.commit == LogIndex(3)).await;
    assert!(stage.faults.calls(Method::ReadEntries) >= 2);
    assert!(stage.node.status().stopped.is_none());
}

#[tokio::test(start_paused = true)]
async fn damage_that_is_read_for_a_peer_ends_the_node_and_is_never_sent() {
    let stage = reading_for_a_peer(Fault::Fail(error(StorageErrorKind::Corrupt)), 1, true).await;
    let StopCause::Storage(cause) = in_time(stage.node.stopped()).await else { panic!("not for its store") };
    assert_eq!((cause.kind(), cause.during()), (StorageErrorKind::Corrupt, "the planned call"));
    let entries = stage.puppets[1].received().into_iter().filter_map(|message| match message.body {
        MessageBody::AppendEntries { entries, .. } => Some(entries.len()),
        _ => None,
    });
    assert_eq!(entries.sum::<usize>(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_cannot_be_read_to_its_end_is_sent_again_and_damage_ends_the_node() {
    fn often(id: NodeId) -> Options {
        Options { max_log_bytes: 4000, trailing_entries: 10, ..options(id) }
    }
    let cases = [
        (Method::ReadSnapshot, StorageErrorKind::Unavailable),
        (Method::ReadChunk, StorageErrorKind::Unavailable),
        (Method::ReadSnapshot, StorageErrorKind::Corrupt),
    ];
    for (method, kind) in cases {
        let mut cluster = Cluster::start_with(3, often).await;
        let leader = cluster.leader().await;
        let away = NodeId(if leader == NodeId(3) { 2 } else { 3 });
        cluster.kill(away).await;
        for n in 0..300 {
            cluster.propose(&n.to_string()).await;
        }
        cluster.faults(leader).fail_nth(method, 1, Fault::Fail(error(kind)));
        cluster.run(away, often(away)).await;
        if kind == StorageErrorKind::Corrupt {
            let StopCause::Storage(cause) = in_time(cluster.node(leader).stopped()).await else { panic!("{method:?}") };
            assert_eq!(cause.kind(), kind);
            continue;
        }
        cluster.applied_everywhere(300).await;
        assert!(cluster.faults(leader).calls(Method::ReadSnapshot) >= 2, "{method:?}: it was not sent again");
        assert!(!cluster.members[&away].journal.restored().is_empty(), "{method:?}");
        assert!(cluster.node(leader).status().stopped.is_none(), "{method:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_cannot_be_staged_is_taken_again_whichever_step_fails() {
    fn often(id: NodeId) -> Options {
        Options { max_log_bytes: 4000, snapshot_retry: Duration::from_secs(1), ..options(id) }
    }
    for method in [Method::Stage, Method::WriteChunk, Method::Finish] {
        for torn in [false, true] {
            let cluster = Cluster::start_with(1, often).await;
            cluster.leader().await;
            let (planned, faults) = (error(StorageErrorKind::Full), cluster.faults(NodeId(1)));
            let fault = if torn { Fault::FailDone(planned) } else { Fault::Fail(planned) };
            faults.fail_nth(method, 1, fault);
            for n in 0..300 {
                cluster.propose(&n.to_string()).await;
            }
            let status = || cluster.node(NodeId(1)).status();
            until("it is published", || status().raft.snapshot.index > LogIndex::ZERO).await;
            assert!(faults.calls(Method::Stage) >= 2, "{method:?}: it was not tried again");
            assert!(status().stopped.is_none(), "{method:?}");
            assert_eq!(faults.stages(), 0, "{method:?}: a stage is left");
        }
    }
}

/// A snapshot may be in a place that is away for a while: whoever needs it waits, and goes on voting and saving.
#[tokio::test(start_paused = true)]
async fn a_node_whose_store_cannot_give_its_snapshot_now_is_restored_later() {
    fn often(id: NodeId) -> Options {
        Options { max_log_bytes: 4000, trailing_entries: 10, snapshot_retry: Duration::from_secs(5), ..options(id) }
    }
    for method in [Method::ReadSnapshot, Method::ReadChunk] {
        let mut cluster = Cluster::start_with(3, often).await;
        let leader = cluster.leader().await;
        let away = NodeId(if leader == NodeId(3) { 2 } else { 3 });
        cluster.kill(away).await;
        for n in 0..300 {
            cluster.propose(&n.to_string()).await;
        }
        cluster.run(away, often(away)).await;
        (1..=3).for_each(|nth| {
            cluster.faults(away).fail_nth(method, nth, Fault::Fail(error(StorageErrorKind::Unavailable)));
        });
        until("it has the snapshot", || cluster.node(away).status().snapshots.received > 0).await;
        cluster.propose("meanwhile").await;
        until("it saves what comes", || cluster.node(away).status().raft.durable.0 > 300).await;
        assert!(cluster.members[&away].journal.restored().is_empty(), "{method:?}: nothing was in its way");
        cluster.applied_everywhere(301).await;
        assert!(cluster.faults(away).calls(method) > 3, "{method:?}: it did not meet the refusals");
        assert!(cluster.node(away).status().stopped.is_none(), "{method:?}");
    }
}
