//! The streams that peers open to us: greet, then hand every message to the inbox, or close the stream and say why. A
//! snapshot's stream is greeted here as well; `snapshot` takes it from there.
//!
//! A stream is believed no further than its handshake: each message must come from the node that greeted, and be for us.
//! One that is malformed or misdirected ends the stream, for whatever follows it is as doubtful.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use eraft_core::{Identity, Inbox, Message, NodeId, StoreId};
use eraft_metrics_kit::Gauge;
use futures_util::{StreamExt, future, stream, stream::BoxStream};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::{debug, info, warn};

use crate::{
    GrpcOptions, ServerStats,
    admission::Greeted,
    handshake::{self, Expect, Refusal},
    proto::{self, Answer, Frame, SnapshotAnswer, SnapshotFrame, raft_server::Raft},
    queue::framed_bytes,
    snapshot,
    stats::Counter,
    wire,
};

/// Takes the streams of all peers.
#[derive(Clone, Debug)]
pub(crate) struct Receiver(Arc<Shared>);

/// What the streams of all peers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ours: Identity,
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) options: GrpcOptions,
    pub(crate) stop: CancellationToken,
    pub(crate) counters: Counters,
    /// One for each snapshot that is coming in.
    pub(crate) snapshot_places: Arc<Semaphore>,
    peers: Mutex<Peers>,
}

/// What has come, and what became of it.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) received: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) accepted: Counter,
    pub(crate) refused: Counter,
    pub(crate) malformed: Counter,
    pub(crate) misdirected: Counter,
    pub(crate) replaced: Counter,
    pub(crate) snapshots_received: Counter,
    pub(crate) snapshots_refused: Counter,
    pub(crate) snapshots_broken: Counter,
    pub(crate) snapshot_bytes_received: Counter,
    pub(crate) streams: Gauge,
}

/// What is known of those that were accepted; bounded by `GrpcOptions::accept`.
#[derive(Debug, Default)]
struct Peers {
    stores: BTreeMap<NodeId, StoreId>,
    /// The open stream of each node: its number, and what ends it once the node opens another.
    streams: BTreeMap<NodeId, (u64, CancellationToken)>,
    /// How many streams there have been.
    numbered: u64,
    /// The last refusal that was logged, so that a peer that keeps trying does not fill the log.
    told: Option<Refusal>,
}

/// One accepted stream.
#[derive(Debug)]
struct Accepted {
    shared: Arc<Shared>,
    peer: NodeId,
    number: u64,
    replaced: CancellationToken,
    frames: Streaming<Frame>,
}

impl Receiver {
    pub(crate) fn new(ours: Identity, inbox: Arc<dyn Inbox>, options: GrpcOptions, stop: CancellationToken) -> Self {
        let (counters, peers) = (Counters::new(ours.node), Mutex::default());
        let snapshot_places = Arc::new(Semaphore::new(options.max_snapshots_in.min(Semaphore::MAX_PERMITS)));
        Receiver(Arc::new(Shared { ours, inbox, options, stop, counters, snapshot_places, peers }))
    }

    pub(crate) fn stats(&self) -> ServerStats {
        let counters = &self.0.counters;
        let (connected, stores) =
            self.0.with_peers(|peers| (peers.streams.keys().copied().collect(), peers.stores.clone()));
        ServerStats {
            received: counters.received.get(),
            accepted: counters.accepted.get(),
            refused: counters.refused.get(),
            malformed: counters.malformed.get(),
            misdirected: counters.misdirected.get(),
            replaced: counters.replaced.get(),
            snapshots_received: counters.snapshots_received.get(),
            snapshots_refused: counters.snapshots_refused.get(),
            snapshots_broken: counters.snapshots_broken.get(),
            snapshot_bytes_received: counters.snapshot_bytes_received.get(),
            connected,
            stores,
        }
    }
}

#[tonic::async_trait]
impl Raft for Receiver {
    type DeliverStream = BoxStream<'static, Result<Answer, Status>>;

    async fn deliver(&self, request: Request<Streaming<Frame>>) -> Result<Response<Self::DeliverStream>, Status> {
        let greeted = request.extensions().get::<Greeted>().cloned().unwrap_or_default();
        let accepted = Accepted::greet(Arc::clone(&self.0), request.into_inner()).await?;
        greeted.set();
        let hello = handshake::hello(&self.0.ours, self.0.options.group, accepted.peer);
        let first = stream::once(future::ready(Ok(Answer { hello: Some(hello) })));
        // The stream of answers is what reads the messages: both end together, however either ends.
        let rest = stream::once(accepted.run()).filter_map(|end| future::ready(end.err().map(Err)));
        Ok(Response::new(first.chain(rest).boxed()))
    }

    type SendSnapshotStream = BoxStream<'static, Result<SnapshotAnswer, Status>>;

    async fn send_snapshot(
        &self,
        request: Request<Streaming<SnapshotFrame>>,
    ) -> Result<Response<Self::SendSnapshotStream>, Status> {
        let greeted = request.extensions().get::<Greeted>().cloned().unwrap_or_default();
        Ok(Response::new(snapshot::take(Arc::clone(&self.0), greeted, request.into_inner()).await?))
    }
}

impl Accepted {
    /// Takes the hello, in bounded time, and judges it.
    async fn greet(shared: Arc<Shared>, mut frames: Streaming<Frame>) -> Result<Accepted, Status> {
        let first = shared.first(&mut frames).await?;
        let hello = first.filter(|frame| frame.messages.is_empty()).and_then(|frame| frame.hello);
        let (peer, store) = shared.judge(hello.as_ref())?;
        shared.counters.accepted.increment();
        info!(%peer, %store, "peer opened its stream");
        let (number, replaced) = shared.accept(peer, store);
        Ok(Accepted { shared, peer, number, replaced, frames })
    }

    /// Hands on messages until the stream ends; an error is what the peer is told.
    async fn run(mut self) -> Result<(), Status> {
        let (stop, replaced) = (self.shared.stop.clone(), self.replaced.clone());
        let end = tokio::select! {
            () = stop.cancelled() => Err(Status::unavailable("this node is shutting down")),
            () = replaced.cancelled() => {
                self.shared.counters.replaced.increment();
                Err(Status::aborted("the same node has opened a newer stream"))
            }
            end = self.take_all() => end,
        };
        match &end {
            Err(status) if matches!(status.code(), Code::InvalidArgument | Code::PermissionDenied) => {
                warn!(peer = %self.peer, reason = status.message(), "closing the stream of a peer");
            }
            Err(status) => debug!(peer = %self.peer, reason = status.message(), "the stream of a peer ends"),
            Ok(()) => debug!(peer = %self.peer, "the peer ends its stream"),
        }
        end
    }

    async fn take_all(&mut self) -> Result<(), Status> {
        while let Some(frame) = self.frames.message().await.map_err(|status| self.shared.broken(status))? {
            if frame.hello.is_some() {
                return Err(self.shared.malformed("a hello stands after the first frame"));
            }
            for message in frame.messages {
                let bytes = framed_bytes(&message);
                let message = self.verify(message)?;
                self.shared.inbox.receive(message).await;
                self.shared.counters.received.increment();
                self.shared.counters.received_bytes.add(bytes as u64);
            }
        }
        Ok(())
    }

    /// The message, if it is whole, from the node that greeted, and for us.
    fn verify(&self, message: proto::Message) -> Result<Message, Status> {
        let message = wire::from_proto(message).map_err(|error| self.shared.malformed(&error.to_string()))?;
        if message.from != self.peer || message.to != self.shared.ours.node {
            self.shared.counters.misdirected.increment();
            return Err(Status::permission_denied(format!(
                "a message is from node {} to node {}, expected from node {} to node {}",
                message.from, message.to, self.peer, self.shared.ours.node
            )));
        }
        Ok(message)
    }
}

impl Drop for Accepted {
    /// However it ended, by our will or with its connection.
    fn drop(&mut self) {
        info!(peer = %self.peer, "the stream of a peer is closed");
        self.shared.with_peers(|peers| {
            if peers.streams.get(&self.peer).is_some_and(|(number, _)| *number == self.number) {
                peers.streams.remove(&self.peer);
            }
            self.shared.counters.streams.set(peers.streams.len() as f64);
        });
    }
}

impl Shared {
    /// The first frame, which bears the hello, in bounded time.
    pub(crate) async fn first<T>(&self, frames: &mut Streaming<T>) -> Result<Option<T>, Status> {
        let wait = self.options.handshake_timeout;
        timeout(wait, frames.message())
            .await
            .map_err(|_elapsed| Status::deadline_exceeded(format!("no hello within {wait:?}")))?
            .map_err(|status| self.broken(status))
    }

    /// Who speaks, if it is one that may.
    pub(crate) fn judge(&self, hello: Option<&proto::Hello>) -> Result<(NodeId, StoreId), Status> {
        let expect = Expect::AnyOf(&self.options.accept);
        let judged = hello
            .ok_or(Refusal::NoHello)
            .and_then(|hello| handshake::check(hello, &self.ours, self.options.group, expect));
        judged.map_err(|refusal| self.refuse(refusal))
    }

    /// Notes the peer's newest stream, which ends the one before: a peer that reconnects has given that one up, even
    /// where we have not heard so yet.
    fn accept(&self, peer: NodeId, store: StoreId) -> (u64, CancellationToken) {
        let newest = CancellationToken::new();
        let (number, older) = self.with_peers(|peers| {
            peers.told = None;
            peers.stores.insert(peer, store);
            peers.numbered += 1;
            let older = peers.streams.insert(peer, (peers.numbered, newest.clone()));
            self.counters.streams.set(peers.streams.len() as f64);
            (peers.numbered, older)
        });
        if let Some((_number, older)) = older {
            older.cancel();
        }
        (number, newest)
    }

    pub(crate) fn refuse(&self, refusal: Refusal) -> Status {
        self.counters.refused.increment();
        let status = refusal.status();
        let told = self.with_peers(|peers| peers.told.replace(refusal.clone()));
        if told.as_ref() == Some(&refusal) {
            debug!(reason = %refusal, "refused a stream again");
        } else {
            warn!(reason = %refusal, "refused a stream");
        }
        status
    }

    /// Counts a snapshot that is not wanted, or cannot be one.
    pub(crate) fn refuse_snapshot(&self, peer: NodeId, why: impl std::fmt::Display) -> Status {
        self.counters.snapshots_refused.increment();
        warn!(%peer, reason = %why, "refused a snapshot");
        Status::failed_precondition(why.to_string())
    }

    fn malformed(&self, what: &str) -> Status {
        self.counters.malformed.increment();
        Status::invalid_argument(what.to_owned())
    }

    /// What a failed read means: the connection's end, or bytes that are no frame.
    pub(crate) fn broken(&self, status: Status) -> Status {
        match status.code() {
            Code::OutOfRange => self.malformed(status.message()),
            // A lost connection has its cause attached, a frame that cannot be decoded has none.
            Code::Internal if std::error::Error::source(&status).is_none() => self.malformed(status.message()),
            _ => status,
        }
    }

    /// Nothing under the lock can panic half-way, so a poisoned one is as good as any.
    fn with_peers<T>(&self, look: impl FnOnce(&mut Peers) -> T) -> T {
        look(&mut self.peers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
