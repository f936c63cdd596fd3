//! What `send` and the task that keeps the connection share of one peer: the open stream's queue, or why there is none.

use std::sync::{Arc, Mutex, PoisonError};

use eraft_core::{Message, NodeId, StoreId, Unreachable};
use eraft_metrics_kit::Gauge;
use tokio::time::timeout;

use crate::{
    GrpcOptions, PeerStats,
    queue::{Closed, Queue, framed_bytes},
    stats::Counter,
    wire,
};

/// One peer as the sending side sees it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    pub(crate) address: String,
    pub(crate) counters: Arc<Counters>,
    state: Mutex<State>,
}

/// What happened to the messages for one peer, and to its connections.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) connects: Counter,
    pub(crate) failed_connects: Counter,
    pub(crate) refused: Counter,
    pub(crate) sent: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) dropped_disconnected: Counter,
    pub(crate) dropped_queue_full: Counter,
    pub(crate) dropped_oversize: Counter,
    pub(crate) dropped_stream_lost: Counter,
    pub(crate) snapshots_sent: Counter,
    pub(crate) snapshots_failed: Counter,
    pub(crate) snapshot_bytes_sent: Counter,
    pub(crate) connected: Gauge,
    pub(crate) queued: Gauge,
    pub(crate) queued_bytes: Gauge,
}

#[derive(Debug)]
struct State {
    /// The open stream's queue; `Err` says why there is none.
    queue: Result<Queue, String>,
    store: Option<StoreId>,
}

impl Peer {
    /// The peer `id` of `node`.
    pub(crate) fn new(node: NodeId, id: NodeId, address: String) -> Peer {
        let state = State { queue: Err("no stream has been opened yet".to_owned()), store: None };
        Peer { id, address, counters: Arc::new(Counters::new(node, id)), state: Mutex::new(state) }
    }

    /// From now on messages go into `queue`.
    pub(crate) fn up(&self, queue: Queue, store: StoreId) {
        self.counters.connects.increment();
        self.counters.connected.set(1);
        self.with_state(|state| *state = State { queue: Ok(queue), store: Some(store) });
    }

    /// From now on, and for those who are waiting, the peer is unreachable.
    pub(crate) fn down(&self, reason: String) {
        self.counters.connected.set(0);
        let lost = self.with_state(|state| std::mem::replace(&mut state.queue, Err(reason)));
        if let Ok(queue) = lost {
            queue.close();
        }
    }

    /// Hands `message` to the open stream, waiting for room a bounded time.
    pub(crate) async fn send(&self, message: Message, options: &GrpcOptions) -> Result<(), Unreachable> {
        let message = wire::to_proto(message);
        let bytes = framed_bytes(&message);
        // A frame that the other side would refuse to decode costs the whole stream, and everybody's messages with it.
        if bytes > options.max_frame_bytes {
            self.counters.dropped_oversize.increment();
            return Err(self.unreachable(format!(
                "the message takes {bytes} bytes, expected at most {} (max_frame_bytes)",
                options.max_frame_bytes
            )));
        }
        let queue = self.with_state(|state| state.queue.clone()).map_err(|reason| {
            self.counters.dropped_disconnected.increment();
            self.unreachable(reason)
        })?;
        match timeout(options.send_timeout, queue.push(message, bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Closed)) => {
                self.counters.dropped_stream_lost.increment();
                Err(self.unreachable("the stream was lost while the message waited for room".to_owned()))
            }
            Err(_elapsed) => {
                self.counters.dropped_queue_full.increment();
                Err(self.unreachable(format!("its queue had no room for {:?}", options.send_timeout)))
            }
        }
    }

    pub(crate) fn stats(&self) -> PeerStats {
        let (connected, store) = self.with_state(|state| (state.queue.is_ok(), state.store));
        let counters = &self.counters;
        PeerStats {
            connected,
            store,
            connects: counters.connects.get(),
            failed_connects: counters.failed_connects.get(),
            refused: counters.refused.get(),
            sent: counters.sent.get(),
            dropped_disconnected: counters.dropped_disconnected.get(),
            dropped_queue_full: counters.dropped_queue_full.get(),
            dropped_oversize: counters.dropped_oversize.get(),
            dropped_stream_lost: counters.dropped_stream_lost.get(),
            snapshots_sent: counters.snapshots_sent.get(),
            snapshots_failed: counters.snapshots_failed.get(),
            snapshot_bytes_sent: counters.snapshot_bytes_sent.get(),
        }
    }

    fn unreachable(&self, reason: String) -> Unreachable {
        Unreachable { peer: self.id, reason }
    }

    /// Nothing under the lock can panic half-way, so a poisoned one is as good as any.
    fn with_state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
