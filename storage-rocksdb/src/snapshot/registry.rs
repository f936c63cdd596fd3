//! The stages of this opening: which snapshots are complete and wait to be published.

use std::collections::BTreeMap;

use eraft_core::{GroupId, Result, StagedSnapshot, StorageError};

use crate::rows::Published;

/// A complete snapshot that no committed save names yet.
#[derive(Debug)]
struct Staged {
    group: GroupId,
    snapshot: Published,
    /// A save that publishes it is queued: it may not be discarded any more.
    queued: bool,
}

/// Ids are drawn here, so that no two stages of an engine ever share one.
#[derive(Debug)]
pub(crate) struct Registry {
    random: fastrand::Rng,
    staged: BTreeMap<u64, Staged>,
}

impl Registry {
    pub(crate) fn new(random: fastrand::Rng) -> Registry {
        Registry { random, staged: BTreeMap::new() }
    }

    /// An id that no other snapshot has.
    pub(crate) fn draw(&mut self) -> u64 {
        self.random.u64(..)
    }

    /// A stage is complete: what its publisher hands back.
    pub(crate) fn add(&mut self, group: GroupId, snapshot: Published) -> StagedSnapshot {
        let staged = handed_out(&snapshot);
        self.staged.insert(snapshot.id, Staged { group, snapshot, queued: false });
        staged
    }

    /// Sets a stage aside for the save that publishes it.
    ///
    /// # Errors
    /// `Invalid` where it is no complete stage of this group, or another save publishes it already.
    pub(crate) fn claim(&mut self, group: GroupId, staged: &StagedSnapshot) -> Result<()> {
        self.waiting(group, staged)?.queued = true;
        Ok(())
    }

    /// Hands out a stage that was claimed; it is none any more.
    ///
    /// # Errors
    /// `Invalid` where it was not claimed.
    pub(crate) fn publish(&mut self, staged: &StagedSnapshot) -> Result<Published> {
        let id = parse(staged).ok_or_else(|| not_staged(staged))?;
        self.staged.remove(&id).map(|staged| staged.snapshot).ok_or_else(|| not_staged(staged))
    }

    /// Takes a stage out that will not be saved: the id that goes.
    ///
    /// # Errors
    /// `Invalid` where it is no complete stage of this group (any more), or a queued save publishes it.
    pub(crate) fn discard(&mut self, group: GroupId, staged: &StagedSnapshot) -> Result<u64> {
        let id = self.waiting(group, staged)?.snapshot.id;
        self.staged.remove(&id);
        Ok(id)
    }

    fn waiting(&mut self, group: GroupId, staged: &StagedSnapshot) -> Result<&mut Staged> {
        parse(staged)
            .and_then(|id| self.staged.get_mut(&id))
            .filter(|known| known.group == group && !known.queued && handed_out(&known.snapshot) == *staged)
            .ok_or_else(|| not_staged(staged))
    }
}

fn handed_out(snapshot: &Published) -> StagedSnapshot {
    let id = format!("{:016x}", snapshot.id);
    StagedSnapshot { meta: snapshot.meta.clone(), size_bytes: snapshot.size_bytes, id }
}

fn parse(staged: &StagedSnapshot) -> Option<u64> {
    u64::from_str_radix(&staged.id, 16).ok()
}

fn not_staged(staged: &StagedSnapshot) -> StorageError {
    StorageError::invalid(format!(
        "{} at {} is no snapshot that was staged here and still waits: stage it first, and publish or discard it once",
        staged.id, staged.meta.last
    ))
}
