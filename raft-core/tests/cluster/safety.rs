//! Safety: what must hold after every turn of any node (figure 3 of the paper, and the rules of the core).
//!
//! It sees all disks at once, as nobody in the cluster can. So what is committed is checked against the disks of a
//! majority at the very moment, not when a crash happens to reveal the loss.

use std::collections::BTreeMap;

use eraft_core::{
    DropReason, Entry, EntryId, LogChange, LogIndex, Message, MessageBody, NodeId, ProposeOutcome, RequestId, Role,
    Save, Status, Term,
};

use super::{counts::counts, read_at};
use crate::support::{Machine, Output};

counts! {
    /// How often what happened; states that are rare and must be reached all the same.
    Rare {
        steps,
        elections,
        leaders_deposed,
        leaders_cut_off,
        truncations,
        truncations_of_unsaved,
        crashes,
        crashes_that_lost_a_vote,
        crashes_that_lost_entries,
        crashes_that_lost_an_install,
        crashes_that_lost_a_compaction,
        crashes_between_stage_and_publication,
        saves_made_and_never_confirmed,
        snapshots_taken,
        compactions,
        snapshots_sent,
        installs_that_dropped_the_log,
        installs_that_kept_the_log,
        stages_discarded,
        restores,
        restores_at_a_start,
        rejections,
        requests_ignored_for_a_leader,
        commits_before_the_leaders_disk,
        leads_with_older_entries_uncommitted,
        proposals_acknowledged,
        proposals_in_doubt,
        refused_as_busy,
        reads,
    }
}

#[derive(Debug)]
pub(crate) struct Safety {
    pub(crate) rare: Rare,
    size: u64,
    leaders: BTreeMap<Term, NodeId>,
    /// Who gave a vote to whom.
    votes: BTreeMap<(Term, NodeId), NodeId>,
    /// Every entry that ever was, with the one before it.
    entries: BTreeMap<EntryId, (Entry, EntryId)>,
    /// What is committed, from index 1 on.
    committed: Vec<Entry>,
    /// In which term each of that was committed.
    committed_in: Vec<Term>,
    acknowledged: BTreeMap<LogIndex, EntryId>,
    /// What was committed anywhere when a read was asked.
    asked: BTreeMap<RequestId, LogIndex>,
}

impl Safety {
    /// What holds in a cluster that `founding` has just founded.
    pub(crate) fn new(size: u64, founding: Entry) -> Safety {
        Safety {
            rare: Rare::default(),
            size,
            leaders: BTreeMap::new(),
            votes: BTreeMap::new(),
            entries: BTreeMap::from([(founding.id(), (founding.clone(), EntryId::ZERO))]),
            committed_in: vec![founding.term],
            committed: vec![founding],
            acknowledged: BTreeMap::new(),
            asked: BTreeMap::new(),
        }
    }

    pub(crate) fn committed(&self) -> u64 {
        self.committed.len() as u64
    }

    /// How many proposals were answered as committed.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    pub(crate) fn read_asked(&mut self, id: RequestId) {
        self.asked.insert(id, LogIndex(self.committed()));
    }

    /// The machine was told what its crash has lost.
    pub(crate) fn reopened(&mut self, machine: &Machine, under_way: usize, lost: &[Save]) {
        let rare = &mut self.rare;
        let vote = machine.disk.state.hard_state.vote;
        let logs = || lost.iter().map(|save| &save.update.log);
        let loses_vote = lost.iter().filter_map(|save| save.update.hard_state).any(|state| state.vote != vote);
        rare.crashes_that_lost_an_install += u64::from(logs().any(|log| matches!(log, LogChange::Reset { .. })));
        rare.crashes_that_lost_entries += u64::from(logs().any(|log| matches!(log, LogChange::Append(_))));
        rare.crashes_that_lost_a_compaction += u64::from(logs().any(|log| matches!(log, LogChange::CompactTo(_))));
        rare.crashes_that_lost_a_vote += u64::from(loses_vote);
        rare.saves_made_and_never_confirmed += (under_way - lost.len()) as u64;
    }

    /// Looks at what the machine at `at` did in a turn that began with `before`.
    pub(crate) fn check(&mut self, machines: &[Machine], at: usize, before: &Status, output: &Output) {
        let machine = &machines[at];
        let after = machine.status().expect("it runs");
        let leads_on = before.role == Role::Leader && after.role == Role::Leader;
        self.log_matching(machine, output, leads_on);
        self.snapshots(machine, &after, output);
        self.election_safety(&after);
        self.commit_is_on_a_majority(machines, machine, before, &after);
        self.leader_completeness(machine, before, &after);
        for message in &output.messages {
            self.nothing_is_said_before_it_is_durable(machines, machine, message);
        }
        self.state_machine_safety(machine, &after, output);
        self.outcomes(output, &after);
        self.count(before, &after);
    }

    /// Log matching and leader append-only (section 5.3): an id names one entry with one past, and leaders never replace.
    fn log_matching(&mut self, machine: &Machine, output: &Output, leads_on: bool) {
        for save in &output.saves {
            let LogChange::Append(entries) = &save.update.log else { continue };
            let Some(first) = entries.first() else { continue };
            let replaced = machine.disk.entries.contains_key(&first.index);
            let replaced_unsaved = machine.unsaved.iter().filter(|unsaved| unsaved.id < save.id).any(|unsaved| {
                matches!(&unsaved.update.log, LogChange::Append(old) if old.iter().any(|old| old.index == first.index))
            });
            assert!(!leads_on || !(replaced || replaced_unsaved), "leader {} replaces {}", machine.id(), first.id());
            self.rare.truncations += u64::from(replaced || replaced_unsaved);
            self.rare.truncations_of_unsaved += u64::from(replaced_unsaved);
            for entry in entries {
                let previous = machine.log.get(&entry.index.prev()).map_or(EntryId::ZERO, Entry::id);
                let known = self.entries.entry(entry.id()).or_insert_with(|| (entry.clone(), previous));
                assert_eq!(*known, (entry.clone(), previous), "{} has two contents or two pasts", entry.id());
            }
        }
    }

    /// Rule 5: a snapshot that is not published yet is neither committed nor restored from. Whatever is published was
    /// committed, and so was what the state machine got from it.
    fn snapshots(&mut self, machine: &Machine, after: &Status, output: &Output) {
        for save in &output.saves {
            let Some(staged) = &save.snapshot else { continue };
            let last = staged.meta.last;
            let committed = self.committed.get(usize::try_from(last.index.0 - 1).unwrap()).map(Entry::id);
            assert_eq!(committed, Some(last), "{} publishes what was never committed", machine.id());
            match &save.update.log {
                LogChange::Reset { .. } => self.rare.installs_that_dropped_the_log += 1,
                LogChange::CompactTo(_) if last.index > after.commit => {
                    self.rare.installs_that_kept_the_log += 1;
                }
                LogChange::CompactTo(_) => self.rare.compactions += 1,
                LogChange::Keep | LogChange::Append(_) => {}
            }
        }
        for save in &machine.unsaved {
            if let LogChange::Reset { base } = &save.update.log {
                assert!(after.commit < base.index, "{} counts {base} as committed, unpublished", machine.id());
            }
        }
        let published = machine.disk.state.snapshot.as_ref().map_or(EntryId::ZERO, |meta| meta.last);
        assert_eq!(after.snapshot, published, "{} knows of another snapshot than it has", machine.id());
        self.rare.snapshots_sent += output.transfers.len() as u64;
        self.rare.stages_discarded += output.discard.len() as u64;
    }

    /// The state machine has taken what a snapshot holds.
    pub(crate) fn restored(&mut self, machine: &Machine) {
        self.rare.restores += 1;
        assert_eq!(machine.applied, self.committed[..machine.applied.len()], "{} was restored to it", machine.id());
    }

    /// Election safety (section 5.2): one leader per term.
    fn election_safety(&mut self, after: &Status) {
        if after.role == Role::Leader {
            let leader = *self.leaders.entry(after.term).or_insert(after.id);
            assert_eq!(leader, after.id, "two leaders in term {}", after.term);
        }
    }

    /// What any node takes for committed is durable on a majority of disks, and never replaced by anything else; a leader
    /// counts replicas of entries of its own term only (section 5.4.2).
    fn commit_is_on_a_majority(&mut self, machines: &[Machine], machine: &Machine, before: &Status, after: &Status) {
        for index in before.commit.0 + 1..=after.commit.0 {
            let entry = &machine.log[&LogIndex(index)];
            if let Some(known) = self.committed.get(usize::try_from(index - 1).unwrap()) {
                assert_eq!(known, entry, "two entries committed at {index}");
                continue;
            }
            self.committed.push(entry.clone());
            self.committed_in.push(after.term);
        }
        if after.commit > before.commit && after.commit.0 == self.committed() {
            let id = machine.log[&after.commit].id();
            let counted = before.role == Role::Leader && after.role == Role::Leader;
            assert!(!counted || id.term == after.term, "a leader of term {} committed {id} by counting", after.term);
            let holds = |machine: &&Machine| machine.disk.entries.get(&id.index).map(Entry::id) == Some(id);
            let copies = machines.iter().filter(holds).count() as u64;
            assert!(copies > self.size / 2, "{id} was committed with {copies} durable copies of {}", self.size);
            self.rare.commits_before_the_leaders_disk += u64::from(after.durable < after.commit);
        }
    }

    /// Leader completeness (section 5.4): a leader holds everything that was committed in the terms before its own. (One that
    /// slept on its votes may find that a later term has begun without it.)
    fn leader_completeness(&mut self, machine: &Machine, before: &Status, after: &Status) {
        if after.role == Role::Leader && (before.role, before.term) != (Role::Leader, after.term) {
            self.rare.elections += 1;
            self.rare.leads_with_older_entries_uncommitted += u64::from(after.commit < before.last.index);
            for (entry, _) in self.committed.iter().zip(&self.committed_in).filter(|(_, term)| **term < after.term) {
                assert_eq!(machine.log.get(&entry.index), Some(entry), "leader of term {} lacks it", after.term);
            }
        }
    }

    /// Rules 1 and 2: what a message says would still be true after a crash.
    fn nothing_is_said_before_it_is_durable(&mut self, machines: &[Machine], machine: &Machine, message: &Message) {
        let hard_state = machine.disk.state.hard_state;
        let Message { from, to, term, body } = message;
        assert!(hard_state.term >= *term, "{message:?} left before its term was durable");
        let vote = match body {
            MessageBody::RequestVote { .. } => Some(*from),
            MessageBody::Vote { granted: true } => Some(*to),
            _ => None,
        };
        if let Some(candidate) = vote {
            assert!(
                hard_state.term > *term || hard_state.vote == Some(candidate),
                "{message:?} left before the vote was durable"
            );
            let first = *self.votes.entry((*term, *from)).or_insert(candidate);
            assert_eq!(first, candidate, "{from} voted twice in term {term}");
        }
        match body {
            MessageBody::Appended { matched, .. } if *matched > LogIndex::ZERO => {
                let held = machine.disk.entries.get(matched).map(Entry::id);
                assert!(held.is_some(), "{message:?} left before {matched} was durable");
                let leader = machines.iter().find(|machine| machine.id() == *to).expect("a member");
                if leader.status().is_some_and(|status| status.role == Role::Leader && status.term == *term) {
                    assert_eq!(held, leader.log.get(matched).map(Entry::id), "{message:?} vouches for another entry");
                }
            }
            MessageBody::Rejected { .. } => self.rare.rejections += 1,
            _ => {}
        }
    }

    /// State machine safety (section 5.4.3), and rule 4: what is applied is committed, durable here, and comes in order.
    fn state_machine_safety(&self, machine: &Machine, after: &Status, output: &Output) {
        let first = machine.applied.len() - output.applied.len();
        for (entry, index) in output.applied.iter().zip(first as u64 + 1..) {
            assert_eq!(entry.index.0, index, "{} applies out of order", machine.id());
            assert!(entry.index <= after.commit, "{} applies {} beyond its commit", machine.id(), entry.id());
            assert_eq!(machine.disk.entries.get(&entry.index), Some(entry), "applied before it is durable");
            assert_eq!(self.committed.get(usize::try_from(index - 1).unwrap()), Some(entry), "applied, not committed");
        }
    }

    /// What clients are told: nothing acknowledged is lost, and no read misses what was committed when it was asked.
    fn outcomes(&mut self, output: &Output, after: &Status) {
        for (id, outcome) in &output.proposals {
            match outcome {
                ProposeOutcome::Committed(entry_id) => {
                    self.rare.proposals_acknowledged += 1;
                    let entry = &self.committed[usize::try_from(entry_id.index.0 - 1).unwrap()];
                    assert_eq!(entry.id(), *entry_id);
                    assert!(entry.payload.starts_with(format!("{};", id.0).as_bytes()), "{entry_id} is not {id:?}");
                    let before = self.acknowledged.insert(entry_id.index, *entry_id);
                    assert_eq!(before, None, "{entry_id} was acknowledged twice");
                }
                ProposeOutcome::LeadershipLost { .. } => self.rare.proposals_in_doubt += 1,
                ProposeOutcome::Busy => self.rare.refused_as_busy += 1,
                ProposeOutcome::NotLeader { leader } => assert_eq!(*leader, after.leader.or(*leader)),
            }
        }
        for (id, outcome) in &output.reads {
            let floor = self.asked.remove(id).expect("each read is answered once");
            if let Some(index) = read_at(*outcome) {
                self.rare.reads += 1;
                assert!(index >= floor, "a read asked when {floor} was committed may see only {index}");
            }
        }
    }

    fn count(&mut self, before: &Status, after: &Status) {
        if before.role == Role::Leader && after.role != Role::Leader {
            self.rare.leaders_deposed += u64::from(after.term > before.term);
            self.rare.leaders_cut_off += u64::from(after.term == before.term);
        }
        let ignored = |status: &Status| status.dropped.get(&DropReason::LeaderAlive).copied().unwrap_or(0);
        self.rare.requests_ignored_for_a_leader += ignored(after).saturating_sub(ignored(before));
        assert_eq!(after.dropped.get(&DropReason::Impossible), None, "a correct node said something impossible");
    }
}
