//! Sending the published snapshot to a peer that lacks entries which the log has dropped.
//!
//! So many at once as the options allow; the others wait their turn. It ends with the term that it was asked for in:
//! whoever leads by then decides anew.

use std::sync::{Arc, atomic::Ordering};

use eraft_core::{Event, SendSnapshot, SnapshotNotSent, StorageErrorKind, Transport};
use tracing::{info, warn};

use super::News;
use crate::{StopCause, shared::Shared};

/// Sends it, and tells the loop how that ended, whatever happens.
pub(crate) async fn send(shared: Arc<Shared>, transport: Arc<dyn Transport>, what: SendSnapshot) {
    let SendSnapshot { to, term } = what;
    let mut leadership = shared.leadership.clone();
    let ok = tokio::select! {
        biased;
        _ = leadership.wait_for(|now| now.term > term) => false,
        ok = try_send(&shared, transport.as_ref(), what) => ok,
    };
    shared.tell(News::Event(Event::SnapshotSent { to, term, ok })).await;
}

async fn try_send(shared: &Shared, transport: &dyn Transport, SendSnapshot { to, term }: SendSnapshot) -> bool {
    // The semaphore is never closed.
    let Ok(_turn) = shared.sending.acquire().await else { return false };
    let snapshot = match shared.storage.read_snapshot().await {
        Ok(Some(snapshot)) => snapshot,
        Ok(None) => {
            warn!(peer = %to, "the log lacks what a peer needs, and there is no snapshot of it");
            return false;
        }
        Err(source) => return not_sent(shared, &SnapshotNotSent::ReaderFailed { peer: to, source }),
    };
    let (last, size_bytes) = (snapshot.meta.last, snapshot.size_bytes);
    info!(peer = %to, %last, size_bytes, "sending a snapshot");
    if let Err(failed) = transport.send_snapshot(to, term, snapshot).await {
        return not_sent(shared, &failed);
    }
    info!(peer = %to, %last, size_bytes, "a snapshot was sent");
    shared.gauges.snapshots_sent.fetch_add(1, Ordering::Relaxed);
    true
}

fn not_sent(shared: &Shared, failed: &SnapshotNotSent) -> bool {
    if let SnapshotNotSent::ReaderFailed { source, .. } = failed
        && source.kind() == StorageErrorKind::Corrupt
    {
        shared.signals.fail(StopCause::Storage(source.clone()));
    }
    warn!(%failed, "a snapshot was not sent; it is tried again if the peer still needs it");
    false
}
