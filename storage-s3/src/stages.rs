//! The snapshots that are staged: in the bucket and in the local store, or there alone; and named by nothing yet.
//!
//! They are remembered here and nowhere else, since no stage outlives an open store. A stage bears the local store's own id,
//! which is never given twice; what a caller hands back is compared, never parsed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eraft_core::{Result, StagedSnapshot, StorageError};

use crate::{in_use::Hold, names::Names};

/// Both halves of a staged snapshot.
#[derive(Debug)]
pub(crate) struct Staged {
    /// What the caller was given.
    given: StagedSnapshot,
    /// What the local store gave.
    pub(crate) local: StagedSnapshot,
    /// What the bucket has of it; nothing where the local store has all of it.
    pub(crate) uploaded: Option<Uploaded>,
}

/// A snapshot in the bucket.
#[derive(Debug)]
pub(crate) struct Uploaded {
    pub(crate) names: Names,
    /// Whether the copy of its manifest may appear once more at any later time.
    pub(crate) late: bool,
    /// Keeps its object from the collector.
    pub(crate) hold: Arc<Hold>,
}

/// All that are staged, by id.
#[derive(Debug, Default)]
pub(crate) struct Stages(Mutex<BTreeMap<String, Staged>>);

impl Stages {
    /// Adds one, and tells what the caller is given for it.
    pub(crate) fn add(&self, local: StagedSnapshot, size_bytes: u64, uploaded: Option<Uploaded>) -> StagedSnapshot {
        let given = StagedSnapshot { size_bytes, ..local.clone() };
        self.lock().insert(given.id.clone(), Staged { given: given.clone(), local, uploaded });
        given
    }

    /// Takes one out, which is the taker's from then on: to publish, to remove, or to put back.
    ///
    /// # Errors
    /// `Invalid` for one that is not staged here, or not like that.
    pub(crate) fn take(&self, snapshot: &StagedSnapshot) -> Result<Staged> {
        let mut stages = self.lock();
        let found = stages.get(&snapshot.id).is_some_and(|staged| staged.given == *snapshot);
        found.then(|| stages.remove(&snapshot.id)).flatten().ok_or_else(|| {
            StorageError::invalid(format!(
                "the staged snapshot {:?} at {}: nothing like it is staged here; stage it anew",
                snapshot.id, snapshot.meta.last
            ))
        })
    }

    pub(crate) fn put_back(&self, staged: Staged) {
        self.lock().insert(staged.given.id.clone(), staged);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Staged>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
