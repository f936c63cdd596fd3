//! The engine: one directory, one database, one writer thread, many Raft groups.

mod changes;
pub(crate) mod create;
pub(crate) mod group;
mod open;
pub(crate) mod room;
pub(crate) mod shared;
pub(crate) mod writer;

use std::{fmt, path::Path, sync::Arc};

use eraft_core::{ClusterId, Expected, GroupId, Identity, NodeId, Result};
use eraft_storage_kit::GroupCommit;

use self::shared::Store;
use crate::{options::RocksOptions, storage::RocksStorage};

/// One RocksDB database that keeps the state of many Raft groups, with one sync for all of them.
///
/// It lives as long as it or any handle of its groups does; [`RocksEngine::close`] ends it earlier. Dropping the last of
/// them completes what is queued, and waits for that.
#[derive(Clone)]
pub struct RocksEngine {
    inner: Arc<Inner>,
}

/// What the engine and the handles of its groups share.
pub(crate) struct Inner {
    // Declared first, dropped first: the thread ends, and closes the database, before the rest goes.
    pub(crate) commit: GroupCommit,
    pub(crate) store: Arc<Store>,
}

impl RocksEngine {
    /// Initialises `dir`, which must not exist, for this member of this cluster, and draws its store id: whole or not at
    /// all, whenever a crash comes. Opens nothing.
    ///
    /// # Errors
    /// `Invalid` where something stands at `dir` already, `Locked` where another process is at it, `Full` and `Io` from
    /// the file system.
    pub fn create(dir: impl AsRef<Path>, cluster: ClusterId, node: NodeId) -> Result<Identity> {
        RocksEngine::create_with(dir, cluster, node, RocksOptions::default())
    }

    /// The same with options of one's own.
    ///
    /// # Errors
    /// As [`RocksEngine::create`]; `Invalid` for options out of bounds.
    pub fn create_with(
        dir: impl AsRef<Path>,
        cluster: ClusterId,
        node: NodeId,
        options: RocksOptions,
    ) -> Result<Identity> {
        create::create(dir.as_ref(), cluster, node, &options)
    }

    /// Opens what [`RocksEngine::create`] made. Never initialises anything.
    ///
    /// # Errors
    /// `NotInitialised` where nothing is stored, `Locked` while another has it, `WrongIdentity` for another member's
    /// data, `Incompatible` for another version's, `Corrupt` for damage; `Io` where the directory may be written by
    /// others than its owner, and from the file system.
    pub fn open(dir: impl AsRef<Path>, expected: Expected) -> Result<RocksEngine> {
        RocksEngine::open_with(dir, expected, RocksOptions::default())
    }

    /// The same with options of one's own.
    ///
    /// # Errors
    /// As [`RocksEngine::open`]; `Invalid` for options out of bounds.
    pub fn open_with(dir: impl AsRef<Path>, expected: Expected, options: RocksOptions) -> Result<RocksEngine> {
        let commit = options.commit;
        let (store, writer) = open::open(dir.as_ref(), &expected, options)?;
        let commit = GroupCommit::start("rocksdb", store.identity.node, writer, commit)?;
        Ok(RocksEngine { inner: Arc::new(Inner { commit, store }) })
    }

    /// Whose data this is.
    pub fn identity(&self) -> Identity {
        self.inner.store.identity
    }

    /// The one handle of a group; blank where nothing was ever saved of it. It comes back when it is closed or dropped.
    ///
    /// # Errors
    /// `Locked` while the handle is out.
    pub fn group(&self, id: GroupId) -> Result<RocksStorage> {
        let handle = self.inner.store.group(id).take()?;
        Ok(RocksStorage::new(Arc::clone(&self.inner), handle, false))
    }

    /// The groups of which something was saved, in order.
    pub fn groups(&self) -> Vec<GroupId> {
        let groups = self.inner.store.groups();
        groups.iter().filter(|group| group.committed().exists).map(|group| group.id()).collect()
    }

    /// Completes what is queued, ends the writer thread, closes the database and gives the directory free. Handles that
    /// are still out refuse saves and reads from then on.
    ///
    /// # Errors
    /// The failure that poisoned the engine, if one did.
    pub async fn close(&self) -> Result<()> {
        self.inner.commit.close().await
    }

    /// The engine's only group, whose handle closes the engine too.
    pub(crate) fn into_storage(self) -> Result<RocksStorage> {
        let handle = self.inner.store.group(GroupId::ZERO).take()?;
        Ok(RocksStorage::new(self.inner, handle, true))
    }
}

impl fmt::Debug for RocksEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksEngine")
            .field("dir", &self.inner.store.paths.dir)
            .field("identity", &self.inner.store.identity)
            .field("commit", &self.inner.commit)
            .finish()
    }
}
