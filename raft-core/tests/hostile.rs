//! Whatever a peer says, it does no harm here: no panic, no invariant broken, nothing acknowledged that is not so, no
//! request answered twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[allow(dead_code, reason = "other tests need more of it")]
mod support;

use std::{collections::BTreeSet, time::Duration};

use eraft_core::{
    ConfState, Config, Entry, EntryId, EntryKind, Event, LogIndex, Message, MessageBody, NodeId, Now, RequestId, Role,
    SaveId, SnapshotMeta, Term,
};
use proptest::{prelude::*, test_runner::RngSeed};
use support::{Disk, Machine, voters};

/// Small numbers, which [`near`] makes fit what the node has, and those at the very end.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![40 => Just(4), 20 => 3u64..6, 10 => 0u64..8, 1 => Just(u64::MAX), 1 => Just(u64::MAX - 1), 1 => any::<u64>()]
}

fn id() -> impl Strategy<Value = EntryId> {
    (number(), number()).prop_map(|(term, index)| EntryId::new(term, index))
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let kind = prop_oneof![Just(EntryKind::Command), Just(EntryKind::Noop), Just(EntryKind::Config)];
    let any_entry = (id(), kind, any::<[u8; 3]>()).prop_map(|(id, kind, payload)| Entry {
        index: id.index,
        term: id.term,
        kind,
        payload: payload.to_vec().into(),
    });
    // In order from some entry on, as most would be, or just anything.
    let in_order = (id(), 0u64..4, 0u64..3).prop_map(|(first, many, rise)| {
        let entry = |at: u64| {
            let term = Term(first.term.0.saturating_add(at * rise));
            Entry::command(term, LogIndex(first.index.0.saturating_add(at)), "x")
        };
        (0..many).map(entry).collect()
    });
    prop_oneof![1 => prop::collection::vec(any_entry, 0..4), 3 => in_order]
}

fn body() -> impl Strategy<Value = MessageBody> {
    prop_oneof![
        id().prop_map(|last| MessageBody::RequestPreVote { last }),
        any::<bool>().prop_map(|granted| MessageBody::PreVote { granted }),
        id().prop_map(|last| MessageBody::RequestVote { last }),
        any::<bool>().prop_map(|granted| MessageBody::Vote { granted }),
        (id(), entries(), number(), number()).prop_map(|(prev, entries, commit, round)| MessageBody::AppendEntries {
            prev,
            entries,
            commit: LogIndex(commit),
            round,
        }),
        (number(), number()).prop_map(|(matched, round)| MessageBody::Appended { matched: LogIndex(matched), round }),
        (id(), id(), number()).prop_map(|(prev, hint, round)| MessageBody::Rejected { prev, hint, round }),
    ]
}

fn shift(base: u64, number: u64) -> u64 {
    if number < 8 { base.saturating_add(number).saturating_sub(4) } else { number }
}

/// A snapshot that ends near the node's log, or anywhere; mostly of what the node holds, where it holds that.
fn stage(machine: &mut Machine, from: NodeId, term: u64, last: EntryId, conf: bool) -> Event {
    let status = machine.status().unwrap();
    // Not so far ahead that the test could not write the snapshot down; or so far that nothing can be there.
    let index = shift(status.last.index.0, last.index.0);
    let index = LogIndex(if index > LogIndex::MAX.0 { index } else { index.min(status.last.index.0 + 8) });
    let own = machine.log.get(&index).map(|entry| entry.term).filter(|_| last.term.0 <= 4);
    let last = EntryId { term: own.unwrap_or(Term(shift(status.term.0, last.term.0))), index };
    let conf_state = if conf { status.conf_state.clone() } else { ConfState::default() };
    let mut entries: Vec<Entry> = Vec::new();
    for at in 1..=last.index.0.min(status.last.index.0 + 8) {
        // Up to its own last entry it agrees with the log where that ends as it does, and is another's where not.
        let held = machine.log.get(&LogIndex(at)).filter(|_| own.is_some() || at <= status.commit.0);
        entries.push(held.cloned().unwrap_or_else(|| Entry::command(last.term, LogIndex(at), "s")));
    }
    let staged = machine.stage(SnapshotMeta { last, conf_state }, entries);
    Event::SnapshotStaged { from, term: Term(shift(status.term.0, term)), staged }
}

/// The message with its small numbers counted from the node's own term and last index, so that most are to be believed.
fn near(machine: &Machine, mut message: Message) -> Message {
    let status = machine.status().unwrap();
    let term = |term: &mut Term| term.0 = shift(status.term.0, term.0);
    let index = |index: &mut LogIndex| index.0 = shift(status.last.index.0, index.0);
    let id = |id: &mut EntryId| {
        term(&mut id.term);
        index(&mut id.index);
        // Most ids are those of entries that the node holds.
        if id.index <= status.last.index && id.term >= status.last.term {
            id.term = machine.log.get(&id.index).map_or(Term::ZERO, |entry| entry.term);
        }
    };
    term(&mut message.term);
    match &mut message.body {
        MessageBody::RequestPreVote { last } | MessageBody::RequestVote { last } => id(last),
        MessageBody::PreVote { .. } | MessageBody::Vote { .. } => {}
        MessageBody::AppendEntries { prev, entries, commit, .. } => {
            id(prev);
            index(commit);
            for entry in entries {
                term(&mut entry.term);
                index(&mut entry.index);
            }
        }
        MessageBody::Appended { matched, .. } => index(matched),
        MessageBody::Rejected { prev, hint, .. } => {
            id(prev);
            id(hint);
        }
    }
    message
}

#[derive(Clone, Debug)]
enum Act {
    Receive(Message),
    Wait(u64),
    Save,
    Propose,
    Read,
    Stage { from: u64, term: u64, last: EntryId, conf: bool },
    Take(u64),
    Restore,
    Sent { to: u64, term: u64, ok: bool },
    Compacted(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let message = (1u64..5, 1u64..4, number(), body()).prop_map(|(from, to, term, body)| {
        // Mostly for node 1.
        Act::Receive(Message { from: NodeId(from), to: NodeId(to % 3 / 2 + 1), term: Term(term), body })
    });
    prop_oneof![
        20 => message.boxed(),
        2 => (0u64..3000).prop_map(Act::Wait),
        3 => Just(Act::Save),
        1 => Just(Act::Propose),
        1 => Just(Act::Read),
        4 => (1u64..5, number(), id(), any::<u8>())
            .prop_map(|(from, term, last, conf)| Act::Stage { from, term, last, conf: conf > 20 }).boxed(),
        1 => (0u64..8).prop_map(Act::Take),
        2 => Just(Act::Restore),
        1 => (1u64..5, number(), any::<bool>()).prop_map(|(to, term, ok)| Act::Sent { to, term, ok }),
        1 => (1u64..5).prop_map(Act::Compacted),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn no_message_breaks_a_node(lead in any::<bool>(), acts in prop::collection::vec(act(), 1..60)) {
        let mut machine = Machine::new(Config::new(NodeId(1), 1), Disk::founded(NodeId(1), &voters(&[1, 2, 3])));
        let mut now = Now::default();
        machine.start(now);
        if lead {
            make_leader(&mut machine, &mut now);
        }
        let mut reported = SaveId(0);
        let mut answered = BTreeSet::new();
        for (at, act) in acts.into_iter().enumerate() {
            let id = RequestId(at as u64);
            let event = match act {
                Act::Receive(message) => Event::Message(near(&machine, message)),
                Act::Wait(millis) => {
                    now = now + Duration::from_millis(millis);
                    Event::Timeout
                }
                Act::Save => {
                    machine.complete_save(now);
                    Event::Timeout
                }
                Act::Propose => Event::Propose { id, payload: "p".into() },
                Act::Read => Event::ReadIndex { id },
                Act::Stage { from, term, last, conf } => stage(&mut machine, NodeId(from), term, last, conf),
                Act::Take(behind) => {
                    let applied = machine.status().unwrap().applied;
                    let taken = machine.take_snapshot(LogIndex(applied.0.saturating_sub(behind)));
                    taken.map_or(Event::Timeout, |staged| Event::SnapshotTaken { staged, scarce: behind > 1 })
                }
                Act::Restore => {
                    machine.complete_restore(now);
                    Event::Timeout
                }
                Act::Sent { to, term, ok } => {
                    let term = shift(machine.status().unwrap().term.0, term);
                    Event::SnapshotSent { to: NodeId(to), term: Term(term), ok }
                }
                Act::Compacted(peer) => Event::Compacted { peer: NodeId(peer) },
            };
            machine.step(now, event);
            let output = machine.ready(now, usize::MAX);
            for save in &output.saves {
                prop_assert!(save.id > reported, "saves are numbered upwards");
                reported = save.id;
            }
            let outcomes = output.proposals.iter().map(|(id, _)| id).chain(output.reads.iter().map(|(id, _)| id));
            for id in outcomes {
                prop_assert!(answered.insert(*id), "{id:?} was answered twice");
            }
            for message in &output.messages {
                prop_assert!(message.term <= machine.disk.state.hard_state.term, "{message:?} left too early");
                if let MessageBody::Appended { matched, .. } = message.body {
                    prop_assert!(matched <= machine.disk.state.outline.last_index(), "{message:?} is not true");
                }
            }
        }
        // Everything it holds makes sense to a node that restarts from it.
        machine.crash(usize::MAX);
        prop_assert!(machine.disk.state.outline.is_valid());
        machine.start(now);
    }
}

#[test]
fn doubled_and_early_events_do_no_harm() {
    let mut machine = Machine::new(Config::new(NodeId(1), 1), Disk::founded(NodeId(1), &voters(&[1, 2, 3])));
    let mut now = Now::default();
    machine.start(now);
    make_leader(&mut machine, &mut now);
    let term = machine.status().unwrap().term;
    for event in [Event::Timeout, Event::Saved { id: SaveId(1) }, Event::Unreachable { peer: NodeId(9) }] {
        machine.step(now, event);
    }
    machine.step(Now::default(), Event::Timeout);
    assert!(machine.ready(now, usize::MAX).saves.is_empty());
    assert_eq!((machine.status().unwrap().role, machine.status().unwrap().term), (Role::Leader, term));
}

#[test]
#[should_panic(expected = "save 99 reported durable")]
fn a_driver_that_reports_a_save_nobody_asked_for_is_stopped() {
    let mut machine = Machine::new(Config::new(NodeId(1), 1), Disk::founded(NodeId(1), &voters(&[1, 2, 3])));
    machine.start(Now::default());
    machine.step(Now::default(), Event::Saved { id: SaveId(99) });
}

fn make_leader(machine: &mut Machine, now: &mut Now) {
    *now = *now + Duration::from_secs(10);
    machine.step(*now, Event::Timeout);
    let answer = |term, body| Event::Message(Message { from: NodeId(2), to: NodeId(1), term: Term(term), body });
    machine.step(*now, answer(1, MessageBody::PreVote { granted: true }));
    let _ = machine.ready(*now, usize::MAX);
    assert!(machine.complete_save(*now));
    machine.step(*now, answer(2, MessageBody::Vote { granted: true }));
    let _ = machine.ready(*now, usize::MAX);
    assert!(machine.complete_save(*now));
    assert_eq!(machine.status().unwrap().role, Role::Leader);
}
