//! Whether the bucket is away: what the last try to put a snapshot into it came to.
//!
//! Nothing is asked for this alone. While it is away a snapshot that cannot wait is kept in the local store.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use eraft_core::{Result, StorageErrorKind};
use tracing::{info, warn};

use crate::metrics::Told;

/// What the last try came to.
#[derive(Debug)]
pub(crate) struct Outage {
    is_on: AtomicBool,
    told: Arc<Told>,
}

impl Outage {
    pub(crate) fn new(told: Arc<Told>) -> Outage {
        Outage { is_on: AtomicBool::new(false), told }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// A step of a snapshot on its way into the bucket came to this.
    pub(crate) fn step<T>(&self, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome
            && error.kind() == StorageErrorKind::Unavailable
            && !self.is_on.swap(true, Ordering::Relaxed)
        {
            self.told.bucket_away(true);
            warn!(%error, "the bucket takes no snapshot: commits go on, and the log grows until it does");
        }
        outcome
    }

    /// A snapshot is whole in the bucket.
    pub(crate) fn is_over(&self) {
        if self.end() {
            info!("the bucket takes snapshots again");
        }
    }

    /// The bucket is there, and takes no snapshot of this store, as whoever asks is told. Whether it was away.
    pub(crate) fn end(&self) -> bool {
        let was_on = self.is_on.swap(false, Ordering::Relaxed);
        if was_on {
            self.told.bucket_away(false);
        }
        was_on
    }
}
