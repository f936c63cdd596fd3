//! The loop: wait, step everything that has happened, ask the core once what to do, hand it out.
//!
//! It holds no Raft rule. What must wait is withheld by the core; the one order kept here is that entries are in the cache
//! before anything else of their `Ready` is handed out. It must never wait for a disk, a peer or the state machine, and
//! must never go on after a failed save.

mod hand_out;
mod room;
mod saves;
mod snapshots;
mod sources;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use eraft_core::{
    Entry, Event, HardState, LogChange, LogIndex, Message, MessageBody, NodeId, Now, Raft, RaftStateUpdate, RequestId,
    Role, Summary, Transport,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tracing::warn;

use self::{
    room::Room,
    saves::Saves,
    sources::{Batch, Known, Sources},
};
use crate::{
    Leadership, ProposeError, ReadError, StopCause, WhenBusy,
    apply::ApplyQueue,
    clock::Clock,
    inbox::Arrived,
    metrics::{self, Told},
    peer::Lanes,
    requests::{Answer, RequestQueues},
    shared::Shared,
    snapshots::{News, Policy},
};

/// The loop's state, which no other task sees.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    transport: Arc<dyn Transport>,
    apply: Arc<ApplyQueue>,
    leadership: watch::Sender<Leadership>,
    clock: Clock,
    sources: Sources,
    /// What the core said at the end of the last turn.
    summary: Summary,
    saves: Saves,
    /// The commit index in the last hard state that was submitted.
    saved_commit: LogIndex,
    /// When to take a snapshot.
    policy: Policy,
    /// The shortest append or proposal that the store had no room for, until it has.
    refused_bytes: Option<u64>,
    proposals: HashMap<RequestId, Answer<Bytes, ProposeError>>,
    reads: HashMap<RequestId, Answer<(), ReadError>>,
    last_request: RequestId,
    lanes: BTreeMap<NodeId, Arc<Lanes>>,
    peer_tasks: JoinSet<()>,
    /// Taking, sending and removing them.
    snapshot_tasks: JoinSet<()>,
    told: Told,
    /// When the status is told next.
    tell_at: Now,
}

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) apply: Arc<ApplyQueue>,
    pub(crate) leadership: watch::Sender<Leadership>,
    pub(crate) clock: Clock,
    pub(crate) messages: mpsc::Receiver<Arrived>,
    pub(crate) requests: RequestQueues,
    pub(crate) news: mpsc::Receiver<News>,
    pub(crate) saved_commit: LogIndex,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Driver {
        let Parts { shared, transport, apply, leadership, clock, messages, requests, news, saved_commit } = parts;
        let sources = Sources::new(clock, shared.options.max_turn_events, messages, requests, news);
        let summary = shared.raft().summary();
        let told = Told::new(shared.identity.node);
        Driver {
            shared,
            transport,
            apply,
            leadership,
            clock,
            sources,
            summary,
            saves: Saves::default(),
            saved_commit,
            policy: Policy::new(),
            refused_bytes: None,
            proposals: HashMap::new(),
            reads: HashMap::new(),
            last_request: RequestId(0),
            lanes: BTreeMap::new(),
            peer_tasks: JoinSet::new(),
            snapshot_tasks: JoinSet::new(),
            told,
            tell_at: clock.now(),
        }
    }

    /// Runs until the node must end; the reason.
    pub(crate) async fn run(&mut self) -> StopCause {
        let mut batch = Batch::default();
        loop {
            // The first turn has nothing to step, but what was committed before the start is to be applied.
            if let Err(cause) = self.turn(&mut batch) {
                return cause;
            }
            let take_proposals = self.refuses() || !self.leads() || self.room().is_open();
            let deadline = self.shared.raft().deadline().min(self.policy.wakes_at(self.clock.now()));
            let known = Known { deadline, applied: self.summary.applied };
            self.sources.wait(&mut batch, &mut self.saves, &self.shared.signals, known, take_proposals).await;
            if let Some(cause) = self.shared.signals.failure() {
                return cause.clone();
            }
            if self.shared.signals.shutdown_requested() {
                // A save that has failed by now will not be heard of again: it is why the node ends.
                return batch.saved.and_then(Result::err).map_or(StopCause::Shutdown, StopCause::Storage);
            }
        }
    }

    /// Ends in good order: completes what is being saved, and saves the commit index, which otherwise only rides along.
    pub(crate) async fn settle(&mut self) -> Result<(), StopCause> {
        // Whoever waits to tell something, the apply task among them, is not to wait for a loop that has ended.
        self.sources.close_news();
        self.saves.drain().await?;
        let status = self.shared.raft().status();
        if status.commit > self.saved_commit {
            let hard_state = HardState { term: status.term, vote: status.vote, commit: status.commit };
            let update = RaftStateUpdate { hard_state: Some(hard_state), log: LogChange::Keep };
            self.shared.storage.save_raft_state(update).await?;
        }
        Ok(())
    }

    /// Ends everything that goes on beside the loop, and waits until it has let go of the store.
    pub(crate) async fn abandon(mut self) {
        self.peer_tasks.shutdown().await;
        self.snapshot_tasks.shutdown().await;
    }

    /// Tells for the last time how things stood.
    pub(crate) fn tell_end(&mut self) {
        self.told.tell(&self.shared.status());
        self.told.ended();
    }

    /// A loop that turns ten thousand times a second has no more to tell than one that turns ten times.
    fn tell_status_if_due(&mut self, now: Now) {
        if now >= self.tell_at {
            self.tell_at = now + metrics::INTERVAL;
            self.told.tell(&self.shared.status());
        }
    }

    /// Steps everything in `batch`, then hands out what the core wants done.
    fn turn(&mut self, batch: &mut Batch) -> Result<(), StopCause> {
        let now = self.clock.now();
        let shared = Arc::clone(&self.shared);
        let mut raft = shared.raft();
        if let Some(outcome) = batch.saved.take() {
            // A failed save ends the node at once: whatever it said from now on might not be so after a restart.
            let id = outcome?;
            shared.cache.unpin(self.saves.first_unsaved());
            self.count_saves();
            self.policy.saved(id, shared.storage.raft_state_size());
            raft.step(now, Event::Saved { id });
        }
        let index = shared.signals.applied();
        if index > self.summary.applied {
            raft.step(now, Event::Applied { index });
        }
        for news in batch.news.drain(..) {
            self.step_news(&mut raft, now, news);
        }
        let mut room = self.room();
        self.notice_room(&room);
        for Arrived { message, .. } in batch.messages.drain(..) {
            self.step_message(&mut raft, now, message, &mut room);
        }
        for read in batch.reads.drain(..) {
            let id = self.next_request();
            self.reads.insert(id, read.answer);
            raft.step(now, Event::ReadIndex { id });
        }
        self.step_proposals(&mut raft, now, batch, &mut room);
        if std::mem::take(&mut batch.timeout) {
            self.step_unreachable(&mut raft, now);
            raft.step(now, Event::Timeout);
        }
        let ready = raft.ready();
        self.summary = raft.summary();
        drop(raft);
        // Before more is handed out: what waits now is what the tasks have left.
        self.tell_status_if_due(now);
        self.hand_out(ready);
        self.take_snapshot_if_due(now);
        Ok(())
    }

    fn step_message(&mut self, raft: &mut Raft, now: Now, mut message: Message, room: &mut Room) {
        match &mut message.body {
            MessageBody::AppendEntries { entries, .. } if !entries.is_empty() => {
                let left_out = entries.split_off(room.fitting_entries(entries));
                if !left_out.is_empty() {
                    // As if the network had lost them; heartbeats still pass, so the leader stays known and sends again.
                    self.shared.gauges.dropped_appends.fetch_add(1, Ordering::Relaxed);
                    self.notice_lack(left_out.iter().map(Entry::size_bytes).sum(), room);
                }
                if entries.is_empty() {
                    return;
                }
                room.take_entries(entries);
            }
            MessageBody::Appended { matched, .. } if self.shared.leading.is(message.term) => {
                if let Some(lanes) = self.lanes.get(&message.from) {
                    lanes.acknowledge(*matched);
                    lanes.wake();
                }
            }
            _ => {}
        }
        raft.step(now, Event::Message(message));
    }

    fn step_proposals(&mut self, raft: &mut Raft, now: Now, batch: &mut Batch, room: &mut Room) {
        let sizes = batch.proposals.iter().map(|proposal| proposal.size_bytes());
        // Only a leader's log takes proposals: elsewhere the core says at once who leads.
        let bounded = self.leads();
        let taken = if self.refuses() || !bounded { batch.proposals.len() } else { room.fitting(sizes) };
        for proposal in batch.proposals.drain(..taken) {
            let bytes = proposal.size_bytes();
            if bounded && !room.is_open() {
                proposal.answer.give(Err(ProposeError::Busy));
            } else if bounded && bytes > room.store_bytes() {
                self.notice_lack(bytes, room);
                proposal.answer.give(Err(ProposeError::Full { room_bytes: room.store_bytes() }));
            } else {
                room.take(bytes);
                let id = self.next_request();
                self.proposals.insert(id, proposal.answer);
                raft.step(now, Event::Propose { id, payload: proposal.payload });
            }
        }
    }

    /// Tells the core of peers that something could not be sent to: at most once per peer and deadline, so that a peer
    /// that is down costs no more than its heartbeats.
    fn step_unreachable(&self, raft: &mut Raft, now: Now) {
        for (peer, lanes) in &self.lanes {
            if lanes.take_unreachable() {
                raft.step(now, Event::Unreachable { peer: *peer });
            }
        }
    }

    /// What may come into the log by now.
    fn room(&self) -> Room {
        let options = &self.shared.options;
        let unapplied_entries = self.summary.commit.0.saturating_sub(self.summary.applied.0);
        Room::new(
            self.saves.bytes(),
            options.max_unsaved_bytes,
            self.shared.storage.room_bytes(),
            options.max_unapplied_entries.saturating_sub(unapplied_entries),
        )
    }

    /// Tells once that the store has no room for something of this size, if that is so: not for each that it refuses. While
    /// saves are queued the room is what is left if each takes the most it can, so that is no time to tell.
    fn notice_lack(&mut self, bytes: u64, room: &Room) {
        let room_bytes = room.store_bytes();
        if bytes <= room_bytes || self.saves.bytes() > 0 {
            return;
        }
        if self.refused_bytes.is_none() {
            warn!(room_bytes, bytes, "the store is full: no such entry is taken; free space on its disk");
        }
        self.refused_bytes = Some(self.refused_bytes.unwrap_or(bytes).min(bytes));
    }

    /// Tells that there is room again for what was refused.
    fn notice_room(&mut self, room: &Room) {
        let room_bytes = room.store_bytes();
        if self.refused_bytes.take_if(|bytes| *bytes <= room_bytes).is_some() {
            warn!(room_bytes, "the store has room again");
        }
    }

    fn leads(&self) -> bool {
        self.summary.role == Role::Leader
    }

    fn refuses(&self) -> bool {
        self.shared.options.when_busy == WhenBusy::Refuse
    }

    fn next_request(&mut self) -> RequestId {
        self.last_request = RequestId(self.last_request.0 + 1);
        self.last_request
    }
}
