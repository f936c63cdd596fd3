//! The world of a script: machines, links, a clock, and the trace of what came of the last command.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use eraft_core::{
    Config, DropReason, Entry, EntryId, Event, LogIndex, Message, NodeId, Now, RequestId, Role, Save, SnapshotMeta,
    Status, Term,
};

use super::notation;
use crate::support::{Disk, Machine, Output, SnapshotTransfer, voters};

type Link = (Option<NodeId>, Option<NodeId>);

/// Reads are numbered apart from proposals.
const FIRST_READ: u64 = 1_000;

#[derive(Default)]
pub(crate) struct World {
    now: Now,
    machines: BTreeMap<NodeId, Machine>,
    links: BTreeMap<(NodeId, NodeId), VecDeque<Message>>,
    delivered: BTreeMap<(NodeId, NodeId), Message>,
    /// Role, term and drops as last seen, to tell what has changed.
    seen: BTreeMap<NodeId, (Role, Term, BTreeMap<DropReason, u64>)>,
    /// Snapshots on their way.
    transfers: BTreeMap<(NodeId, NodeId), VecDeque<SnapshotTransfer>>,
    /// Where a snapshot arrived, or was lost, and the sender was not told.
    unreported: BTreeMap<(NodeId, NodeId), Term>,
    proposals: u64,
    reads: u64,
    trace: Vec<String>,
}

impl World {
    pub(crate) fn take_trace(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trace)
    }

    pub(crate) fn found(&mut self, args: &[&str]) {
        let (options, ids): (Vec<&str>, Vec<&str>) = args.iter().partition(|arg| arg.contains('='));
        let ids: Vec<u64> = ids.iter().map(|id| notation::node(id).0).collect();
        let founders = voters(&ids);
        for id in ids.into_iter().map(NodeId) {
            let mut config = Config::new(id, id.0);
            let mut keeps_applied = false;
            for option in &options {
                let (key, value) = option.split_once('=').expect("an option");
                let value = value.parse().expect("a number");
                match key {
                    "window" => config.max_inflight_messages = value,
                    "pending" => config.max_pending_requests = value,
                    "trailing" => config.trailing_entries = value as u64,
                    "keep" => keeps_applied = value == 1,
                    _ => panic!("no such option: {option}"),
                }
            }
            let mut machine = Machine::new(config, Disk::founded(id, &founders));
            machine.keeps_applied = keeps_applied;
            self.machines.insert(id, machine);
            self.restart(id);
        }
        self.trace.clear();
    }

    pub(crate) fn replace_disk(&mut self, node: NodeId, args: &[&str]) {
        let fields: BTreeMap<&str, &str> = args.iter().filter_map(|arg| arg.split_once('=')).collect();
        let number = |text: &&str| text.parse::<u64>().expect("a number");
        let machine = self.machines.get_mut(&node).expect("a founder");
        machine.crash(0);
        let disk = &mut machine.disk;
        let terms = fields["terms"].split(',').map(|term| number(&term));
        let entries: Vec<Entry> = (terms.zip(1..).skip(1))
            .map(|(term, index)| Entry::command(Term(term), LogIndex(index), format!("x{term}{index}")))
            .collect();
        disk.state.hard_state.term = Term(fields.get("term").map_or(1, number));
        disk.state.hard_state.vote = fields.get("vote").map(|vote| notation::node(vote));
        disk.state.hard_state.commit = LogIndex(fields.get("commit").map_or(1, number));
        let log = eraft_core::LogChange::Append(entries);
        let update = eraft_core::RaftStateUpdate { hard_state: None, log };
        disk.save(&Save { id: Default::default(), update, snapshot: None }, &[]);
        let index = |key: &str| fields.get(key).map(|text| LogIndex(number(text)));
        if let Some(snapshot) = index("snapshot") {
            let founding = disk.state.outline.configs()[0].1.clone();
            disk.compact(index("base").unwrap_or(snapshot), snapshot, founding);
        }
        self.restart(node);
        self.trace.clear();
    }

    pub(crate) fn elect(&mut self, node: NodeId) {
        // Whoever leads has been silent for longer than anybody trusts it.
        self.now = self.now + Duration::from_secs(10);
        self.step(node, [Event::Timeout]);
        self.settle();
        let status = self.machines[&node].status().expect("it runs");
        assert_eq!(status.role, Role::Leader, "node {node} was not elected");
    }

    pub(crate) fn settle(&mut self) {
        loop {
            self.deliver((None, None), None);
            let running: Vec<NodeId> = self.running().collect();
            for node in &running {
                self.save(*node, usize::MAX);
                self.restored(*node);
            }
            let idle = running.iter().all(|node| self.machines[node].unsaved.is_empty());
            if idle && self.links.values().all(VecDeque::is_empty) {
                break;
            }
        }
        self.trace.clear();
    }

    pub(crate) fn time_out(&mut self, node: NodeId) {
        let deadline = self.machines[&node].raft.as_ref().expect("it runs").deadline();
        assert_ne!(deadline, Now::NEVER, "node {node} waits for nothing");
        self.now = self.now.max(deadline);
        self.step(node, [Event::Timeout]);
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Delivers what is under way on the links (or the `nth` of it); each receiver is asked for its output once.
    pub(crate) fn deliver(&mut self, link: Link, nth: Option<usize>) {
        let mut events: BTreeMap<NodeId, Vec<Event>> = BTreeMap::new();
        for ((from, to), queue) in &mut self.links {
            if !matches(link, *from, *to) {
                continue;
            }
            let messages: Vec<Message> = match nth {
                Some(nth) => queue.remove(nth - 1).into_iter().collect(),
                None => queue.drain(..).collect(),
            };
            if let Some(last) = messages.last() {
                self.delivered.insert((*from, *to), last.clone());
            }
            events.entry(*to).or_default().extend(messages.into_iter().map(Event::Message));
        }
        for (to, events) in events {
            if self.machines[&to].raft.is_some() && !events.is_empty() {
                self.step(to, events);
            }
        }
    }

    pub(crate) fn deliver_again(&mut self, link: Link) {
        let (from, to) = (link.0.expect("a sender"), link.1.expect("a receiver"));
        let message = self.delivered[&(from, to)].clone();
        self.step(to, [Event::Message(message)]);
    }

    pub(crate) fn drop_link(&mut self, link: Link) {
        self.links.retain(|(from, to), _| !matches(link, *from, *to));
    }

    pub(crate) fn inject(&mut self, message: Message) {
        let to =
            if self.machines.contains_key(&message.to) { message.to } else { *self.machines.keys().next().unwrap() };
        self.step(to, [Event::Message(message)]);
    }

    pub(crate) fn save(&mut self, node: NodeId, many: usize) {
        let (now, machine) = self.machine(node);
        let mut completed = 0;
        while completed < many && machine.complete_save(now) {
            completed += 1;
        }
        if completed > 0 {
            self.ready(node);
        }
    }

    pub(crate) fn propose(&mut self, node: NodeId, payloads: &[&str]) {
        let events: Vec<Event> = (payloads.iter().zip(self.proposals + 1..))
            .map(|(payload, id)| Event::Propose { id: RequestId(id), payload: (*payload).to_owned().into() })
            .collect();
        self.proposals += payloads.len() as u64;
        self.step(node, events);
    }

    pub(crate) fn read(&mut self, node: NodeId) {
        self.reads += 1;
        self.step(node, [Event::ReadIndex { id: RequestId(FIRST_READ + self.reads) }]);
    }

    pub(crate) fn unreachable(&mut self, node: NodeId, peer: NodeId) {
        self.step(node, [Event::Unreachable { peer }]);
    }

    /// A snapshot of what `node` has applied, or of the state after `index`, is taken.
    pub(crate) fn take(&mut self, node: NodeId, index: Option<u64>) {
        let machine = self.machine(node).1;
        let index = index.map_or(machine.status().expect("it runs").applied, LogIndex);
        if let Some(staged) = machine.take_snapshot(index) {
            self.step(node, [Event::SnapshotTaken { staged, scarce: false }]);
        }
    }

    /// A snapshot that nobody took, of whatever the node holds in memory and of these ids, is said to be one of its own.
    pub(crate) fn claim(&mut self, node: NodeId, last: EntryId) {
        let machine = self.machine(node).1;
        let conf_state = machine.status().expect("it runs").conf_state;
        let staged = machine.stage(SnapshotMeta { last, conf_state }, Vec::new());
        self.step(node, [Event::SnapshotTaken { staged, scarce: false }]);
    }

    /// A snapshot arrives; its sender does not know yet.
    pub(crate) fn stage(&mut self, link: Link) {
        let (from, to) = (link.0.expect("a sender"), link.1.expect("a receiver"));
        let transfer = self.transfers.get_mut(&(from, to)).and_then(VecDeque::pop_front).expect("one is under way");
        self.unreported.insert((from, to), transfer.term);
        self.arrive(transfer);
    }

    /// A snapshot that nobody sent arrives: entries of these terms, from the first one on.
    pub(crate) fn forge(&mut self, link: Link, fields: &BTreeMap<&str, &str>) {
        let (from, to) = (link.0.expect("a sender"), link.1.expect("a receiver"));
        let conf_state = self.machines[&to].status().expect("it runs").conf_state;
        let founding = self.machines[&to].log[&LogIndex(1)].clone();
        let terms = fields["terms"].split(',').map(|term| term.parse::<u64>().expect("a term"));
        let made =
            terms.zip(1..).skip(1).map(|(term, at)| Entry::command(Term(term), LogIndex(at), format!("x{term}{at}")));
        let entries: Vec<Entry> = std::iter::once(founding).chain(made).collect();
        let last = entries.last().expect("the founding one").id();
        let term = Term(fields["term"].parse().expect("a term"));
        self.arrive(SnapshotTransfer { from, to, term, meta: SnapshotMeta { last, conf_state }, entries });
    }

    /// The sender learns what became of its snapshot.
    pub(crate) fn sent(&mut self, link: Link, ok: bool) {
        let (from, to) = (link.0.expect("a sender"), link.1.expect("a receiver"));
        let under_way = self.transfers.get_mut(&(from, to)).and_then(VecDeque::pop_front).map(|transfer| transfer.term);
        let term = self.unreported.remove(&(from, to)).or(under_way).expect("one is under way");
        self.step(from, [Event::SnapshotSent { to, term, ok }]);
    }

    pub(crate) fn compacted(&mut self, node: NodeId, peer: NodeId) {
        self.step(node, [Event::Compacted { peer }]);
    }

    pub(crate) fn restored(&mut self, node: NodeId) {
        let (now, machine) = self.machine(node);
        if machine.complete_restore(now) {
            self.ready(node);
        }
    }

    pub(crate) fn crash(&mut self, node: NodeId, kept: usize) {
        self.machine(node).1.crash(kept);
    }

    pub(crate) fn restart(&mut self, node: NodeId) {
        let (now, machine) = self.machine(node);
        let output = machine.start(now);
        let status = machine.status().expect("it runs");
        self.seen.insert(node, (status.role, status.term, BTreeMap::new()));
        self.emit(node, output);
    }

    pub(crate) fn status(&mut self, node: NodeId) {
        let status = self.machines[&node].status().expect("it runs");
        self.trace.push(notation::show_status(&status));
    }

    pub(crate) fn log(&mut self, node: NodeId) {
        let entries = notation::show_entries(self.machines[&node].log.values());
        self.trace.push(format!("{node} holds {entries}"));
    }

    pub(crate) fn peers(&mut self, node: NodeId) {
        let Status { peers, .. } = self.machines[&node].status().expect("it runs");
        for (peer, known) in peers {
            self.trace.push(format!(
                "{node} knows {peer}: match={} next={} inflight={}{}",
                known.match_index,
                known.next_index,
                known.inflight,
                if known.needs_snapshot { " needs a snapshot" } else { "" }
            ));
        }
    }

    pub(crate) fn pending(&mut self, node: NodeId) {
        for message in self.links.iter().filter(|((from, _), _)| *from == node).flat_map(|(_, queue)| queue) {
            self.trace.push(format!("under way: {}", notation::show_message(message)));
        }
    }

    fn arrive(&mut self, SnapshotTransfer { from, to, term, meta, entries }: SnapshotTransfer) {
        let staged = self.machine(to).1.stage(meta, entries);
        self.step(to, [Event::SnapshotStaged { from, term, staged }]);
    }

    fn machine(&mut self, node: NodeId) -> (Now, &mut Machine) {
        (self.now, self.machines.get_mut(&node).expect("a founder"))
    }

    fn running(&self) -> impl Iterator<Item = NodeId> {
        self.machines.values().filter(|machine| machine.raft.is_some()).map(Machine::id)
    }

    fn step(&mut self, node: NodeId, events: impl IntoIterator<Item = Event>) {
        let (now, machine) = self.machine(node);
        for event in events {
            machine.step(now, event);
        }
        self.ready(node);
    }

    fn ready(&mut self, node: NodeId) {
        let (now, machine) = self.machine(node);
        let output = machine.ready(now, usize::MAX);
        self.emit(node, output);
    }

    /// Traces what changed and what came out, and puts messages on their links.
    fn emit(&mut self, node: NodeId, output: Output) {
        let Status { role, term, dropped, .. } = self.machines[&node].status().expect("it runs");
        let (old_role, old_term, old_dropped) =
            self.seen.insert(node, (role, term, dropped.clone())).expect("seen at its start");
        if (role, term) != (old_role, old_term) {
            self.trace.push(format!("{node} becomes {role:?} in term {term}"));
        }
        for (reason, count) in &dropped {
            for _ in old_dropped.get(reason).copied().unwrap_or(0)..*count {
                self.trace.push(format!("{node} drops {reason:?}"));
            }
        }
        self.trace.extend(output.saves.iter().map(|save| notation::show_save(node, save)));
        for message in output.messages {
            self.trace.push(notation::show_message(&message));
            self.links.entry((message.from, message.to)).or_default().push_back(message);
        }
        for transfer in output.transfers {
            let SnapshotTransfer { from, to, term, meta, .. } = &transfer;
            self.trace.push(format!("{from}->{to} snapshot {} term={term}", meta.last));
            self.transfers.entry((*from, *to)).or_default().push_back(transfer);
        }
        self.trace.extend(output.discard.iter().map(|staged| format!("{node} discards {}", staged.meta.last)));
        if let Some(meta) = output.restore {
            self.trace.push(format!("{node} restores {}", meta.last));
        }
        if !output.applied.is_empty() {
            self.trace.push(format!("{node} applies {}", notation::show_entries(&output.applied)));
        }
        for (id, outcome) in output.proposals {
            self.trace.push(format!("{node} answers p{}: {}", id.0, notation::show_proposal(outcome)));
        }
        for (id, outcome) in output.reads {
            self.trace.push(format!("{node} answers r{}: {}", id.0 - FIRST_READ, notation::show_read(outcome)));
        }
    }
}

fn matches((from, to): Link, sender: NodeId, receiver: NodeId) -> bool {
    from.is_none_or(|from| from == sender) && to.is_none_or(|to| to == receiver)
}
