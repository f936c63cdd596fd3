//! Moves a snapshot that the local store has into the bucket, once that is back: also one that an earlier opening kept.
//!
//! It is staged like any other, and published with a save that changes nothing else. Where the node has published a newer one
//! meanwhile, the local store refuses that save, and what was uploaded goes again. The local store is borrowed call by
//! call, so that it closes with whoever drops the store.

use std::sync::{Arc, Weak};

use eraft_core::{LogChange, RaftStateUpdate, Result, SnapshotWriter as _, Storage, StorageError, StorageErrorKind};
use futures_util::StreamExt as _;
use tracing::{error, info, warn};

use crate::{
    content::{self, Content},
    lane::Lane,
    stage::Stage,
    storage::Shared,
};

const DURING: &str = "moving a snapshot to the bucket";
/// The longest pause between two tries, as a multiple of the longest one between two calls.
const MOST_PAUSES: u32 = 8;

/// Whose snapshot it is.
pub(crate) struct Mover<L> {
    pub(crate) local: Weak<L>,
    pub(crate) lane: Lane,
    pub(crate) shared: Arc<Shared>,
}

impl<L: Storage> Mover<L> {
    /// Ends with whoever drops it, or where trying again is of no use before the store is opened anew.
    pub(crate) async fn run(self) {
        let mut kept_here = self.lane.kept_here();
        let shortest = self.shared.options.retry.longest_pause;
        let mut pause = shortest;
        while kept_here.wait_for(|kept_here| *kept_here).await.is_ok() {
            match self.shared.outage.step(self.move_one().await) {
                Ok(()) => {
                    pause = shortest;
                    // Where the local store has published another one, and whoever tells of that has still to run.
                    tokio::task::yield_now().await;
                }
                Err(_) if self.local.strong_count() == 0 => return,
                Err(error) if is_final(&error) => {
                    error!(%error, "the snapshot stays in the local store");
                    // Whoever stages the next one asks the bucket, and is told the same.
                    self.shared.outage.end();
                    return;
                }
                Err(error) => {
                    warn!(%error, "the snapshot stays in the local store, and is moved to the bucket later");
                    tokio::time::sleep(pause).await;
                    // What fails late has sent a whole snapshot in vain.
                    pause = pause.saturating_mul(2).min(shortest.saturating_mul(MOST_PAUSES));
                }
            }
        }
    }

    /// Moves what is published, if the local store has it and nothing newer comes in between.
    async fn move_one(&self) -> Result<()> {
        let Some(snapshot) = self.local()?.read_snapshot().await? else { return Ok(()) };
        let meta = snapshot.meta.clone();
        let Content::Inline { mut bytes, .. } = content::read(snapshot).await? else { return Ok(()) };
        let epoch = self.shared.owner.take().await?;
        let writer = self.local()?.stage_snapshot(meta.clone()).await?;
        let mut stage = Box::new(Stage::new(Arc::clone(&self.shared), writer, meta.clone(), epoch));
        while let Some(chunk) = bytes.next().await {
            stage.write(chunk?).await?;
        }
        let staged = stage.finish().await?;
        let nothing = RaftStateUpdate { hard_state: None, log: LogChange::Keep };
        let local = self.local()?;
        let receipt = self.shared.publish(&*local, &self.lane, nothing, staged.clone());
        drop(local);
        match receipt.await {
            Ok(()) => info!(last = %meta.last, "the snapshot was moved from the local store to the bucket"),
            Err(error) if error.kind() == StorageErrorKind::Invalid => {
                info!(last = %meta.last, "a newer snapshot was published while this one was moved to the bucket");
                self.shared.discard(&*self.local()?, staged).await?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn local(&self) -> Result<Arc<L>> {
        self.local.upgrade().ok_or_else(|| StorageError::new(StorageErrorKind::Poisoned, DURING, "the store is closed"))
    }
}

fn is_final(error: &StorageError) -> bool {
    use StorageErrorKind::{Incompatible, Poisoned, WrongIdentity};
    matches!(error.kind(), Poisoned | WrongIdentity | Incompatible)
}
