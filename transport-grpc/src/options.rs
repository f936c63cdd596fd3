//! Every bound of the transport, each with its unit.

use std::{collections::BTreeSet, time::Duration};

use eraft_core::{GroupId, NodeId};

/// Settings of [`GrpcTransport`](crate::GrpcTransport) and [`GrpcServer`](crate::GrpcServer); one value serves both.
///
/// ```
/// use eraft_core::NodeId;
/// use eraft_transport_grpc::GrpcOptions;
///
/// let peers = [NodeId(2), NodeId(3)];
/// let options = GrpcOptions { queue_bytes: 4 << 20, ..GrpcOptions::accepting(peers) };
/// ```
#[derive(Clone, Debug)]
pub struct GrpcOptions {
    /// The nodes whose messages the server takes; every other is refused at the handshake. None by default.
    pub accept: BTreeSet<NodeId>,
    /// The Raft group that the messages belong to; both ends must agree. 0 by default.
    pub group: GroupId,
    /// The longest encoded frame that is sent or taken; a message that does not fit is refused by `send`. It must be the
    /// same on every node. 2 MiB by default: the longest message of a node, 1.5 MiB, with what encoding adds to it.
    pub max_frame_bytes: usize,
    /// A frame takes further queued messages while it is shorter than this. 256 KiB by default: long enough to make
    /// framing cheap, short enough that the receiver starts early.
    pub batch_bytes: usize,
    /// How many bytes of encoded messages may wait for one peer. 8 MiB by default.
    pub queue_bytes: usize,
    /// How many messages may wait for one peer. 4,096 by default.
    pub queue_messages: usize,
    /// How long `send` waits for room in the queue before the peer counts as unreachable. 500 ms by default.
    pub send_timeout: Duration,
    /// How long connecting may take. 2 s by default.
    pub connect_timeout: Duration,
    /// How long either side waits for the other's part of the handshake. 2 s by default.
    pub handshake_timeout: Duration,
    /// The first wait before another attempt to connect; it doubles up to `backoff_max`, and each wait is drawn from the
    /// upper half of its range, so that nodes do not dial in step. 50 ms by default.
    pub backoff_min: Duration,
    /// The longest wait before another attempt to connect. 500 ms by default.
    pub backoff_max: Duration,
    /// How often an HTTP/2 ping asks whether the other end lives, on idle connections too. 2 s by default.
    pub keepalive_interval: Duration,
    /// How long the answer to a ping may take before the connection counts as lost. 4 s by default.
    pub keepalive_timeout: Duration,
    /// How many bytes one stream may have under way before the receiver has taken them (the HTTP/2 window). 2 MiB by
    /// default.
    pub window_bytes: u32,
    /// How many connections the server holds at once; further ones wait in the listener's backlog. 64 by default.
    pub max_connections: usize,
    /// The longest piece of a snapshot that is sent or taken; what a reader gives in longer ones is cut, as is what
    /// does not fit `max_frame_bytes`. It must be the same on every node. 1 MiB by default.
    pub max_snapshot_chunk_bytes: usize,
    /// How many snapshots may be on their way out at once, to all peers; one more is refused as busy. 2 by default.
    pub max_snapshots_out: usize,
    /// How many snapshots may be coming in at once, from all peers; one more is refused as busy. 2 by default.
    pub max_snapshots_in: usize,
    /// How many bytes of snapshots may leave in a second, to all peers together; `None`, the default, is as many as go.
    pub snapshot_bytes_per_second: Option<u64>,
    /// How long a snapshot may make no progress (nothing is read, nothing is taken, the last answer does not come) before
    /// it is given up. 30 s by default: a slow disk may take its time to make the last bytes durable.
    pub snapshot_stall_timeout: Duration,
    /// How long a shutdown waits for streams to end before it cuts them. 1 s by default.
    pub shutdown_timeout: Duration,
}

impl Default for GrpcOptions {
    fn default() -> GrpcOptions {
        GrpcOptions {
            accept: BTreeSet::new(),
            group: GroupId::ZERO,
            max_frame_bytes: 2 << 20,
            batch_bytes: 256 << 10,
            queue_bytes: 8 << 20,
            queue_messages: 4096,
            send_timeout: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(2),
            handshake_timeout: Duration::from_secs(2),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_millis(500),
            keepalive_interval: Duration::from_secs(2),
            keepalive_timeout: Duration::from_secs(4),
            window_bytes: 2 << 20,
            max_connections: 64,
            max_snapshot_chunk_bytes: 1 << 20,
            max_snapshots_out: 2,
            max_snapshots_in: 2,
            snapshot_bytes_per_second: None,
            snapshot_stall_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(1),
        }
    }
}

impl GrpcOptions {
    /// The defaults, with a server that takes messages from these nodes.
    pub fn accepting(peers: impl IntoIterator<Item = NodeId>) -> GrpcOptions {
        GrpcOptions { accept: peers.into_iter().collect(), ..GrpcOptions::default() }
    }
}
