//! The receiving side: judges the opening, then lets the node pull verified chunks, and answers when it has staged them.
//!
//! The node works on a task of its own, which the end of the connection does not cut: it always sees either the end of the
//! chunks or an error, and so it always knows whether to finish its stage or to abort it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use eraft_core::{NodeId, SnapshotReader, StorageError, StorageErrorKind};
use futures_util::{StreamExt, future, stream, stream::BoxStream};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use tonic::{Status, Streaming};
use tracing::{info, warn};

use super::parts::{Damaged, Header, Tally};
use crate::{
    admission::Greeted,
    handshake::{self, Refusal},
    proto::{SnapshotAnswer, SnapshotFrame, snapshot_frame::Part},
    receiver::Shared,
};

/// How the chunks ended: whole, or why not. Empty until they have ended.
type Ended = Arc<OnceLock<Result<(), Status>>>;

/// The chunks of one snapshot as they come in.
#[derive(Debug)]
struct Incoming {
    shared: Arc<Shared>,
    frames: Streaming<SnapshotFrame>,
    tally: Tally,
    ended: Ended,
}

/// Takes one snapshot from its opening on; the answers are our hello, and in the end the word that it is staged.
pub(crate) async fn take(
    shared: Arc<Shared>,
    greeted: Greeted,
    mut frames: Streaming<SnapshotFrame>,
) -> Result<BoxStream<'static, Result<SnapshotAnswer, Status>>, Status> {
    let Some(SnapshotFrame { part: Some(Part::Opening(opening)) }) = shared.first(&mut frames).await? else {
        return Err(shared.refuse(Refusal::NoHello));
    };
    let (peer, _store) = shared.judge(opening.hello.as_ref())?;
    greeted.set();
    let header = Header::decode(&opening).map_err(|damaged| shared.refuse_snapshot(peer, damaged))?;
    let place = Arc::clone(&shared.snapshot_places).try_acquire_owned().map_err(|_none_left| {
        shared.counters.snapshots_refused.increment();
        let most = shared.options.max_snapshots_in;
        Status::resource_exhausted(format!("{most} come in at node {} already (max_snapshots_in)", shared.ours.node))
    })?;

    let hello = handshake::hello(&shared.ours, shared.options.group, peer);
    let staging = tokio::spawn(stage(shared, peer, header, frames, place));
    let first = stream::once(future::ready(Ok(SnapshotAnswer { hello: Some(hello), staged: false })));
    let last = stream::once(async move {
        match staging.await {
            Ok(staged) => staged.map(|()| SnapshotAnswer { hello: None, staged: true }),
            Err(_panicked) => Err(Status::internal("the node failed while it took the snapshot")),
        }
    });
    Ok(first.chain(last).boxed())
}

/// Has the node stage the snapshot; an error is what the sender is told.
async fn stage(
    shared: Arc<Shared>,
    peer: NodeId,
    header: Header,
    frames: Streaming<SnapshotFrame>,
    _place: OwnedSemaphorePermit,
) -> Result<(), Status> {
    let Header { term, meta, size_bytes } = header;
    info!(%peer, last = %meta.last, size_bytes, "a snapshot comes in");
    let ended = Ended::default();
    let incoming =
        Incoming { shared: Arc::clone(&shared), frames, tally: Tally::new(size_bytes), ended: Arc::clone(&ended) };
    let snapshot = SnapshotReader { meta, size_bytes, chunks: incoming.into_chunks() };
    let taken = shared.inbox.receive_snapshot(peer, term, snapshot).await;
    match (taken, ended.get()) {
        (Ok(()), Some(Ok(()))) => {
            shared.counters.snapshots_received.increment();
            Ok(())
        }
        (_, Some(Err(status))) => {
            shared.counters.snapshots_broken.increment();
            warn!(%peer, reason = status.message(), "a snapshot was not received whole");
            Err(status.clone())
        }
        (Err(refused), _) => Err(shared.refuse_snapshot(peer, refused)),
        // Whoever stops before the end has not seen whether it was the end.
        (Ok(()), None) => Err(shared.refuse_snapshot(peer, "the node did not read it to its end")),
    }
}

impl Incoming {
    fn into_chunks(self) -> BoxStream<'static, Result<Bytes, StorageError>> {
        let chunks = stream::unfold(Some(self), |incoming| async move {
            let mut incoming = incoming?;
            match incoming.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(incoming))),
                Ok(None) => {
                    let _first = incoming.ended.set(Ok(()));
                    None
                }
                Err(status) => {
                    let detail = format!("{}; the stage is to be aborted", status.message());
                    let _first = incoming.ended.set(Err(status));
                    let error = StorageError::new(StorageErrorKind::Unavailable, "receiving a snapshot", detail);
                    Some((Err(error), None))
                }
            }
        });
        chunks.boxed()
    }

    /// The next bytes, or `None` at the end that the sender has marked; a stream that merely stops is an error.
    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        let (wait, stop) = (self.shared.options.snapshot_stall_timeout, self.shared.stop.clone());
        let frame = stop
            .run_until_cancelled(timeout(wait, self.frames.message()))
            .await
            .ok_or_else(|| Status::unavailable("this node is shutting down"))?
            .map_err(|_elapsed| Status::deadline_exceeded(format!("nothing came for {wait:?}")))?
            .map_err(|status| self.shared.broken(status))?;
        let bytes = self.tally.check(frame, self.shared.options.max_snapshot_chunk_bytes).map_err(damaged)?;
        self.shared.counters.snapshot_bytes_received.add(bytes.as_ref().map_or(0, Bytes::len) as u64);
        Ok(bytes)
    }
}

fn damaged(damaged: Damaged) -> Status {
    Status::invalid_argument(damaged.to_string())
}
