//! Handing out what the core wants done: announce, cache, save, send, answer, apply.
//!
//! Two things come first, whatever else the `Ready` holds. The leading term: a peer's task that reads entries of a later
//! leader must not find this node leading in its own term still. And the cache: whoever is told of an entry must find it.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use eraft_core::{NodeId, ProposeOutcome, ReadOutcome, Ready, RequestId, Role, Save};
use tracing::{Instrument, debug, info, trace};

use super::{Driver, saves::LogSize};
use crate::{
    Leadership, ProposeError, ReadError,
    peer::{Lanes, PeerTask},
    stop::catch_panic,
};

impl Driver {
    pub(super) fn hand_out(&mut self, ready: Ready) {
        self.announce();
        for save in &ready.saves {
            self.shared.cache.change(&save.update.log);
        }
        for save in ready.saves {
            self.submit(save);
        }
        let mut woken = Vec::new();
        for message in ready.messages {
            let to = message.to;
            self.lanes(to).push_message(message);
            woken.push(to);
        }
        for replicate in ready.replicates {
            let to = replicate.to;
            self.lanes(to).push_replicate(replicate);
            woken.push(to);
        }
        for to in woken {
            self.lanes(to).wake();
        }
        for what in ready.send_snapshots {
            self.send_snapshot(what);
        }
        for staged in ready.discard {
            self.discard(staged);
        }
        let wake_apply = ready.apply.is_some() || ready.restore.is_some() || !ready.reads.is_empty();
        for (id, outcome) in ready.proposals {
            self.answer_proposal(id, outcome);
        }
        for (id, outcome) in ready.reads {
            self.answer_read(id, outcome);
        }
        if let Some(meta) = ready.restore {
            self.apply.push_restore(meta.last.index);
        }
        if let Some(range) = ready.apply {
            self.apply.push_range(&range);
        }
        if wake_apply {
            self.apply.wake();
        }
    }

    /// Tells who leads, before anything of a new role is to be seen.
    fn announce(&mut self) {
        let known = &self.summary;
        let now = Leadership { role: known.role, term: known.term, leader: known.leader };
        let before = *self.leadership.borrow();
        if before == now {
            return;
        }
        self.shared.leading.set((now.role == Role::Leader).then_some(now.term));
        if before.term != now.term || now.role == Role::Leader {
            info!(term = %now.term, role = ?now.role, leader = now.leader.map(|id| id.0), "the term is {}", now.term);
        } else {
            debug!(term = %now.term, role = ?now.role, leader = now.leader.map(|id| id.0), "the role has changed");
        }
        self.told.leader(now.leader);
        self.leadership.send_replace(now);
    }

    fn submit(&mut self, save: Save) {
        if let Some(hard_state) = save.update.hard_state {
            self.saved_commit = hard_state.commit;
        }
        let size = LogSize::of(&save.update.log);
        trace!(id = save.id.0, ?size, "saving");
        let storage = &self.shared.storage;
        let receipt = match save.snapshot {
            Some(staged) => {
                self.policy.publishing(save.id);
                storage.save_state_and_snapshot(save.update, staged)
            }
            None => storage.save_raft_state(save.update),
        };
        self.saves.submitted(save.id, &size, receipt);
        self.count_saves();
    }

    pub(super) fn count_saves(&self) {
        self.shared.gauges.unsaved_saves.store(self.saves.len(), Ordering::Relaxed);
        self.shared.gauges.unsaved_bytes.store(self.saves.bytes(), Ordering::Relaxed);
    }

    fn answer_proposal(&mut self, id: RequestId, outcome: ProposeOutcome) {
        let Some(answer) = self.proposals.remove(&id) else { return };
        match outcome {
            ProposeOutcome::Committed(entry) => self.apply.push_proposal(entry, answer),
            ProposeOutcome::NotLeader { leader } => answer.give(Err(ProposeError::NotLeader { leader })),
            ProposeOutcome::Busy => answer.give(Err(ProposeError::Busy)),
            ProposeOutcome::LeadershipLost { leader } => answer.give(Err(ProposeError::LeadershipLost { leader })),
        }
    }

    fn answer_read(&mut self, id: RequestId, outcome: ReadOutcome) {
        let Some(answer) = self.reads.remove(&id) else { return };
        match outcome {
            // Mostly it is applied already, and a detour by the apply task would only cost a wake-up.
            ReadOutcome::ReadAt(index) if index <= self.shared.signals.applied() => answer.give(Ok(())),
            ReadOutcome::ReadAt(index) => self.apply.push_read(index, answer),
            ReadOutcome::NotLeader { leader } => answer.give(Err(ReadError::NotLeader { leader })),
            ReadOutcome::Busy => answer.give(Err(ReadError::Busy)),
        }
    }

    /// The lanes to `peer`; its task starts when there is something for it for the first time.
    fn lanes(&mut self, peer: NodeId) -> &Arc<Lanes> {
        self.lanes.entry(peer).or_insert_with(|| {
            let options = &self.shared.options;
            let lanes = Arc::new(Lanes::new(options.max_peer_messages, options.max_inflight_bytes));
            let task = PeerTask {
                peer,
                lanes: Arc::clone(&lanes),
                shared: Arc::clone(&self.shared),
                transport: Arc::clone(&self.transport),
            };
            let shared = Arc::clone(&self.shared);
            let work = async move {
                if let Err(panicked) = catch_panic("peer task", task.run()).await {
                    shared.signals.fail(panicked);
                }
            };
            self.peer_tasks.spawn(work.in_current_span());
            let mut peers = self.shared.peers.lock().unwrap_or_else(PoisonError::into_inner);
            peers.insert(peer, Arc::clone(&lanes));
            lanes
        })
    }
}
