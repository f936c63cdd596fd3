//! Every bound holds, and whoever meets one is told or held up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Cluster, options, puppet::Stage, until};
use eraft_core::{Entry, EntryId, EntryKind, LogIndex, Message, MessageBody, NodeId, Role};
use eraft_node::{Node, Options, ProposeError, StartError, WhenBusy};
use tokio::{task::JoinSet, time::sleep};

/// A cluster of one under these options, leading, with its saves held up.
async fn held_up(options: Options) -> Cluster {
    let mut cluster = Cluster::start(1).await;
    cluster.kill(NodeId(1)).await;
    cluster.run(NodeId(1), options).await;
    cluster.leader().await;
    cluster.propose("first").await;
    cluster.members[&NodeId(1)].disk.hold_saves();
    cluster
}

fn propose_many(node: &Node, many: usize, bytes: usize) -> JoinSet<Result<bytes::Bytes, ProposeError>> {
    let mut clients = JoinSet::new();
    for _ in 0..many {
        let node = node.clone();
        clients.spawn(async move { node.propose(vec![b'x'; bytes].into()).await });
    }
    clients
}

#[tokio::test(start_paused = true)]
async fn a_command_that_followers_could_not_receive_is_refused_at_once() {
    let cluster = Cluster::start(1).await;
    cluster.leader().await;
    let max_bytes = Options::default().max_entry_bytes;
    let node = cluster.node(NodeId(1));
    let largest = vec![b'x'; usize::try_from(max_bytes).unwrap()];
    assert!(node.propose(largest.clone().into()).await.is_ok());
    let refused = node.propose([largest, vec![b'x']].concat().into()).await.unwrap_err();
    assert!(
        matches!(refused, ProposeError::TooLarge { size_bytes, max_bytes: max } if size_bytes == max + 1 && max == max_bytes),
        "{refused}"
    );
    assert!(!refused.may_have_committed());
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_are_refused_where_the_option_says_so() {
    let tight = Options { when_busy: WhenBusy::Refuse, max_pending_requests: 5, ..options(NodeId(1)) };
    let cluster = held_up(tight).await;
    let mut clients = propose_many(cluster.node(NodeId(1)), 8, 1);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(cluster.node(NodeId(1)).status().pending_requests, 5);
    cluster.members[&NodeId(1)].disk.release_saves();
    let (mut done, mut busy) = (0, 0);
    while let Some(outcome) = clients.join_next().await {
        match outcome.unwrap() {
            Ok(_) => done += 1,
            Err(ProposeError::Busy) => busy += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((done, busy), (5, 3));
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_wait_where_the_option_says_so_and_all_are_answered() {
    let tight = Options {
        max_pending_requests: 5,
        max_entry_bytes: 1000,
        max_message_bytes: 2000,
        max_pending_bytes: 2000,
        max_unsaved_bytes: 2000,
        max_unapplied_entries: 3,
        max_turn_events: 2,
        ..options(NodeId(1))
    };
    let cluster = held_up(tight).await;
    let mut clients = propose_many(cluster.node(NodeId(1)), 100, 700);
    sleep(Duration::from_secs(1)).await;
    // Two fill the bytes that may be pending.
    assert!(cluster.node(NodeId(1)).status().unsaved_bytes <= 2000);
    cluster.members[&NodeId(1)].disk.release_saves();
    while let Some(outcome) = clients.join_next().await {
        outcome.unwrap().unwrap();
    }
    assert_eq!(cluster.members[&NodeId(1)].journal.commands().len(), 101);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_not_saved_are_bounded() {
    for when_busy in [WhenBusy::Wait, WhenBusy::Refuse] {
        let tight = Options {
            when_busy,
            max_entry_bytes: 1000,
            max_message_bytes: 5000,
            max_unsaved_bytes: 5000,
            ..options(NodeId(1))
        };
        let cluster = held_up(tight).await;
        let mut clients = propose_many(cluster.node(NodeId(1)), 50, 900);
        sleep(Duration::from_secs(1)).await;
        let unsaved_bytes = cluster.node(NodeId(1)).status().unsaved_bytes;
        assert!((5000..6000).contains(&unsaved_bytes), "{unsaved_bytes}");
        cluster.members[&NodeId(1)].disk.release_saves();
        let mut done = 0;
        while let Some(outcome) = clients.join_next().await {
            match outcome.unwrap() {
                Ok(_) => done += 1,
                Err(ProposeError::Busy) if when_busy == WhenBusy::Refuse => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(done, if when_busy == WhenBusy::Wait { 50 } else { 6 });
        assert_eq!(cluster.node(NodeId(1)).status().unsaved_bytes, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_without_room_refuses_commands_until_there_is_room() {
    let cluster = Cluster::start(1).await;
    cluster.propose("a").await;
    let member = &cluster.members[&NodeId(1)];
    let faults = member.faults.as_ref().unwrap();
    faults.set_room_bytes(Some(40));
    let refused = cluster.node(NodeId(1)).propose("123456789".into()).await.unwrap_err();
    assert!(matches!(refused, ProposeError::Full { room_bytes: 40 }), "{refused}");
    assert!(!refused.may_have_committed());
    cluster.node(NodeId(1)).linearizable_read().await.unwrap();
    faults.set_room_bytes(Some(41));
    assert!(cluster.node(NodeId(1)).propose("123456789".into()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_follower_says_who_leads_also_when_its_own_store_is_full() {
    for when_busy in [WhenBusy::Wait, WhenBusy::Refuse] {
        let stage = Stage::set(Options { when_busy, max_unapplied_entries: 1, ..options(NodeId(1)) }).await;
        let [two, _] = &stage.puppets;
        let term = stage.led().await.next();
        two.append(term, EntryId::new(term.0 - 1, 2), Vec::new()).await;
        stage.faults.set_room_bytes(Some(0));
        until("it follows", || stage.node.watch().borrow().leader == Some(NodeId(2))).await;
        let refused = stage.node.propose("a".into()).await.unwrap_err();
        assert!(matches!(refused, ProposeError::NotLeader { leader: Some(NodeId(2)) }), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_without_room_drops_entries_but_hears_heartbeats() {
    let stage = Stage::set(options(NodeId(1))).await;
    let [two, _] = &stage.puppets;
    let term = stage.led().await.next();
    stage.durable(2).await;
    stage.faults.set_room_bytes(Some(0));
    let entry = Entry::command(term, LogIndex(3), "theirs");
    for _ in 0..50 {
        two.append(term, EntryId::new(term.0 - 1, 2), Vec::new()).await;
        two.append(term, EntryId::new(term.0 - 1, 2), vec![entry.clone()]).await;
        sleep(Duration::from_millis(100)).await;
    }
    let status = stage.node.status();
    assert_eq!((status.raft.role, status.raft.leader), (Role::Follower, Some(NodeId(2))));
    assert_eq!((status.dropped_appends, status.raft.last.index), (50, LogIndex(2)));
    stage.faults.set_room_bytes(None);
    two.append(term, EntryId::new(term.0 - 1, 2), vec![entry]).await;
    until("it takes the entry", || stage.node.status().raft.last.index == LogIndex(3)).await;
}

#[tokio::test(start_paused = true)]
async fn a_follower_without_room_takes_the_no_op_of_a_new_term() {
    let stage = Stage::set(options(NodeId(1))).await;
    let [two, _] = &stage.puppets;
    let term = stage.led().await.next();
    stage.durable(2).await;
    stage.faults.set_room_bytes(Some(0));
    let noop = |index, payload: &'static str| Entry {
        index: LogIndex(index),
        term,
        kind: EntryKind::Noop,
        payload: payload.into(),
    };
    let behind = Entry::command(term, LogIndex(4), "theirs");
    two.append(term, EntryId::new(term.0 - 1, 2), vec![noop(3, ""), behind]).await;
    stage.durable(3).await;
    let matched = |message: &Message| matches!(message.body, MessageBody::Appended { matched: LogIndex(3), .. });
    until("it is acknowledged", || two.received().iter().any(matched)).await;
    two.append(term, EntryId::new(term.0, 3), vec![noop(4, "what calls itself one")]).await;
    sleep(Duration::from_secs(1)).await;
    let status = stage.node.status();
    assert_eq!((status.raft.last.index, status.dropped_appends), (LogIndex(3), 2));
}

#[tokio::test(start_paused = true)]
async fn a_follower_whose_disk_is_behind_drops_entries_but_hears_heartbeats() {
    let tight =
        Options { max_entry_bytes: 1000, max_message_bytes: 2000, max_unsaved_bytes: 2000, ..options(NodeId(1)) };
    let stage = Stage::set(tight).await;
    let [two, _] = &stage.puppets;
    let term = stage.led().await.next();
    stage.durable(2).await;
    two.append(term, EntryId::new(term.0 - 1, 2), Vec::new()).await;
    until("it follows", || stage.node.watch().borrow().role == Role::Follower).await;
    stage.disk.hold_saves();
    let mut prev = EntryId::new(term.0 - 1, 2);
    for _ in 0..5 {
        let entry = Entry::command(term, prev.index.next(), vec![0; 900]);
        let next = entry.id();
        two.append(term, prev, vec![entry]).await;
        prev = next;
    }
    until("entries were dropped", || stage.node.status().dropped_appends > 0).await;
    let status = stage.node.status();
    assert!(status.unsaved_bytes <= 2000 && status.raft.last.index == LogIndex(4), "{status:?}");
    for _ in 0..50 {
        two.append(term, EntryId::new(term.0 - 1, 2), Vec::new()).await;
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(stage.node.status().raft.role, Role::Follower, "it has not heard its leader");
    // The answers that waited for the disk leave now, and vouch for no more than it holds.
    drop(two.received());
    stage.disk.release_saves();
    sleep(Duration::from_millis(100)).await;
    let matched = two.received().into_iter().filter_map(|message| match message.body {
        MessageBody::Appended { matched, .. } => Some(matched),
        _ => None,
    });
    assert_eq!(matched.max(), Some(LogIndex(4)));
}

#[tokio::test(start_paused = true)]
async fn the_cache_is_bounded_once_entries_are_saved() {
    let mut cluster = Cluster::start(1).await;
    cluster.kill(NodeId(1)).await;
    cluster.run(NodeId(1), Options { entry_cache_bytes: 1000, ..options(NodeId(1)) }).await;
    for n in 0..100 {
        cluster.propose(&n.to_string()).await;
    }
    let status = cluster.node(NodeId(1)).status();
    assert!(status.cached_bytes <= 1000 && status.cached_entries > 10, "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn clients_that_go_away_leave_nothing_behind() {
    let cluster = held_up(options(NodeId(1))).await;
    let clients = propose_many(cluster.node(NodeId(1)), 20, 10);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(cluster.node(NodeId(1)).status().pending_requests, 20);
    drop(clients);
    cluster.members[&NodeId(1)].disk.release_saves();
    until("they are applied", || cluster.members[&NodeId(1)].journal.commands().len() == 21).await;
    let status = cluster.node(NodeId(1)).status();
    assert_eq!((status.pending_requests, status.unsaved_bytes, status.unsaved_saves), (0, 0, 0));
}

#[test]
fn options_that_cannot_work_are_refused_with_the_remedy() {
    Options::default().validate().unwrap();
    let base = Options::default;
    let refused = [
        (Options { heartbeat_interval: Duration::from_millis(400), ..base() }, "three heartbeats"),
        (Options { heartbeat_interval: Duration::ZERO, ..base() }, "above zero"),
        (Options { max_entry_bytes: 2 << 20, ..base() }, "bytes more"),
        (Options { max_unsaved_bytes: 0, ..base() }, "max_unsaved_bytes is 0: set it to at least 1572864"),
        (Options { max_pending_requests: 0, ..base() }, "max_pending_requests is 0: set it to at least 1"),
    ];
    for (options, remedy) in refused {
        let Err(StartError::Options(text)) = options.validate() else { panic!("accepted: {options:?}") };
        assert!(text.contains(remedy), "{text}");
    }
}
