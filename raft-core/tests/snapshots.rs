//! Snapshots where several things happen before the core is asked, or a report comes late: what no script can write down.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

#[allow(dead_code, reason = "other tests need more of it")]
mod support;

use std::time::Duration;

use eraft_core::{
    Config, Entry, EntryId, EntryKind, Event, LogChange, LogIndex, Message, MessageBody, NodeId, Now, RequestId, Save,
    SendSnapshot, SnapshotMeta, StagedSnapshot, Term, codec,
};
use support::{Disk, Machine, voters};

const NOW: Now = Now(Duration::from_secs(10));

/// A save holds one change of the log: what waits for one goes before the change that publishes, and what comes later after.
#[test]
fn entries_that_wait_are_saved_before_the_compaction_and_later_ones_after_it() {
    let mut machine = only_voter(1);
    propose(&mut machine, 1);
    let staged = machine.take_snapshot(LogIndex(2)).unwrap();
    machine.step(NOW, Event::SnapshotTaken { staged, scarce: false });
    propose(&mut machine, 2);
    assert_eq!(changes(&machine.ready(NOW, 9).saves), ["append 3", "publish 2, compact 1", "append 4"]);
    while machine.complete_save(NOW) {}
    assert_eq!(machine.status().unwrap().durable, LogIndex(4));
}

/// A store without room keeps nothing in its log that a snapshot holds: peers that lag can be sent that.
#[test]
fn a_snapshot_taken_for_want_of_room_leaves_no_trailing_entries() {
    for (scarce, base) in [(false, 0), (true, 3)] {
        let mut machine = only_voter(10);
        propose(&mut machine, 1);
        let _ = machine.ready(NOW, 9);
        while machine.complete_save(NOW) {
            let _ = machine.ready(NOW, 9);
        }
        let staged = machine.take_snapshot(LogIndex(3)).unwrap();
        machine.step(NOW, Event::SnapshotTaken { staged, scarce });
        assert_eq!(machine.status().unwrap().base.index, LogIndex(base));
    }
}

/// Entries that are not even under way to the disk go with the log that a snapshot replaces; the vote does not.
#[test]
fn a_reset_drops_entries_that_wait_and_keeps_the_term_that_waits() {
    let mut machine = follower();
    let entries = vec![Entry::command(Term(2), LogIndex(2), "a")];
    append(&mut machine, 1, 2, EntryId::new(1, 1), entries);
    let staged = stage(&mut machine, EntryId::new(3, 3));
    machine.step(NOW, Event::SnapshotStaged { from: NodeId(3), term: Term(3), staged });
    append(&mut machine, 3, 3, EntryId::new(3, 3), vec![Entry::command(Term(3), LogIndex(4), "b")]);
    let saves = machine.ready(NOW, 9).saves;
    assert_eq!(changes(&saves), ["publish 3, reset 3", "append 4"]);
    let saved = saves[0].update.hard_state.unwrap();
    assert_eq!((saved.term, saved.commit), (Term(3), LogIndex(3)));
    assert_eq!(saves[1].update.hard_state, None, "the commit index that went ahead is not taken back");
}

/// The state machine reads what is published, and that may be newer than what it was asked to restore.
#[test]
fn a_restore_that_found_a_newer_snapshot_is_not_done_twice() {
    let mut machine = follower();
    for last in [EntryId::new(1, 3), EntryId::new(1, 5)] {
        let staged = stage(&mut machine, last);
        machine.step(NOW, Event::SnapshotStaged { from: NodeId(3), term: Term(2), staged });
    }
    let _ = machine.ready(NOW, 9);
    machine.complete_save(NOW);
    let restore = machine.ready(NOW, 9).restore.unwrap();
    assert_eq!(restore.last.index, LogIndex(3));
    assert_eq!(machine.status().unwrap().commit, LogIndex(3), "the other waits to be published");
    machine.step(NOW, Event::Applied { index: LogIndex(5) });
    machine.complete_save(NOW);
    assert_eq!(machine.ready(NOW, 9).restore, None);
    assert_eq!(machine.status().unwrap().commit, LogIndex(5));
}

/// A node that waits for its state, which may lie where nobody answers, would lead and apply nothing. It campaigns after
/// any other had its time, and not never: all of them may wait.
#[test]
fn a_node_without_its_state_lets_the_others_campaign_first() {
    for seed in 0..50 {
        let config = Config { trailing_entries: 0, ..Config::new(NodeId(2), seed) };
        let timeout = config.election_timeout;
        let mut machine = Machine::new(config, Disk::founded(NodeId(2), &voters(&[1, 2, 3])));
        let entries = (2..=4).map(|index| Entry::command(Term(1), LogIndex(index), "x")).collect();
        let update = eraft_core::RaftStateUpdate { hard_state: None, log: LogChange::Append(entries) };
        machine.disk.save(&Save { id: Default::default(), update, snapshot: None }, &[]);
        machine.disk.compact(LogIndex(4), LogIndex(4), voters(&[1, 2, 3]));
        machine.start(NOW);
        let deadline = |machine: &Machine| machine.raft.as_ref().unwrap().deadline();
        let (waits, after_all) = (deadline(&machine), NOW + timeout + timeout);
        assert!(after_all <= waits && waits < after_all + timeout, "seed {seed}: {waits:?}");
        // With its state it is one of them again.
        machine.step(NOW, Event::Applied { index: LogIndex(4) });
        let ready = deadline(&machine);
        assert!(NOW + timeout <= ready && ready < after_all, "seed {seed}: {ready:?}");
    }
}

/// This node led before, and what it sent then is not what it sends now.
#[test]
fn a_report_of_an_earlier_term_ends_nothing() {
    let mut machine = Machine::new(Config::new(NodeId(1), 1), Disk::founded(NodeId(1), &voters(&[1, 2])));
    let entries = (2..=4).map(|index| Entry::command(Term(1), LogIndex(index), "x")).collect();
    let update = eraft_core::RaftStateUpdate { hard_state: None, log: LogChange::Append(entries) };
    machine.disk.save(&Save { id: Default::default(), update, snapshot: None }, &[]);
    machine.disk.compact(LogIndex(4), LogIndex(4), voters(&[1, 2]));
    machine.start(Now::default());
    machine.step(NOW, Event::Timeout);
    receive(&mut machine, 2, 1, MessageBody::PreVote { granted: true });
    let _ = machine.ready(NOW, 9);
    machine.complete_save(NOW);
    receive(&mut machine, 2, 2, MessageBody::Vote { granted: true });
    let _ = machine.ready(NOW, 9);
    let refusal = MessageBody::Rejected { prev: EntryId::new(1, 4), hint: EntryId::new(1, 1), round: 1 };
    receive(&mut machine, 2, 2, refusal);
    let ready = machine.raft.as_mut().unwrap().ready();
    assert_eq!(ready.send_snapshots, [SendSnapshot { to: NodeId(2), term: Term(2) }]);
    let next_index = |machine: &Machine| machine.status().unwrap().peers[&NodeId(2)].next_index;
    let before = next_index(&machine);
    machine.step(NOW, Event::SnapshotSent { to: NodeId(2), term: Term(1), ok: true });
    assert_eq!(next_index(&machine), before);
    machine.step(NOW, Event::SnapshotSent { to: NodeId(2), term: Term(2), ok: true });
    assert_eq!(next_index(&machine), LogIndex(5));
}

/// The configuration of a snapshot is the one as of its last entry, not the one in force; and a node that has dropped the entry
/// which told it goes by its snapshot.
#[test]
fn a_snapshot_bears_the_configuration_of_its_last_entry() {
    let mut machine = follower();
    let later = voters(&[1, 2, 3, 4]);
    let config = Entry { index: LogIndex(3), term: Term(2), kind: EntryKind::Config, payload: codec::encode(&later) };
    append(&mut machine, 1, 2, EntryId::new(1, 1), vec![Entry::command(Term(2), LogIndex(2), "a"), config]);
    let _ = machine.ready(NOW, 9);
    machine.complete_save(NOW);
    receive(
        &mut machine,
        1,
        2,
        MessageBody::AppendEntries { prev: EntryId::new(2, 3), entries: Vec::new(), commit: LogIndex(3), round: 1 },
    );
    let _ = machine.ready(NOW, 9);
    let raft = machine.raft.as_ref().unwrap();
    assert_eq!(raft.snapshot_meta(LogIndex(2)).unwrap().conf_state, voters(&[1, 2, 3]));
    assert_eq!(raft.snapshot_meta(LogIndex(3)).unwrap().conf_state, later);
    assert_eq!(raft.snapshot_meta(LogIndex(4)), None, "it is not applied");
    let staged = machine.take_snapshot(LogIndex(3)).unwrap();
    machine.step(NOW, Event::SnapshotTaken { staged, scarce: false });
    let status = machine.status().unwrap();
    assert_eq!((status.base.index, status.conf_state), (LogIndex(3), later));
}

fn follower() -> Machine {
    let config = Config { trailing_entries: 0, ..Config::new(NodeId(2), 1) };
    let mut machine = Machine::new(config, Disk::founded(NodeId(2), &voters(&[1, 2, 3])));
    machine.start(NOW);
    machine
}

/// A leader of itself, with nothing under way: entry 2 opens its term.
fn only_voter(trailing_entries: u64) -> Machine {
    let config = Config { trailing_entries, ..Config::new(NodeId(1), 1) };
    let mut machine = Machine::new(config, Disk::founded(NodeId(1), &voters(&[1])));
    machine.disk.state.hard_state.commit = LogIndex(1);
    machine.start(NOW);
    machine.step(NOW, Event::Timeout);
    let _ = machine.ready(NOW, 9);
    while machine.complete_save(NOW) {
        let _ = machine.ready(NOW, 9);
    }
    machine
}

fn propose(machine: &mut Machine, id: u64) {
    machine.step(NOW, Event::Propose { id: RequestId(id), payload: "p".into() });
}

fn receive(machine: &mut Machine, from: u64, term: u64, body: MessageBody) {
    let message = Message { from: NodeId(from), to: machine.id(), term: Term(term), body };
    machine.step(NOW, Event::Message(message));
}

fn append(machine: &mut Machine, from: u64, term: u64, prev: EntryId, entries: Vec<Entry>) {
    let body = MessageBody::AppendEntries { prev, entries, commit: LogIndex(1), round: 1 };
    receive(machine, from, term, body);
}

fn stage(machine: &mut Machine, last: EntryId) -> StagedSnapshot {
    let entries = (1..=last.index.0).map(|index| Entry::command(last.term, LogIndex(index), "s")).collect();
    machine.stage(SnapshotMeta { last, conf_state: voters(&[1, 2, 3]) }, entries)
}

fn changes(saves: &[Save]) -> Vec<String> {
    let shown = saves.iter().map(|save| {
        let publish = save.snapshot.as_ref().map(|staged| format!("publish {}, ", staged.meta.last.index));
        let change = match &save.update.log {
            LogChange::Keep => "keep".to_owned(),
            LogChange::Append(entries) => format!("append {}", entries[0].index),
            LogChange::CompactTo(id) => format!("compact {}", id.index),
            LogChange::Reset { base } => format!("reset {}", base.index),
        };
        publish.unwrap_or_default() + &change
    });
    shown.collect()
}
