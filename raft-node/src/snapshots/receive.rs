//! Receiving a snapshot that a leader sends: into a stage, checked, and then handed to the core, which may install it.
//!
//! At most one comes in at once. It may assume that the transport has verified the sender and refuses damaged bytes; it
//! counts them all the same. Whatever ends it before the core knows of the stage removes the stage.

use std::sync::{Arc, atomic::Ordering};

use eraft_core::{Event, NodeId, SnapshotReader, SnapshotRefused, SnapshotWriter, Term};
use futures_util::TryStreamExt as _;
use tracing::{info, warn};

use super::{News, stage};
use crate::shared::Shared;

/// Takes all of `snapshot`; answers once the core knows of it.
pub(crate) async fn receive(
    shared: &Arc<Shared>,
    from: NodeId,
    term: Term,
    snapshot: SnapshotReader,
) -> Result<(), SnapshotRefused> {
    let known = shared.raft().summary().term;
    if term < known {
        return refuse(format!("it is of term {term}, and this node is in term {known}"));
    }
    let Ok(_only_one) = shared.receiving.try_acquire() else {
        return refuse("another snapshot is coming in: send it again later".to_owned());
    };
    let mut leadership = shared.leadership.clone();
    let SnapshotReader { meta, size_bytes: expected_bytes, chunks } = snapshot;
    let last = meta.last;
    info!(%from, %last, size_bytes = expected_bytes, "receiving a snapshot");
    // No more than announced is ever written, whatever comes.
    let mut left_bytes = expected_bytes;
    let counted = chunks.map_err(|error| error.to_string()).and_then(move |chunk| {
        let left = left_bytes.checked_sub(chunk.len() as u64);
        left_bytes = left.unwrap_or(0);
        let too_long = || format!("it is longer than the {expected_bytes} bytes that were announced");
        std::future::ready(left.map(|_| chunk).ok_or_else(too_long))
    });
    let max_chunk_bytes = shared.options.max_snapshot_chunk_bytes;
    let writing = stage::write(shared.storage.as_ref(), meta, counted, max_chunk_bytes);
    let written = tokio::select! {
        biased;
        // A newer leader, or the end of this node. What was written goes with its writer.
        _ = leadership.wait_for(|now| now.term > term) => return refuse("its term has ended here".to_owned()),
        written = writing => written,
    };
    let (writer, size_bytes) = match written {
        Ok(written) => written,
        Err(failed) => return refuse(failed.to_string()),
    };
    if size_bytes != expected_bytes {
        stage::abort(writer).await;
        return refuse(format!("it has {size_bytes} bytes, and {expected_bytes} were announced"));
    }
    // On a task of its own: if the sender goes away now, nobody would know of the stage.
    let handing_over = tokio::spawn(hand_over(Arc::clone(shared), from, term, writer));
    let handed_over = handing_over.await.unwrap_or_else(|panicked| refuse(panicked.to_string()));
    if handed_over.is_ok() {
        info!(%from, %last, size_bytes, "a snapshot was received");
        shared.gauges.snapshots_received.fetch_add(1, Ordering::Relaxed);
    }
    handed_over
}

/// Makes the stage durable, and tells the loop; without a loop the stage goes again.
async fn hand_over(
    shared: Arc<Shared>,
    from: NodeId,
    term: Term,
    writer: Box<dyn SnapshotWriter>,
) -> Result<(), SnapshotRefused> {
    let staged = match writer.finish().await {
        Ok(staged) => staged,
        Err(error) => return refuse(stage::NotStaged::<String>::Storage(error).to_string()),
    };
    if shared.tell(News::Event(Event::SnapshotStaged { from, term, staged: staged.clone() })).await {
        return Ok(());
    }
    if let Err(error) = shared.storage.discard_snapshot(staged).await {
        warn!(%error, "a snapshot that came too late is not removed before the store is opened again");
    }
    refuse("this node has ended".to_owned())
}

fn refuse(reason: String) -> Result<(), SnapshotRefused> {
    warn!(reason, "a snapshot was refused");
    Err(SnapshotRefused { reason })
}
