//! What an engine's writer thread, its handles and its readers share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use eraft_core::{GroupId, Identity, Result};

use super::{
    group::{self, Group},
    room::Room,
};
use crate::{
    database::Database,
    error,
    options::RocksOptions,
    paths::Paths,
    rows::GroupState,
    snapshot::{held::Dustbin, registry::Registry},
};

/// Locks are taken in the order `database`, `groups`, a group's own, `staging`; `database` is held for reading while it is
/// used, so that closing waits for whoever does.
pub(crate) struct Store {
    pub(crate) paths: Paths,
    pub(crate) identity: Identity,
    pub(crate) options: RocksOptions,
    pub(crate) room: Room,
    pub(crate) dustbin: Arc<Dustbin>,
    /// Gone once the engine is closed.
    database: RwLock<Option<Database>>,
    groups: RwLock<BTreeMap<GroupId, Arc<Group>>>,
    staging: Mutex<Registry>,
}

impl Store {
    pub(crate) fn new(
        (paths, identity, options): (Paths, Identity, RocksOptions),
        database: Database,
        room: Room,
        dustbin: Arc<Dustbin>,
        groups: BTreeMap<GroupId, Arc<Group>>,
        staging: Registry,
    ) -> Store {
        Store {
            paths,
            identity,
            options,
            room,
            dustbin,
            database: RwLock::new(Some(database)),
            groups: RwLock::new(groups),
            staging: Mutex::new(staging),
        }
    }

    /// Uses the database.
    ///
    /// # Errors
    /// `Invalid` once the engine is closed.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        work(database.as_ref().ok_or_else(error::closed)?)
    }

    /// Takes the database away from everybody; waits for those who use it.
    pub(crate) fn take_database(&self) -> Option<Database> {
        self.database.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The group of this id, blank if nothing was ever saved of it.
    pub(crate) fn group(&self, id: GroupId) -> Arc<Group> {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        let blank = || Arc::new(group::found(id, &GroupState::blank(self.identity), None, false));
        Arc::clone(groups.entry(id).or_insert_with(blank))
    }

    /// All groups that are known, blank ones included.
    pub(crate) fn groups(&self) -> Vec<Arc<Group>> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn staging(&self) -> MutexGuard<'_, Registry> {
        self.staging.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.paths.dir).field("identity", &self.identity).finish_non_exhaustive()
    }
}
