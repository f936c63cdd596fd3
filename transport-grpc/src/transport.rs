//! The sending side: one connection task and one bounded queue per peer; snapshots go beside them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use eraft_core::{Identity, Message, NodeId, SnapshotNotSent, SnapshotReader, Term, Transport, Unreachable};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{GrpcOptions, PeerStats, connection::Connection, peer::Peer, snapshot};

/// Sends messages to peers; dropping it stops its tasks.
///
/// Invariants:
/// - a peer has at most one open stream, and a queue exactly while it has one;
/// - messages for one peer leave in the order of [`send`](Transport::send)s, or not at all;
/// - nothing is sent before both ends have agreed on the cluster, the group, and who they are.
pub struct GrpcTransport {
    ours: Identity,
    peers: BTreeMap<NodeId, Arc<Peer>>,
    options: Arc<GrpcOptions>,
    snapshots: snapshot::Sender,
    stop: CancellationToken,
    /// Dropping the set aborts them.
    tasks: Mutex<JoinSet<()>>,
}

impl GrpcTransport {
    /// Starts to dial `peers` (`host:port` each, this node left out), and keeps doing so until it is dropped.
    ///
    /// # Panics
    /// Outside a tokio runtime with time and I/O enabled, for that is where its tasks live.
    pub fn new(identity: Identity, peers: BTreeMap<NodeId, String>, options: GrpcOptions) -> GrpcTransport {
        let (options, stop) = (Arc::new(options), CancellationToken::new());
        let mut tasks = JoinSet::new();
        let peers = (peers.into_iter())
            .filter(|(id, _)| *id != identity.node)
            .map(|(id, address)| {
                let peer = Arc::new(Peer::new(identity.node, id, address));
                let connection = Connection {
                    ours: identity,
                    peer: Arc::clone(&peer),
                    options: Arc::clone(&options),
                    stop: stop.clone(),
                    // Drawn at random once, when the store was created: two nodes never share their jitter.
                    random: fastrand::Rng::with_seed(identity.store.0 ^ id.0),
                };
                tasks.spawn(connection.run());
                (id, peer)
            })
            .collect();
        let snapshots = snapshot::Sender::new(&options);
        GrpcTransport { ours: identity, peers, options, snapshots, stop, tasks: Mutex::new(tasks) }
    }

    /// What happened so far, by peer.
    pub fn stats(&self) -> BTreeMap<NodeId, PeerStats> {
        self.peers.iter().map(|(id, peer)| (*id, peer.stats())).collect()
    }

    /// Sends what is queued, closes the streams and waits until the tasks have ended; what has not after
    /// `shutdown_timeout` is cut. Every `send` fails from now on.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        if timeout(self.options.shutdown_timeout, all_ended).await.is_err() {
            tasks.shutdown().await;
        }
        for peer in self.peers.values() {
            peer.down("the transport was shut down".to_owned());
        }
    }
}

#[async_trait]
impl Transport for GrpcTransport {
    async fn send(&self, to: NodeId, message: Message) -> Result<(), Unreachable> {
        // The other side closes the stream on such a message; the caller would lose the rest of what is under way.
        if message.from != self.ours.node || message.to != to {
            let reason = format!("a message from {} to {} was sent by {}", message.from, message.to, self.ours.node);
            return Err(Unreachable { peer: to, reason });
        }
        match self.peers.get(&to) {
            Some(peer) => peer.send(message, &self.options).await,
            None => Err(unknown(to)),
        }
    }

    async fn send_snapshot(&self, to: NodeId, term: Term, snapshot: SnapshotReader) -> Result<(), SnapshotNotSent> {
        let peer = self.peers.get(&to).ok_or_else(|| unknown(to))?;
        let sending = self.snapshots.send(&self.ours, peer, &self.options, term, snapshot);
        let sent =
            self.stop.run_until_cancelled(sending).await.unwrap_or_else(|| {
                Err(Unreachable { peer: to, reason: "the transport was shut down".to_owned() }.into())
            });
        match &sent {
            Ok(()) => peer.counters.snapshots_sent.increment(),
            Err(_) => peer.counters.snapshots_failed.increment(),
        }
        sent
    }
}

fn unknown(peer: NodeId) -> Unreachable {
    Unreachable { peer, reason: "its address is not known here".to_owned() }
}

impl fmt::Debug for GrpcTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcTransport").field("ours", &self.ours).field("peers", &self.peers).finish_non_exhaustive()
    }
}
