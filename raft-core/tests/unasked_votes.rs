//! Votes that nobody asked for: a peer may send anything at any time, and must neither elect nor end a node by it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use bytes::Bytes;
use eraft_core::{
    ClusterId, ConfState, Config, Event, Identity, LogIndex, Message, MessageBody, NodeId, Now, Raft, RaftState, Role,
    StoreId, Term, bootstrap,
};

#[test]
fn votes_that_come_before_the_candidates_own_is_durable_do_not_elect_it() {
    let founders = ConfState::of_voters([1, 2, 3].map(|id| (NodeId(id), Bytes::new())));
    let identity = Identity { cluster: ClusterId(1), node: NodeId(1), store: StoreId(1) };
    let mut state = RaftState::blank(identity);
    state.apply(&bootstrap(&founders), None).unwrap();
    let mut raft = Raft::restore(Config::new(NodeId(1), 7), state, LogIndex(1), Now::default());

    let from = |peer, term, body| Event::Message(Message { from: NodeId(peer), to: NodeId(1), term: Term(term), body });
    let late = Now(Duration::from_secs(10));
    raft.step(late, Event::Timeout);
    raft.step(late, from(2, 1, MessageBody::PreVote { granted: true }));
    for peer in [2, 3] {
        raft.step(late, from(peer, 2, MessageBody::Vote { granted: true }));
    }
    assert_eq!(raft.status().role, Role::Candidate, "its own vote is not durable yet");

    let save = raft.ready().saves.pop().unwrap();
    raft.step(late, Event::Saved { id: save.id });
    assert_eq!(raft.status().role, Role::Leader);
}
