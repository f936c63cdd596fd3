//! Nodes that have compacted their logs: what a snapshot holds is committed, whoever else has forgotten that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

#[allow(dead_code, reason = "other tests need more of it")]
mod support;

use bytes::Bytes;
use eraft_core::{
    Config, Entry, EntryId, Event, LogChange, LogIndex, Message, MessageBody, NodeId, Now, Raft, RaftStateUpdate, Term,
};
use support::{Disk, Machine, voters};

/// A compaction need not bring a new hard state, and the commit index only rides along.
#[test]
fn what_the_snapshot_holds_is_committed_whatever_commit_index_was_saved() {
    let disk = compacted(NodeId(1), 2, 5, 7);
    assert_eq!(disk.state.hard_state.commit, LogIndex(1));
    let raft = Raft::restore(Config::new(NodeId(1), 1), disk.state, LogIndex(3), Now::default());
    assert_eq!(raft.status().commit, LogIndex(5));
}

/// Its acknowledgements were lost, so its leader still knows of entry 3 only, and sends heartbeats that follow it. A refusal
/// would tell the leader nothing: it knows that they agree there.
#[test]
fn a_follower_that_has_compacted_more_than_its_leader_knows_of_says_so() {
    let mut machine = Machine::new(Config::new(NodeId(2), 1), compacted(NodeId(2), 5, 5, 7));
    let now = Now::default();
    machine.start(now);
    let heartbeat =
        MessageBody::AppendEntries { prev: EntryId::new(1, 3), entries: Vec::new(), commit: LogIndex(3), round: 9 };
    machine.step(now, Event::Message(Message { from: NodeId(1), to: NodeId(2), term: Term(1), body: heartbeat }));
    let answers: Vec<MessageBody> = machine.ready(now, usize::MAX).messages.into_iter().map(|sent| sent.body).collect();
    // Every leader's log holds the base, since that is committed; 6 and 7 may be another's.
    assert_eq!(answers, [MessageBody::Appended { matched: LogIndex(5), round: 9 }]);
}

/// A disk whose log, all of term 1, goes on from `base` to `last`, and whose snapshot ends with `snapshot`.
fn compacted(node: NodeId, base: u64, snapshot: u64, last: u64) -> Disk {
    let founders = voters(&[1, 2, 3]);
    let mut disk = Disk::founded(node, &founders);
    let entries = (2..=last).map(|index| Entry::command(Term(1), LogIndex(index), Bytes::new())).collect();
    disk.state.apply(&RaftStateUpdate { log: LogChange::Append(entries), ..Default::default() }, None).unwrap();
    disk.compact(LogIndex(base), LogIndex(snapshot), founders);
    disk
}
