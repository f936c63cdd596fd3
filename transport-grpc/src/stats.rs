//! What the transport counts, for metrics and for whoever asks why a peer is silent.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
};

use eraft_core::{NodeId, StoreId};

/// What a [`GrpcTransport`](crate::GrpcTransport) has done for one peer since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// Whether a stream to the peer is open now.
    pub connected: bool,
    /// The data directory that the peer last named in a handshake; carried, not checked.
    pub store: Option<StoreId>,
    /// Streams opened, handshake included; all but the first are reconnects.
    pub connects: u64,
    /// Attempts to connect that failed on the way.
    pub failed_connects: u64,
    /// Handshakes that failed: an end is not who the other expects.
    pub refused: u64,
    /// Messages handed to the stream.
    pub sent: u64,
    /// Messages dropped because no stream was open.
    pub dropped_disconnected: u64,
    /// Messages dropped because the queue had no room for `send_timeout`.
    pub dropped_queue_full: u64,
    /// Messages dropped because they exceed `max_frame_bytes`.
    pub dropped_oversize: u64,
    /// Messages dropped from the queue when the stream was lost.
    pub dropped_stream_lost: u64,
    /// Snapshots that the peer has staged, by its own word.
    pub snapshots_sent: u64,
    /// Snapshots that were begun or refused, and not staged.
    pub snapshots_failed: u64,
    /// Bytes of snapshots handed to a stream, of those that failed too.
    pub snapshot_bytes_sent: u64,
}

/// What a [`GrpcServer`](crate::GrpcServer) has taken and refused since it was bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerStats {
    /// Messages handed to the inbox.
    pub received: u64,
    /// Streams whose handshake was accepted.
    pub accepted: u64,
    /// Handshakes refused: another version, cluster, group or node.
    pub refused: u64,
    /// Streams closed because a frame or message was malformed or too long.
    pub malformed: u64,
    /// Streams closed because a message's `from` or `to` was not that of the handshake.
    pub misdirected: u64,
    /// Streams closed because the same node opened a newer one.
    pub replaced: u64,
    /// Snapshots that came whole and were staged.
    pub snapshots_received: u64,
    /// Snapshots refused: as many as allowed come in already, the header is nonsense, or the node does not want them.
    pub snapshots_refused: u64,
    /// Snapshots that did not come whole: the sender went away or gave up, or bytes were damaged.
    pub snapshots_broken: u64,
    /// Bytes of snapshots that came intact, of those that did not come whole too.
    pub snapshot_bytes_received: u64,
    /// The nodes that have a stream open now.
    pub connected: BTreeSet<NodeId>,
    /// The data directory that each node last named in a handshake; carried, not checked.
    pub stores: BTreeMap<NodeId, StoreId>,
}

/// A number that only rises: kept here for [`PeerStats`] and [`ServerStats`], and told as a metric.
#[derive(Debug)]
pub(crate) struct Counter {
    count: AtomicU64,
    metric: eraft_metrics_kit::Counter,
}

impl Counter {
    /// Nothing counted yet.
    pub(crate) fn told_by(metric: eraft_metrics_kit::Counter) -> Counter {
        Counter { count: AtomicU64::new(0), metric }
    }

    /// Counts one more.
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    /// Counts `many` more.
    pub(crate) fn add(&self, many: u64) {
        self.count.fetch_add(many, Ordering::Relaxed);
        self.metric.increment(many);
    }

    /// How many there were.
    pub(crate) fn get(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
