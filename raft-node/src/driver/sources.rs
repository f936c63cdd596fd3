//! Where the loop's work comes from, and the one place where it waits.

use std::{future::Future, future::poll_fn, pin::Pin, task::Context, task::Poll};

use eraft_core::{LogIndex, Now, SaveId, StorageError};
use tokio::{
    sync::mpsc,
    time::{Sleep, sleep_until},
};

use super::saves::Saves;
use crate::{
    clock::Clock,
    inbox::Arrived,
    requests::{Proposal, Read, RequestQueues},
    snapshots::News,
    stop::Signals,
};

/// What happened since the last turn; bounded by `max_turn_events` of each kind. What a turn leaves is there in the next.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) saved: Option<Result<SaveId, StorageError>>,
    pub(super) news: Vec<News>,
    pub(super) messages: Vec<Arrived>,
    pub(super) reads: Vec<Read>,
    pub(super) proposals: Vec<Proposal>,
    pub(super) timeout: bool,
}

/// What the core knows already: only what goes beyond it is news.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) deadline: Now,
    pub(super) applied: LogIndex,
}

/// Everything the loop waits for.
#[derive(Debug)]
pub(super) struct Sources {
    clock: Clock,
    max_events: usize,
    messages: mpsc::Receiver<Arrived>,
    requests: RequestQueues,
    news: mpsc::Receiver<News>,
    timer: Pin<Box<Sleep>>,
    /// When `timer` fires.
    armed: Now,
}

impl Sources {
    pub(super) fn new(
        clock: Clock,
        max_events: usize,
        messages: mpsc::Receiver<Arrived>,
        requests: RequestQueues,
        news: mpsc::Receiver<News>,
    ) -> Sources {
        let armed = clock.now();
        let timer = Box::pin(sleep_until(clock.instant(armed)));
        Sources { clock, max_events, messages, requests, news, timer, armed }
    }

    /// Resolves when anything has happened; everything that has is in `batch` then. Proposals are taken only where
    /// `take_proposals` says so: the others wait where they hold their clients up.
    pub(super) async fn wait(
        &mut self,
        batch: &mut Batch,
        saves: &mut Saves,
        signals: &Signals,
        known: Known,
        take_proposals: bool,
    ) {
        poll_fn(|cx| {
            signals.register(cx.waker());
            let signalled =
                signals.applied() > known.applied || signals.shutdown_requested() || signals.failure().is_some();
            if let Poll::Ready(outcome) = saves.poll_completed(cx) {
                batch.saved = Some(outcome);
            }
            let mut any = signalled || batch.saved.is_some() || self.poll_timer(cx, known.deadline, batch);
            any |= self.news.poll_recv_many(cx, &mut batch.news, self.max_events).is_ready();
            any |= self.messages.poll_recv_many(cx, &mut batch.messages, self.max_events).is_ready();
            any |= self.requests.reads.poll_recv_many(cx, &mut batch.reads, self.max_events).is_ready();
            if take_proposals && batch.proposals.is_empty() {
                let limit = self.max_events;
                any |= self.requests.proposals.poll_recv_many(cx, &mut batch.proposals, limit).is_ready();
            }
            if any || (take_proposals && !batch.proposals.is_empty()) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Takes no more news; whoever waits to tell some is told.
    pub(super) fn close_news(&mut self) {
        self.news.close();
    }

    /// Whether the deadline has passed. Deadlines mostly move away, as when a follower hears its leader; so the timer is
    /// moved only when it would fire too late, or has fired too early.
    fn poll_timer(&mut self, cx: &mut Context<'_>, deadline: Now, batch: &mut Batch) -> bool {
        if deadline < self.armed {
            self.arm(deadline);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.clock.now() >= deadline {
                batch.timeout = true;
                return true;
            }
            self.arm(deadline);
        }
        false
    }

    fn arm(&mut self, at: Now) {
        self.armed = at;
        self.timer.as_mut().reset(self.clock.instant(at));
    }
}
