//! The engine: one opener of a disk, and the groups it hands out.
//!
//! It may be cloned into its groups' handles by reference only: when the last of them goes, the lock goes, as a
//! process's file lock does.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use super::{disk::MemoryDisk, group::Group, store::MemoryStorage};
use crate::{
    storage::{Result, StorageError, StorageErrorKind},
    types::{ClusterId, Expected, GroupId, Identity, NodeId, StoreId},
};

/// A disk that is open; holds many groups, each a [`Storage`](crate::Storage) of its own.
#[derive(Debug)]
pub struct MemoryEngine {
    opener: Arc<Opener>,
}

/// What the engine and its handles share: the session, and which groups are handed out.
#[derive(Debug)]
pub(super) struct Opener {
    pub(super) disk: MemoryDisk,
    pub(super) session: u64,
    taken: Mutex<BTreeSet<GroupId>>,
}

impl MemoryEngine {
    /// Initialises an empty disk for `node` of `cluster`.
    ///
    /// # Errors
    /// `Invalid` where something is stored already; it is left alone.
    pub fn create(disk: &MemoryDisk, cluster: ClusterId, node: NodeId) -> Result<Identity> {
        let mut on_disk = disk.lock();
        if let Some(found) = &on_disk.identity {
            return Err(StorageError::invalid(format!(
                "the disk holds node {} of cluster {}: open it, or create on another",
                found.node, found.cluster
            )));
        }
        let identity = Identity { cluster, node, store: StoreId(on_disk.random_id()) };
        on_disk.identity = Some(identity);
        Ok(identity)
    }

    /// Opens what was created; never initialises.
    ///
    /// # Errors
    /// `Locked` while another opener has it, `NotInitialised` where nothing is, `WrongIdentity` where it is not the
    /// `expected` one.
    pub fn open(disk: &MemoryDisk, expected: Expected) -> Result<MemoryEngine> {
        let mut on_disk = disk.lock();
        let refused = |kind, detail: &str| Err(StorageError::new(kind, "opening a memory disk", detail));
        if on_disk.open {
            return refused(StorageErrorKind::Locked, "another opener has it: close that one first");
        }
        let Some(identity) = on_disk.identity else {
            return refused(StorageErrorKind::NotInitialised, "nothing is stored there: create it first");
        };
        expected.check(&identity, "the memory disk")?;
        let session = on_disk.begin_session();
        Ok(MemoryEngine { opener: Arc::new(Opener { disk: disk.clone(), session, taken: Mutex::default() }) })
    }

    /// The handle of one group, which begins blank.
    ///
    /// # Errors
    /// `Locked` while another handle of it lives; `Invalid` after the engine was closed.
    pub fn group(&self, id: GroupId) -> Result<MemoryStorage> {
        let mut disk = self.opener.disk.lock();
        disk.check_session(self.opener.session)?;
        if !self.opener.take(id) {
            return Err(StorageError::new(
                StorageErrorKind::Locked,
                "opening a group",
                format!("another handle of group {id} lives: close that one first"),
            ));
        }
        if let Some(identity) = disk.identity {
            disk.groups.entry(id).or_insert_with(|| Group::blank(identity));
        }
        drop(disk);
        Ok(MemoryStorage::of_group(Arc::clone(&self.opener), id))
    }

    /// The groups that anything was ever saved in, in order.
    pub fn groups(&self) -> Vec<GroupId> {
        let disk = self.opener.disk.lock();
        disk.groups.iter().filter(|(_, group)| !group.state.is_blank()).map(|(id, _)| *id).collect()
    }

    /// Completes what is queued and unlocks; handles of its groups are dead from then on.
    ///
    /// # Errors
    /// `Invalid` where the opener has ended already.
    pub fn close(&self) -> Result<()> {
        self.opener.close()
    }
}

impl Opener {
    pub(super) fn close(&self) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.check_session(self.session)?;
        disk.commit_queued();
        disk.end_session();
        Ok(())
    }

    /// Marks the group as handed out. Whether it was free.
    fn take(&self, id: GroupId) -> bool {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(id)
    }

    /// The group's handle has come back.
    pub(super) fn give_back(&self, id: GroupId) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        let mut disk = self.disk.lock();
        if disk.check_session(self.session).is_ok() {
            // Nobody closed it: as with a killed process, the lock is freed and what was not yet durable is lost.
            disk.end_session();
        }
    }
}
