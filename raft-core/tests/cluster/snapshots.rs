//! Snapshots in a cluster: taken, carried, staged, reported and restored from, each at a moment of its own.
//!
//! Between any two of these steps anything else may happen, crashes included, and any of them may come late.

use eraft_core::{Event, LogIndex, NodeId, Role, StagedSnapshot, Term};

use super::Cluster;
use crate::support::{SnapshotTransfer, store::Failed};

/// What is under way.
#[derive(Default)]
pub(super) struct InTransit {
    pub(super) transfers: Vec<SnapshotTransfer>,
    /// What a machine has staged, and its core does not know yet.
    stages: Vec<(usize, Event)>,
    /// To whom it is to be said what became of its snapshot.
    reports: Vec<(NodeId, NodeId, Term, bool)>,
}

impl InTransit {
    /// A crash loses what only the memory knew: how many stages.
    pub(super) fn forget(&mut self, at: usize) -> usize {
        let before = self.stages.len();
        self.stages.retain(|(of, _)| *of != at);
        before - self.stages.len()
    }
}

impl Cluster {
    /// One step of some snapshot's life.
    pub(super) fn handle_snapshots(&mut self, at: usize) {
        match self.rng.u32(0..12) {
            0..2 => self.take_snapshot(at),
            2..4 => self.carry(),
            4 => self.tell_of_a_stage(),
            5 => self.report(),
            6 => self.restore(at),
            _ if self.role(at) == Some(Role::Leader) && self.machines.len() > 1 => self.surprise(at),
            _ => {}
        }
    }

    /// Everything under way comes to its end.
    pub(super) fn settle_snapshots(&mut self) {
        (0..self.machines.len()).for_each(|at| self.restore(at));
        while !self.snapshots.transfers.is_empty() {
            self.carry();
        }
        while !self.snapshots.stages.is_empty() {
            self.tell_of_a_stage();
        }
        while !self.snapshots.reports.is_empty() {
            self.report();
        }
    }

    fn take_snapshot(&mut self, at: usize) {
        let Some(status) = self.machines[at].status() else { return };
        // Mostly of everything applied; it took some time if not.
        let behind = if self.rng.bool() { 0 } else { self.rng.u64(0..5) };
        let index = LogIndex(status.applied.0.saturating_sub(behind));
        let taken = self.machines[at].try_take_snapshot(index);
        if let Some(staged) = taken.and_then(|staged| self.staged(at, staged)) {
            self.safety.rare.snapshots_taken += 1;
            self.snapshots.stages.push((at, Event::SnapshotTaken { staged, scarce: behind == 1 }));
            if self.rng.bool() {
                self.tell_of_a_stage();
            }
        }
    }

    /// What was staged, unless that failed; it may have been the end of the node.
    fn staged(&mut self, at: usize, staged: Result<StagedSnapshot, Failed>) -> Option<StagedSnapshot> {
        match staged {
            Ok(staged) => return Some(staged),
            Err(Failed { ends_the_node: true }) => self.crash(at),
            Err(Failed { ends_the_node: false }) => {}
        }
        None
    }

    /// A read of a leader meets compaction, or it sends its snapshot to somebody who may not need it.
    fn surprise(&mut self, at: usize) {
        let other = (at + self.rng.usize(1..self.machines.len())) % self.machines.len();
        let (from, to) = (self.machines[at].id(), self.machines[other].id());
        let term = self.machines[at].status().expect("it leads").term;
        match self.machines[at].disk.state.snapshot.clone() {
            Some(meta) if self.rng.bool() && self.machines[other].raft.is_some() => {
                let entries = self.machines[at].disk.snapshot_entries();
                let staged = self.machines[other].try_stage(meta, entries);
                if let Some(staged) = self.staged(other, staged) {
                    self.turn(other, vec![Event::SnapshotStaged { from, term, staged }]);
                }
            }
            _ => self.turn(at, vec![Event::Compacted { peer: to }]),
        }
    }

    /// A snapshot arrives, or does not.
    fn carry(&mut self) {
        if self.snapshots.transfers.is_empty() {
            return;
        }
        let picked = self.rng.usize(0..self.snapshots.transfers.len());
        let transfer = if self.chance(self.faults.repeat) {
            self.snapshots.transfers[picked].clone()
        } else {
            self.snapshots.transfers.swap_remove(picked)
        };
        let SnapshotTransfer { from, to, term, meta, entries } = transfer;
        let receiver = self.machines.iter().position(|machine| machine.id() == to && machine.raft.is_some());
        let lost = self.chance(self.faults.lose) || self.cut.contains(&(from, to));
        let receiver = receiver.filter(|_| !lost);
        let staged = receiver.and_then(|at| {
            let staged = self.machines[at].try_stage(meta, entries);
            self.staged(at, staged).map(|staged| (at, Event::SnapshotStaged { from, term, staged }))
        });
        self.snapshots.reports.push((from, to, term, staged.is_some()));
        self.snapshots.stages.extend(staged);
    }

    fn tell_of_a_stage(&mut self) {
        if !self.snapshots.stages.is_empty() {
            let picked = self.rng.usize(0..self.snapshots.stages.len());
            let (at, event) = self.snapshots.stages.swap_remove(picked);
            self.turn(at, vec![event]);
        }
    }

    fn report(&mut self) {
        if !self.snapshots.reports.is_empty() {
            let picked = self.rng.usize(0..self.snapshots.reports.len());
            let (from, to, term, ok) = self.snapshots.reports.swap_remove(picked);
            let sender = self.machines.iter().position(|machine| machine.id() == from && machine.raft.is_some());
            if let Some(at) = sender {
                self.turn(at, vec![Event::SnapshotSent { to, term, ok }]);
            }
        }
    }

    fn restore(&mut self, at: usize) {
        if self.machines[at].raft.is_some() && self.machines[at].complete_restore(self.now) {
            self.safety.restored(&self.machines[at]);
            self.turn(at, Vec::new());
        }
    }
}
