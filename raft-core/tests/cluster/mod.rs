//! A cluster under one seed: machines, a network that loses, repeats and reorders, disks that take their time, crashes.
//!
//! One random choice after another decides what happens next, so a seed is a whole history, the same at every run. After
//! every turn of a node [`Safety`] looks at what it did. Faults end in [`Cluster::heal`], and then it must work.

pub(crate) mod counts;
mod safety;
pub(crate) mod seeds;
mod snapshots;

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use eraft_core::{ConfState, Config, Event, LogIndex, Message, NodeId, Now, ReadOutcome, RequestId, Role};
use fastrand::Rng;

pub(crate) use safety::Rare;
use safety::Safety;
use snapshots::InTransit;

use crate::support::{Disk, Machine, Output, store::Store, voters};

const ELECTION_TIMEOUT: Duration = Duration::from_millis(100);
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(20);
/// More messages under way than this, and some are lost.
const MAX_FLIGHT: usize = 60;

/// More deliveries than this at one moment, with no fault, and the members only keep each other busy.
const MAX_CHATTER: u32 = 10_000;

/// How bad this history is, in thousandths of a chance.
struct Faults {
    lose: u32,
    repeat: u32,
    crash: u32,
    partition: u32,
    /// Commands have up to so many bytes beyond their number.
    padding_bytes: usize,
    /// How often a disk that could complete a save does; some are much slower than others.
    disk_speeds: Vec<u32>,
}

pub(crate) struct Cluster {
    rng: Rng,
    now: Now,
    machines: Vec<Machine>,
    flight: Vec<Message>,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// A node whose process is stopped: it does nothing until somebody asks it.
    paused: Option<usize>,
    faults: Faults,
    requests: u64,
    snapshots: InTransit,
    safety: Safety,
    trace: Option<Vec<String>>,
}

impl Cluster {
    /// A cluster whose members keep their state in what `found` gives each: a store, and what a founder's holds.
    pub(crate) fn new(seed: u64, found: impl Fn(Rng, NodeId, &ConfState) -> (Box<dyn Store>, Disk)) -> Cluster {
        let mut rng = Rng::with_seed(seed);
        let size = [1, 3, 3, 3, 3, 5, 5, 5][rng.usize(0..8)];
        let ids: Vec<u64> = (1..=size).collect();
        let founders = voters(&ids);
        let faults = Faults {
            lose: rng.u32(0..150),
            repeat: rng.u32(0..100),
            crash: rng.u32(0..300),
            partition: rng.u32(0..300),
            padding_bytes: [0, 1_000, 5_000][rng.usize(0..3)],
            disk_speeds: ids.iter().map(|_| if rng.bool() { rng.u32(10..100) } else { rng.u32(100..900) }).collect(),
        };
        let now = Now(Duration::from_millis(1));
        let machines = (ids.iter().map(|id| {
            let config = Config {
                election_timeout: ELECTION_TIMEOUT,
                heartbeat_interval: HEARTBEAT_INTERVAL,
                max_inflight_messages: rng.usize(1..6),
                max_pending_requests: rng.usize(4..40),
                trailing_entries: rng.u64(0..12),
                ..Config::new(NodeId(*id), rng.u64(..))
            };
            let (store, disk) = found(rng.fork(), NodeId(*id), &founders);
            let mut machine = Machine::on(store, config, disk);
            machine.keeps_applied = rng.bool();
            machine
        }))
        .collect::<Vec<Machine>>();
        let founding = machines[0].log[&LogIndex(1)].clone();
        let mut cluster = Cluster {
            rng,
            now,
            machines,
            flight: Vec::new(),
            cut: BTreeSet::new(),
            paused: None,
            faults,
            requests: 0,
            snapshots: InTransit::default(),
            safety: Safety::new(size, founding),
            trace: None,
        };
        (0..cluster.machines.len()).for_each(|at| cluster.start(at));
        cluster
    }

    /// A history of about `turns` turns, whatever goes wrong.
    pub(crate) fn misbehave(&mut self, turns: usize) {
        for _ in 0..turns {
            let at = self.rng.usize(0..self.machines.len());
            match self.rng.u32(0..1000) {
                0..390 => self.deliver(),
                390..570 => self.complete_saves(),
                570..760 => self.pass_time(),
                760..840 => self.propose(at),
                840..870 => self.read(at),
                870..890 => self.start_somebody(),
                890..960 => self.handle_snapshots(at),
                _ => self.strike(at),
            }
        }
    }

    /// Faults stop: within a bounded time there is a leader, what it is asked commits, and all have applied the same.
    pub(crate) fn heal(&mut self) {
        self.faults = Faults { lose: 0, repeat: 0, crash: 0, partition: 0, padding_bytes: 0, disk_speeds: Vec::new() };
        self.cut.clear();
        self.paused = None;
        for at in 0..self.machines.len() {
            self.machines[at].store.heal();
            self.start_if_down(at);
            assert!(self.machines[at].raft.is_some(), "{} does not open, without a fault", self.machines[at].id());
        }
        let before = self.safety.acknowledged();
        for _ in 0..1_000 {
            self.now = self.now + Duration::from_millis(5);
            for at in 0..self.machines.len() {
                self.tick(at);
                self.turn_with_saves(at, Vec::new(), self.machines[at].unsaved.len());
            }
            let mut delivered = 0;
            while !self.flight.is_empty() {
                self.deliver();
                delivered += 1;
                assert!(delivered < MAX_CHATTER, "messages beget messages for ever: {:#?}", self.flight);
            }
            self.settle_snapshots();
            let leader = (0..self.machines.len()).find(|at| self.role(*at) == Some(Role::Leader));
            if self.safety.acknowledged() == before {
                leader.into_iter().for_each(|at| self.propose(at));
            } else if leader.is_some() && self.all_agree() {
                return;
            }
        }
        panic!("5 s after the last fault there is no leader, or no commit, or no agreement: {:#?}", self.statuses());
    }

    pub(crate) fn into_rare(self) -> Rare {
        self.safety.rare
    }

    /// From now on, everything that a node does is written down.
    pub(crate) fn keep_trace(&mut self) {
        self.trace = Some(Vec::new());
    }

    pub(crate) fn into_trace(self) -> Vec<String> {
        self.trace.unwrap_or_default()
    }

    fn note(&mut self, at: usize, output: &Output) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:?} {}: {output:?}", self.now, self.machines[at].id()));
        }
    }

    fn all_agree(&self) -> bool {
        let first = &self.machines[0].applied;
        first.len() as u64 == self.safety.committed() && self.machines.iter().all(|machine| machine.applied == *first)
    }

    fn statuses(&self) -> Vec<String> {
        self.machines.iter().map(|machine| format!("{:?}", machine.status())).collect()
    }

    fn role(&self, at: usize) -> Option<Role> {
        self.machines[at].status().map(|status| status.role)
    }

    fn chance(&mut self, thousandths: u32) -> bool {
        self.rng.u32(0..1000) < thousandths
    }

    /// Steps the events, asks for what there is to do, does it, and has it checked. A paused node wakes up by it, and
    /// knows nothing yet of what has happened meanwhile.
    fn turn(&mut self, at: usize, events: Vec<Event>) {
        self.turn_with_saves(at, events, 0);
    }

    /// The same, after so many saves have completed.
    fn turn_with_saves(&mut self, at: usize, events: Vec<Event>, saves: usize) {
        self.paused = self.paused.filter(|paused| *paused != at);
        let before = self.machines[at].status().expect("it runs");
        self.safety.rare.steps += (events.len() + saves) as u64;
        if self.machines[at].complete_saves(self.now, saves).is_err() {
            return self.crash(at);
        }
        for event in events {
            self.machines[at].step(self.now, event);
        }
        let batch = self.rng.usize(1..5);
        let mut output = self.machines[at].ready(self.now, batch);
        self.note(at, &output);
        self.safety.check(&self.machines, at, &before, &output);
        self.flight.append(&mut output.messages);
        self.snapshots.transfers.append(&mut output.transfers);
        while self.flight.len() > MAX_FLIGHT {
            let lost = self.rng.usize(0..self.flight.len());
            self.flight.swap_remove(lost);
        }
    }

    /// Some messages arrive, in any order, at whom the first is for.
    fn deliver(&mut self) {
        let mut to = None;
        let mut events = Vec::new();
        for _ in 0..self.rng.usize(1..5) {
            let paused = self.paused.map(|at| self.machines[at].id());
            let arrives = |message: &Message| Some(message.to) != paused && to.is_none_or(|to| message.to == to);
            let candidates: Vec<usize> = (0..self.flight.len()).filter(|at| arrives(&self.flight[*at])).collect();
            let Some(picked) = self.rng.choice(candidates) else { break };
            // Mostly in order, as on a stream; sometimes not.
            let picked = if self.chance(800) {
                let link = (self.flight[picked].from, self.flight[picked].to);
                self.flight.iter().position(|message| (message.from, message.to) == link).expect("it was picked")
            } else {
                picked
            };
            let (lose, repeat) = (self.chance(self.faults.lose), self.chance(self.faults.repeat));
            let message = if repeat { self.flight[picked].clone() } else { self.flight.remove(picked) };
            let running =
                |id: NodeId| self.machines.iter().position(|machine| machine.id() == id && machine.raft.is_some());
            if lose || self.cut.contains(&(message.from, message.to)) || running(message.to).is_none() {
                // The sender's transport may notice.
                if let Some(from) = running(message.from)
                    && self.rng.bool()
                {
                    self.turn(from, vec![Event::Unreachable { peer: message.to }]);
                }
                continue;
            }
            to = Some(message.to);
            events.push(Event::Message(message));
        }
        if let Some(at) = to.and_then(|to| self.machines.iter().position(|machine| machine.id() == to)) {
            self.turn(at, events);
        }
    }

    fn complete_saves(&mut self) {
        let busy = |at: &usize| {
            let machine = &self.machines[*at];
            Some(*at) != self.paused && machine.raft.is_some() && !machine.unsaved.is_empty()
        };
        let busy: Vec<usize> = (0..self.machines.len()).filter(busy).collect();
        let Some(at) = self.rng.choice(busy) else { return };
        if !self.chance(self.faults.disk_speeds[at]) {
            return;
        }
        let saves = self.rng.usize(1..4).min(self.machines[at].unsaved.len());
        self.turn_with_saves(at, Vec::new(), saves);
    }

    fn pass_time(&mut self) {
        self.now = self.now + Duration::from_millis(self.rng.u64(0..8));
        for at in 0..self.machines.len() {
            if Some(at) != self.paused && self.chance(800) {
                self.tick(at);
            }
        }
    }

    fn tick(&mut self, at: usize) {
        if self.machines[at].raft.as_ref().is_some_and(|raft| raft.deadline() <= self.now) {
            self.turn(at, vec![Event::Timeout]);
        }
    }

    /// Mostly at somebody who leads, or thinks so.
    fn whom_to_ask(&mut self, at: usize) -> usize {
        let leaders: Vec<usize> = (0..self.machines.len()).filter(|at| self.role(*at) == Some(Role::Leader)).collect();
        if self.chance(200) { at } else { self.rng.choice(leaders).unwrap_or(at) }
    }

    fn propose(&mut self, at: usize) {
        let at = self.whom_to_ask(at);
        if self.machines[at].raft.is_none() || Some(at) == self.paused {
            return;
        }
        let events = (0..self.rng.usize(1..4))
            .map(|_| {
                self.requests += 1;
                let mut payload = format!("{};", self.requests).into_bytes();
                payload.resize(payload.len() + self.rng.usize(0..=self.faults.padding_bytes), b'.');
                let payload = Bytes::from(payload);
                Event::Propose { id: RequestId(self.requests), payload }
            })
            .collect();
        self.turn(at, events);
    }

    fn read(&mut self, at: usize) {
        let at = self.whom_to_ask(at);
        if self.machines[at].raft.is_some() {
            self.requests += 1;
            let id = RequestId(self.requests);
            self.safety.read_asked(id);
            self.turn(at, vec![Event::ReadIndex { id }]);
        }
    }

    /// Crashes a node, cuts links, mends them, or stops a process.
    fn strike(&mut self, at: usize) {
        if self.machines[at].raft.is_some() && self.chance(self.faults.crash) {
            self.crash(at);
        }
        if self.chance(self.faults.partition) {
            self.cut.clear();
            let victim = self.whom_to_ask(at);
            let victim = self.machines[victim].id();
            let (deaf, mute) = (self.rng.bool(), self.rng.bool());
            for other in self.machines.iter().map(Machine::id) {
                self.cut.extend(deaf.then_some((other, victim)));
                self.cut.extend(mute.then_some((victim, other)));
            }
        } else if self.chance(120) {
            self.cut.clear();
        }
        if self.chance(200) {
            self.paused = Some(self.whom_to_ask(at)).filter(|at| self.machines[*at].raft.is_some());
        }
        // Once in a while everybody is paused, and whoever wakes first finds all timeouts passed.
        if self.chance(100) {
            self.now = self.now + ELECTION_TIMEOUT * 2;
        }
    }

    fn crash(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        machine.store.crash();
        let publishes = machine.unsaved.iter().any(|save| save.snapshot.is_some());
        machine.crash(usize::MAX);
        let stages = self.snapshots.forget(at);
        self.safety.rare.crashes += 1;
        self.safety.rare.crashes_between_stage_and_publication += u64::from(publishes || stages > 0);
    }

    fn start_somebody(&mut self) {
        let down: Vec<usize> = (0..self.machines.len()).filter(|at| self.machines[*at].raft.is_none()).collect();
        if let Some(at) = self.rng.choice(down) {
            self.start(at);
        }
    }

    fn start_if_down(&mut self, at: usize) {
        if self.machines[at].raft.is_none() {
            self.start(at);
        }
    }

    fn start(&mut self, at: usize) {
        let under_way = self.machines[at].unsaved.len();
        let Some(lost) = self.machines[at].reopen() else { return };
        self.safety.reopened(&self.machines[at], under_way, &lost);
        let output = self.machines[at].start_opened(self.now);
        self.note(at, &output);
        let before = self.machines[at].status().expect("it runs");
        self.safety.rare.restores_at_a_start += u64::from(output.restore.is_some());
        self.safety.check(&self.machines, at, &before, &output);
    }
}

/// Whether a read may be served, and from where on.
pub(crate) fn read_at(outcome: ReadOutcome) -> Option<LogIndex> {
    match outcome {
        ReadOutcome::ReadAt(index) => Some(index),
        ReadOutcome::NotLeader { .. } | ReadOutcome::Busy => None,
    }
}
