//! The world of a script: machines, links, a clock, and the trace of what came of the last command.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use eraft_core::{
    Config, DropReason, Entry, Event, LogIndex, Message, NodeId, Now, RequestId, Role, Save, Status, Term,
};

use super::notation;
use crate::support::{Disk, Machine, Output, voters};

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
        disk.save(&Save { id: Default::default(), update: eraft_core::RaftStateUpdate { hard_state: None, log } });
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
                "{node} knows {peer}: match={} next={} inflight={}",
                known.match_index, known.next_index, known.inflight
            ));
        }
    }

    pub(crate) fn pending(&mut self, node: NodeId) {
        for message in self.links.iter().filter(|((from, _), _)| *from == node).flat_map(|(_, queue)| queue) {
            self.trace.push(format!("under way: {}", notation::show_message(message)));
        }
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
