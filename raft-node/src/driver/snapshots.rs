//! What the loop does about snapshots: asks for one when it is due, starts the tasks, and tells the core what they tell.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
};

use eraft_core::{Event, Now, Raft, SendSnapshot, StagedSnapshot};
use tracing::{Instrument, debug, warn};

use super::Driver;
use crate::{
    snapshots::{self, Captured, News},
    stop::catch_panic,
};

impl Driver {
    /// Steps what other tasks have told. What is applied was stepped before: the core tells what a view of it stands for.
    pub(super) fn step_news(&mut self, raft: &mut Raft, now: Now, news: News) {
        match news {
            News::Captured(Captured { index, stream }) => match raft.snapshot_meta(index) {
                Some(meta) => self.spawn(snapshots::take(Arc::clone(&self.shared), meta, stream)),
                None => {
                    debug!(%index, "a newer snapshot has come in while one was taken");
                    self.policy.given_up(now);
                }
            },
            News::NotTaken => self.policy.given_up(now + self.shared.options.snapshot_retry),
            News::Taken(staged) => {
                self.policy.handed_over();
                self.shared.gauges.snapshots_taken.fetch_add(1, Ordering::Relaxed);
                raft.step(now, Event::SnapshotTaken { staged, scarce: self.refused_bytes.is_some() });
            }
            News::Event(event) => raft.step(now, event),
        }
    }

    /// Asks the state machine for a view of itself, if the log is long enough and there is anything new to compact it by.
    pub(super) fn take_snapshot_if_due(&mut self, now: Now) {
        let state_bytes = self.shared.storage.raft_state_size();
        if self.policy.is_due(&self.shared.options, state_bytes, self.refused_bytes, now)
            && self.shared.raft().snapshot_meta(self.summary.applied).is_some()
        {
            self.policy.asked();
            self.apply.capture();
        }
        self.shared.gauges.taking_snapshot.store(self.policy.is_under_way(), Ordering::Relaxed);
    }

    pub(super) fn send_snapshot(&mut self, what: SendSnapshot) {
        self.spawn(snapshots::send(Arc::clone(&self.shared), Arc::clone(&self.transport), what));
    }

    /// Removes a stage, beside everything else: one that stays is gone at the next open.
    pub(super) fn discard(&mut self, staged: StagedSnapshot) {
        let storage = Arc::clone(&self.shared.storage);
        self.spawn(async move {
            if let Err(error) = storage.discard_snapshot(staged).await {
                warn!(%error, "a staged snapshot that is not wanted is not removed before the store is opened again");
            }
        });
    }

    /// Runs `work` beside the loop, as long as the node runs.
    fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        while self.snapshot_tasks.try_join_next().is_some() {}
        let shared = Arc::clone(&self.shared);
        let watched = async move {
            if let Err(panicked) = catch_panic("snapshot task", work).await {
                shared.signals.fail(panicked);
            }
        };
        self.snapshot_tasks.spawn(watched.in_current_span());
    }
}
