//! The stages of this process: which snapshots are complete and wait to be published, and which were given up.

use std::{collections::BTreeMap, path::PathBuf};

use eraft_core::{GroupId, Result, StagedSnapshot, StorageError};

use super::file::SnapshotFile;
use crate::paths::SnapshotName;

/// A complete snapshot that no committed record names yet.
#[derive(Debug)]
struct Staged {
    group: GroupId,
    file: SnapshotFile,
    /// A save that publishes it is queued: it may not be discarded any more.
    queued: bool,
}

/// Names and incarnations are drawn here, so that no two stages of an engine ever share one.
#[derive(Debug)]
pub(crate) struct Registry {
    random: fastrand::Rng,
    staged: BTreeMap<SnapshotName, Staged>,
    forgotten: Vec<PathBuf>,
}

impl Registry {
    pub(crate) fn new(random: fastrand::Rng) -> Registry {
        Registry { random, staged: BTreeMap::new(), forgotten: Vec::new() }
    }

    /// A number that no other stage has.
    pub(crate) fn draw(&mut self) -> u64 {
        self.random.u64(..)
    }

    /// A stage is complete.
    pub(crate) fn add(&mut self, group: GroupId, file: SnapshotFile) {
        self.staged.insert(file.name, Staged { group, file, queued: false });
    }

    /// Sets a stage aside for the save that publishes it.
    ///
    /// # Errors
    /// `Invalid` where it is no complete stage of this group, or another save publishes it already.
    pub(crate) fn claim(&mut self, group: GroupId, snapshot: &StagedSnapshot) -> Result<()> {
        let name = self.waiting(group, snapshot)?;
        if let Some(staged) = self.staged.get_mut(&name) {
            staged.queued = true;
        }
        Ok(())
    }

    /// Hands out a stage whose record is durable.
    pub(crate) fn publish(&mut self, name: SnapshotName) -> Option<SnapshotFile> {
        self.staged.remove(&name).map(|staged| staged.file)
    }

    /// Takes a stage out that will not be saved: the file that goes.
    ///
    /// # Errors
    /// `Invalid` where it is no complete stage of this group (any more), or a queued save publishes it.
    pub(crate) fn discard(&mut self, group: GroupId, snapshot: &StagedSnapshot) -> Result<PathBuf> {
        let name = self.waiting(group, snapshot)?;
        self.staged.remove(&name).map(|staged| staged.file.path).ok_or_else(|| not_staged(snapshot))
    }

    /// Notes a file that nobody wants any more; it goes when the next stage begins.
    pub(crate) fn forget(&mut self, path: PathBuf) {
        self.forgotten.push(path);
    }

    pub(crate) fn take_forgotten(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.forgotten)
    }

    /// The name of a stage of this group that waits for a save.
    fn waiting(&self, group: GroupId, snapshot: &StagedSnapshot) -> Result<SnapshotName> {
        let name = SnapshotName::parse(&snapshot.id).ok_or_else(|| not_staged(snapshot))?;
        match self.staged.get(&name) {
            Some(staged) if staged.matches(group, snapshot) && !staged.queued => Ok(name),
            _ => Err(not_staged(snapshot)),
        }
    }
}

impl Staged {
    fn matches(&self, group: GroupId, snapshot: &StagedSnapshot) -> bool {
        self.group == group && self.file.meta == snapshot.meta && self.file.size_bytes == snapshot.size_bytes
    }
}

fn not_staged(snapshot: &StagedSnapshot) -> StorageError {
    StorageError::invalid(format!(
        "{} at {} is no snapshot that was staged here and still waits: stage it first, and publish or discard it once",
        snapshot.id, snapshot.meta.last
    ))
}
