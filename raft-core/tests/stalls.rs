//! Waiting for ever: honest nodes with slow disks, silent peers and lost answers, which must come through all the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

#[allow(dead_code, reason = "other tests need more of it")]
mod support;

use std::time::Duration;

use eraft_core::{Config, Event, LogIndex, Message, MessageBody, NodeId, Now, ReadOutcome, RequestId, Role, Term};
use support::{Disk, Machine, voters};

#[test]
fn a_campaign_is_not_given_up_while_its_vote_is_on_its_way_to_the_disk() {
    let mut machine = Machine::new(Config::new(NodeId(1), 1), Disk::founded(NodeId(1), &voters(&[1])));
    let mut now = Now::default();
    machine.start(now);
    // A save takes three timeouts; were each a new campaign, the vote that completes would always be an old one.
    for _ in 0..3 {
        now = now + Duration::from_secs(2);
        machine.step(now, Event::Timeout);
        let _ = machine.ready(now, usize::MAX);
    }
    assert_eq!(machine.unsaved.len(), 1, "saves pile up");
    machine.complete_save(now);
    assert_eq!(machine.status().unwrap().role, Role::Leader);
}

#[test]
fn a_candidate_that_nobody_answers_tries_again() {
    let mut machine = Machine::new(Config::new(NodeId(1), 1), Disk::founded(NodeId(1), &voters(&[1, 2, 3])));
    let mut now = Now(Duration::from_secs(10));
    machine.start(Now::default());
    machine.step(now, Event::Timeout);
    let granted = MessageBody::PreVote { granted: true };
    machine.step(now, Event::Message(Message { from: NodeId(2), to: NodeId(1), term: Term(1), body: granted }));
    let _ = machine.ready(now, usize::MAX);
    assert_eq!(machine.raft.as_ref().unwrap().deadline(), Now::NEVER, "the disk has to wake it");
    machine.complete_save(now);
    now = machine.raft.as_ref().unwrap().deadline();
    machine.step(now, Event::Timeout);
    assert_eq!(machine.status().unwrap().role, Role::PreCandidate);
}

#[test]
fn the_only_voter_needs_no_learner_to_confirm_a_read() {
    let mut founders = voters(&[1, 2]);
    founders.voters.remove(&NodeId(2));
    founders.learners.insert(NodeId(2));
    let mut machine = Machine::new(Config::new(NodeId(1), 1), Disk::founded(NodeId(1), &founders));
    let mut now = Now::default();
    machine.start(now);
    machine.step(now, Event::Timeout);
    // The vote, then the entry that opens the term; the learner never says a word.
    for _ in 0..2 {
        let _ = machine.ready(now, usize::MAX);
        assert!(machine.complete_save(now));
    }
    let _ = machine.ready(now, usize::MAX);

    // A heartbeat that is due takes the read along, before the core is asked what to do.
    now = now + Duration::from_secs(5);
    machine.step(now, Event::ReadIndex { id: RequestId(1) });
    machine.step(now, Event::Timeout);
    let reads = machine.ready(now, usize::MAX).reads;
    assert_eq!(reads, [(RequestId(1), ReadOutcome::ReadAt(LogIndex(2)))]);
}
