//! What the tasks of one node and its handles share.
//!
//! Nothing here waits. The core stands behind a lock so that its status can be told at any time, also after the node has
//! ended; only the loop steps it, and holds the lock for one turn.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use eraft_core::{Identity, NodeId, Raft, Storage, Term};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::{
    Leadership, NodeStatus, Options, SnapshotActivity,
    cache::EntryCache,
    inbox::NodeInbox,
    peer::Lanes,
    requests::Requests,
    snapshots::News,
    stop::{Signals, Stop},
};

/// One node's common ground.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) identity: Identity,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) raft: Mutex<Raft>,
    pub(crate) cache: EntryCache,
    pub(crate) leading: LeadingTerm,
    pub(crate) requests: Requests,
    pub(crate) inbox: Arc<NodeInbox>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) peers: Mutex<BTreeMap<NodeId, Arc<Lanes>>>,
    /// What other tasks tell the loop: [`Shared::tell`].
    pub(crate) news: mpsc::Sender<News>,
    /// Turns at sending a snapshot.
    pub(crate) sending: Semaphore,
    /// The one turn at receiving a snapshot.
    pub(crate) receiving: Semaphore,
    pub(crate) gauges: Gauges,
    pub(crate) signals: Signals,
    pub(crate) stop: Stop,
}

/// What the loop counts for people.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) unsaved_saves: AtomicU64,
    pub(crate) unsaved_bytes: AtomicU64,
    pub(crate) dropped_appends: AtomicU64,
    pub(crate) snapshots_taken: AtomicU64,
    pub(crate) snapshots_sent: AtomicU64,
    pub(crate) snapshots_received: AtomicU64,
    pub(crate) taking_snapshot: AtomicBool,
}

/// The term that this node leads in, for peers' tasks.
///
/// It changes *before* entries of a new role enter the cache or the store. So a task that reads entries and then still
/// finds its term here knows that none of them was put there by a later leader.
#[derive(Debug, Default)]
pub(crate) struct LeadingTerm(AtomicU64);

impl LeadingTerm {
    /// This node leads in `term`, or (`None`) not at all.
    pub(crate) fn set(&self, term: Option<Term>) {
        self.0.store(term.map_or(0, |term| term.0), Ordering::SeqCst);
    }

    /// Whether it leads in `term`.
    pub(crate) fn is(&self, term: Term) -> bool {
        term != Term::ZERO && self.0.load(Ordering::SeqCst) == term.0
    }
}

impl Shared {
    /// The core. A panic while it was held ends the node; looking at it remains safe.
    pub(crate) fn raft(&self) -> MutexGuard<'_, Raft> {
        self.raft.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the loop; whether there is one to hear it.
    pub(crate) async fn tell(&self, news: News) -> bool {
        self.news.send(news).await.is_ok()
    }

    pub(crate) fn status(&self) -> NodeStatus {
        let (cached_entries, cached_bytes) = self.cache.size();
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        NodeStatus {
            identity: self.identity,
            raft: self.raft().status(),
            pending_requests: self.requests.pending(),
            inbox_messages: self.inbox.waiting(),
            unsaved_saves: self.gauges.unsaved_saves.load(Ordering::Relaxed),
            unsaved_bytes: self.gauges.unsaved_bytes.load(Ordering::Relaxed),
            cached_entries,
            cached_bytes,
            raft_state_size_bytes: self.storage.raft_state_size(),
            snapshot_size_bytes: self.storage.snapshot_size(),
            room_bytes: self.storage.room_bytes(),
            storage_facts: self.storage.facts(),
            dropped_appends: self.gauges.dropped_appends.load(Ordering::Relaxed),
            snapshots: SnapshotActivity {
                taking: self.gauges.taking_snapshot.load(Ordering::Relaxed),
                sending: self.options.max_snapshots_sending.saturating_sub(self.sending.available_permits()) as u64,
                receiving: self.receiving.available_permits() == 0,
                taken: self.gauges.snapshots_taken.load(Ordering::Relaxed),
                sent: self.gauges.snapshots_sent.load(Ordering::Relaxed),
                received: self.gauges.snapshots_received.load(Ordering::Relaxed),
            },
            peers: peers.iter().map(|(id, lanes)| (*id, lanes.queues())).collect(),
            stopped: self.stop.cause(),
        }
    }

    /// Takes in nothing more: whoever waits to hand something in is told.
    pub(crate) fn close(&self) {
        self.requests.close();
        self.inbox.close();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("identity", &self.identity).field("storage", &self.storage).finish()
    }
}
