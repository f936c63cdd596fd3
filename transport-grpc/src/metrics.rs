//! What the transport tells of itself: messages and bytes both ways, what was lost or refused and why, what waits.
//!
//! A peer is a label on the sending side alone, where peers are those that the node was given. What comes in bears only this
//! node's id: a stranger must not be able to make labels.

use eraft_core::NodeId;
use eraft_metrics_kit::{Gauge, Labels, Metric, Unit};

use crate::{peer, receiver, stats::Counter};

const SENT: Metric =
    Metric::counter("eraft_transport_messages_sent_total", Unit::Count, "Messages handed to a peer's stream.");
const SENT_BYTES: Metric =
    Metric::counter("eraft_transport_sent_bytes_total", Unit::Bytes, "Bytes of messages handed to a peer's stream.");
const DROPPED: Metric = Metric::counter(
    "eraft_transport_messages_dropped_total",
    Unit::Count,
    "Messages for a peer that were lost here (label reason: disconnected, queue_full, oversize, stream_lost).",
);
const QUEUED: Metric =
    Metric::gauge("eraft_transport_queued_messages", Unit::Count, "Messages that wait for a peer's stream.");
const QUEUED_BYTES: Metric =
    Metric::gauge("eraft_transport_queued_bytes", Unit::Bytes, "Bytes of messages that wait for a peer's stream.");
const CONNECTED: Metric =
    Metric::gauge("eraft_transport_connected", Unit::Count, "1 while a stream to the peer is open, else 0.");
const CONNECTS: Metric = Metric::counter(
    "eraft_transport_connects_total",
    Unit::Count,
    "Attempts to connect to a peer, by how they ended (label outcome: opened, unreachable, refused).",
);
const SNAPSHOTS_SENT: Metric =
    Metric::counter("eraft_transport_snapshots_sent_total", Unit::Count, "Snapshots that a peer has staged.");
const SNAPSHOTS_FAILED: Metric = Metric::counter(
    "eraft_transport_snapshots_failed_total",
    Unit::Count,
    "Snapshots that were begun for a peer, or refused by it, and not staged.",
);
const SNAPSHOT_SENT_BYTES: Metric = Metric::counter(
    "eraft_transport_snapshot_sent_bytes_total",
    Unit::Bytes,
    "Bytes of snapshots handed to a peer's stream, of those that failed too.",
);

const RECEIVED: Metric =
    Metric::counter("eraft_transport_messages_received_total", Unit::Count, "Messages handed to the node.");
const RECEIVED_BYTES: Metric =
    Metric::counter("eraft_transport_received_bytes_total", Unit::Bytes, "Bytes of messages handed to the node.");
const STREAMS: Metric = Metric::gauge("eraft_transport_streams", Unit::Count, "Streams that peers have open now.");
const ACCEPTED: Metric = Metric::counter(
    "eraft_transport_streams_accepted_total",
    Unit::Count,
    "Peers' streams whose handshake was accepted.",
);
const REFUSED: Metric = Metric::counter(
    "eraft_transport_streams_refused_total",
    Unit::Count,
    "Streams refused or closed by this end (label reason: handshake, malformed, misdirected, replaced).",
);
const UNGREETED: Metric = Metric::counter(
    "eraft_transport_connections_ungreeted_total",
    Unit::Count,
    "Connections that ended without a handshake that was accepted: garbage, silence, strangers.",
);
const SNAPSHOTS_RECEIVED: Metric = Metric::counter(
    "eraft_transport_snapshots_received_total",
    Unit::Count,
    "Snapshots that came whole and were staged.",
);
const SNAPSHOTS_REFUSED: Metric = Metric::counter(
    "eraft_transport_snapshots_refused_total",
    Unit::Count,
    "Snapshots that were not staged (label reason: unwanted, broken).",
);
const SNAPSHOT_RECEIVED_BYTES: Metric = Metric::counter(
    "eraft_transport_snapshot_received_bytes_total",
    Unit::Bytes,
    "Bytes of snapshots that came intact, of those that did not come whole too.",
);

/// Every metric of this crate.
pub fn metrics() -> Vec<Metric> {
    vec![
        SENT,
        SENT_BYTES,
        DROPPED,
        QUEUED,
        QUEUED_BYTES,
        CONNECTED,
        CONNECTS,
        SNAPSHOTS_SENT,
        SNAPSHOTS_FAILED,
        SNAPSHOT_SENT_BYTES,
        RECEIVED,
        RECEIVED_BYTES,
        STREAMS,
        ACCEPTED,
        REFUSED,
        UNGREETED,
        SNAPSHOTS_RECEIVED,
        SNAPSHOTS_REFUSED,
        SNAPSHOT_RECEIVED_BYTES,
    ]
}

impl peer::Counters {
    /// Those of `node`'s sending side for `peer`.
    pub(crate) fn new(node: NodeId, peer: NodeId) -> peer::Counters {
        let labels = Labels::of_node(node).with("peer", peer);
        let counter = |metric: Metric| Counter::told_by(metric.counter_of(&labels));
        let connects = |outcome| Counter::told_by(CONNECTS.counter_of(&labels.with("outcome", outcome)));
        let dropped = |reason| Counter::told_by(DROPPED.counter_of(&labels.with("reason", reason)));
        peer::Counters {
            connects: connects("opened"),
            failed_connects: connects("unreachable"),
            refused: connects("refused"),
            sent: counter(SENT),
            sent_bytes: counter(SENT_BYTES),
            dropped_disconnected: dropped("disconnected"),
            dropped_queue_full: dropped("queue_full"),
            dropped_oversize: dropped("oversize"),
            dropped_stream_lost: dropped("stream_lost"),
            snapshots_sent: counter(SNAPSHOTS_SENT),
            snapshots_failed: counter(SNAPSHOTS_FAILED),
            snapshot_bytes_sent: counter(SNAPSHOT_SENT_BYTES),
            connected: at_zero(CONNECTED.gauge_of(&labels)),
            queued: at_zero(QUEUED.gauge_of(&labels)),
            queued_bytes: at_zero(QUEUED_BYTES.gauge_of(&labels)),
        }
    }
}

impl receiver::Counters {
    /// Those of `node`'s receiving side.
    pub(crate) fn new(node: NodeId) -> receiver::Counters {
        let labels = Labels::of_node(node);
        let counter = |metric: Metric| Counter::told_by(metric.counter_of(&labels));
        let by_reason = |metric: Metric, reason| Counter::told_by(metric.counter_of(&labels.with("reason", reason)));
        receiver::Counters {
            received: counter(RECEIVED),
            received_bytes: counter(RECEIVED_BYTES),
            accepted: counter(ACCEPTED),
            refused: by_reason(REFUSED, "handshake"),
            malformed: by_reason(REFUSED, "malformed"),
            misdirected: by_reason(REFUSED, "misdirected"),
            replaced: by_reason(REFUSED, "replaced"),
            snapshots_received: counter(SNAPSHOTS_RECEIVED),
            snapshots_refused: by_reason(SNAPSHOTS_REFUSED, "unwanted"),
            snapshots_broken: by_reason(SNAPSHOTS_REFUSED, "broken"),
            snapshot_bytes_received: counter(SNAPSHOT_RECEIVED_BYTES),
            streams: at_zero(STREAMS.gauge_of(&labels)),
        }
    }
}

/// What counts connections that never greeted.
pub(crate) fn ungreeted(node: NodeId) -> eraft_metrics_kit::Counter {
    UNGREETED.counter_of(&Labels::of_node(node))
}

fn at_zero(gauge: Gauge) -> Gauge {
    gauge.set(0);
    gauge
}
