//! A network in memory: delivers at once, in order, or not at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use eraft_core::{
    Inbox, Message, NodeId, SnapshotNotSent, SnapshotReader, StorageError, StorageErrorKind, Term, Transport,
    Unreachable,
};
use futures_util::StreamExt as _;
use tokio::time::sleep;

/// Who is reachable for whom. Clones are the same network.
#[derive(Clone, Debug, Default)]
pub struct Network {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    inboxes: BTreeMap<NodeId, Arc<dyn Inbox>>,
    /// Pairs between which every message is lost, without a word.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// How long each chunk of a snapshot takes.
    chunk_time: Duration,
    /// After so many chunks a snapshot is lost with its sender; once.
    lose_after_chunks: Option<usize>,
    /// Snapshots that were begun.
    snapshots: u64,
}

impl Network {
    pub fn transport(&self, from: NodeId) -> NetworkTransport {
        NetworkTransport { network: self.clone(), from }
    }

    pub fn connect(&self, id: NodeId, inbox: Arc<dyn Inbox>) {
        self.inner.lock().unwrap().inboxes.insert(id, inbox);
    }

    pub fn inbox(&self, id: NodeId) -> Option<Arc<dyn Inbox>> {
        self.inner.lock().unwrap().inboxes.get(&id).cloned()
    }

    /// Whoever sends there is told that it is unreachable; what it sends is lost.
    pub fn disconnect(&self, id: NodeId) {
        self.inner.lock().unwrap().inboxes.remove(&id);
    }

    /// Loses everything between `a` and `b` from now on, both ways, without telling.
    pub fn cut(&self, a: NodeId, b: NodeId) {
        self.inner.lock().unwrap().cut.extend([(a, b), (b, a)]);
    }

    /// From now on each chunk of a snapshot takes so long.
    pub fn slow_down_snapshots(&self, chunk_time: Duration) {
        self.inner.lock().unwrap().chunk_time = chunk_time;
    }

    /// The next snapshot is lost after so many chunks.
    pub fn lose_snapshot_after(&self, chunks: usize) {
        self.inner.lock().unwrap().lose_after_chunks = Some(chunks);
    }

    /// How many snapshots were begun.
    pub fn snapshots(&self) -> u64 {
        self.inner.lock().unwrap().snapshots
    }

    /// The snapshot as it arrives.
    fn carry(&self, snapshot: SnapshotReader) -> SnapshotReader {
        let mut inner = self.inner.lock().unwrap();
        inner.snapshots += 1;
        let chunk_time = inner.chunk_time;
        let lost_after = inner.lose_after_chunks.take().unwrap_or(usize::MAX);
        let SnapshotReader { meta, size_bytes, chunks } = snapshot;
        let chunks = chunks.enumerate().then(move |(number, chunk)| async move {
            sleep(chunk_time).await;
            if number < lost_after {
                return chunk;
            }
            Err(StorageError::new(StorageErrorKind::Unavailable, "receiving a snapshot", "its sender has gone"))
        });
        SnapshotReader { meta, size_bytes, chunks: chunks.boxed() }
    }

    /// Ends every cut.
    pub fn heal(&self) {
        self.inner.lock().unwrap().cut.clear();
    }

    fn accept(&self, from: NodeId, to: NodeId) -> Result<Option<Arc<dyn Inbox>>, Unreachable> {
        let inner = self.inner.lock().unwrap();
        if !inner.inboxes.contains_key(&from) || inner.cut.contains(&(from, to)) {
            return Ok(None);
        }
        let unreachable = || Unreachable { peer: to, reason: "it is down".to_owned() };
        inner.inboxes.get(&to).cloned().map(Some).ok_or_else(unreachable)
    }
}

/// One member's way into the network.
#[derive(Debug)]
pub struct NetworkTransport {
    network: Network,
    from: NodeId,
}

#[async_trait]
impl Transport for NetworkTransport {
    async fn send(&self, to: NodeId, message: Message) -> Result<(), Unreachable> {
        assert_eq!((message.from, message.to), (self.from, to));
        if let Some(inbox) = self.network.accept(self.from, to)? {
            inbox.receive(message).await;
        }
        Ok(())
    }

    async fn send_snapshot(&self, to: NodeId, term: Term, snapshot: SnapshotReader) -> Result<(), SnapshotNotSent> {
        let lost = || Unreachable { peer: to, reason: "the snapshot was lost on the way".to_owned() };
        let inbox = self.network.accept(self.from, to)?.ok_or_else(lost)?;
        let taken = inbox.receive_snapshot(self.from, term, self.network.carry(snapshot)).await;
        taken.map_err(|refused| SnapshotNotSent::Refused { peer: to, reason: refused.reason })
    }
}
