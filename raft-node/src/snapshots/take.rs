//! Taking a snapshot of the state machine: its view is captured on the apply task, and staged by a task beside.

use std::{fmt, sync::Arc};

use eraft_core::{LogIndex, SnapshotMeta, SnapshotStream};
use tracing::{debug, warn};

use super::{News, stage};
use crate::{StopCause, shared::Shared};

/// A view of the state machine, which nothing applied later changes.
pub(crate) struct Captured {
    /// The last entry whose effect it holds.
    pub(crate) index: LogIndex,
    pub(crate) stream: SnapshotStream,
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Captured").field("index", &self.index).finish_non_exhaustive()
    }
}

/// Stages what was captured, and tells the loop. A store that cannot take it now may later; a state machine that cannot
/// give it ends the node.
pub(crate) async fn take(shared: Arc<Shared>, meta: SnapshotMeta, stream: SnapshotStream) {
    let last = meta.last;
    let max_chunk_bytes = shared.options.max_snapshot_chunk_bytes;
    debug!(%last, "taking a snapshot");
    let staged = match stage::write(shared.storage.as_ref(), meta, stream, max_chunk_bytes).await {
        Ok((writer, _)) => writer.finish().await.map_err(stage::NotStaged::Storage),
        Err(failed) => Err(failed),
    };
    let news = match staged {
        Ok(staged) => News::Taken(staged),
        Err(stage::NotStaged::Source(error)) => {
            let reason = format!("taking a snapshot: {error}");
            return shared.signals.fail(StopCause::StateMachine { index: last.index, reason });
        }
        Err(failed) => {
            warn!(%last, %failed, "a snapshot was not taken; it is tried again");
            News::NotTaken
        }
    };
    shared.tell(news).await;
}
