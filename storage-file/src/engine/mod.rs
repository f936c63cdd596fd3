//! The engine: one directory, one log, one writer thread, many Raft groups.

pub(crate) mod create;
pub(crate) mod group;
mod open;
pub(crate) mod recovery;
mod repair;
pub(crate) mod scan;
pub(crate) mod shared;
mod spare;
pub(crate) mod writer;

use std::{fmt, path::Path, sync::Arc};

use eraft_core::{ClusterId, Expected, GroupId, Identity, NodeId, Result};
use eraft_storage_kit::{GroupCommit, Steps};

use self::shared::Shared;
use crate::{
    fs::{Fs, metered::MeteredFs, real::RealFs},
    options::FileOptions,
    storage::FileStorage,
};

/// One directory of files that keeps the state of many Raft groups in one log, with one sync for all of them.
///
/// It lives as long as it or any handle of its groups does; [`FileEngine::close`] ends it earlier. Dropping the last of
/// them completes what is queued, and waits for that.
#[derive(Clone)]
pub struct FileEngine {
    inner: Arc<Inner>,
}

/// What the engine and the handles of its groups share.
pub(crate) struct Inner {
    pub(crate) commit: GroupCommit,
    pub(crate) shared: Arc<Shared>,
}

impl FileEngine {
    /// Initialises `dir`, which must not exist, for this member of this cluster, and draws its store id: whole or not at
    /// all, whenever a crash comes. Opens nothing.
    ///
    /// # Errors
    /// `Invalid` where something stands at `dir` already, `Locked` where another process is at it, `Full` and `Io` from
    /// the file system.
    pub fn create(dir: impl AsRef<Path>, cluster: ClusterId, node: NodeId) -> Result<Identity> {
        FileEngine::create_with(Arc::new(RealFs), dir, cluster, node, FileOptions::default())
    }

    /// The same on a file system and with options of one's own.
    ///
    /// # Errors
    /// As [`FileEngine::create`]; `Invalid` for options out of bounds.
    pub fn create_with(
        fs: Arc<dyn Fs>,
        dir: impl AsRef<Path>,
        cluster: ClusterId,
        node: NodeId,
        options: FileOptions,
    ) -> Result<Identity> {
        create::create(&fs, dir.as_ref(), cluster, node, &options)
    }

    /// Opens what [`FileEngine::create`] made. Never initialises anything.
    ///
    /// # Errors
    /// `NotInitialised` where nothing is stored, `Locked` while another has it, `WrongIdentity` for another member's
    /// data, `Incompatible` for another version's, `Corrupt` for damage; `Io` where the directory may be written by
    /// others than its owner, and from the file system.
    pub fn open(dir: impl AsRef<Path>, expected: Expected) -> Result<FileEngine> {
        FileEngine::open_with(Arc::new(RealFs), dir, expected, FileOptions::default())
    }

    /// The same on a file system and with options of one's own.
    ///
    /// # Errors
    /// As [`FileEngine::open`]; `Invalid` for options out of bounds.
    pub fn open_with(
        fs: Arc<dyn Fs>,
        dir: impl AsRef<Path>,
        expected: Expected,
        options: FileOptions,
    ) -> Result<FileEngine> {
        let metered = Arc::new(MeteredFs::new(fs));
        let fs: Arc<dyn Fs> = Arc::clone(&metered) as _;
        let (shared, writer) = open::open(&fs, dir.as_ref(), &expected, &options)?;
        metered.tell_of(shared.identity.node);
        let commit = GroupCommit::start("file-log", shared.identity.node, writer, options.commit)?;
        Ok(FileEngine { inner: Arc::new(Inner { commit, shared }) })
    }

    /// The same without a thread and in the caller's own: saves are committed when the [`Steps`] are told to, and nobody
    /// may wait for one before. For simulators, outside any runtime.
    ///
    /// # Errors
    /// As [`FileEngine::open_with`].
    pub fn open_stepped(
        fs: Arc<dyn Fs>,
        dir: impl AsRef<Path>,
        expected: Expected,
        options: FileOptions,
    ) -> Result<(FileEngine, Steps)> {
        let (shared, writer) = open::open(&fs, dir.as_ref(), &expected, &options)?;
        let (commit, steps) = GroupCommit::stepped(shared.identity.node, writer);
        Ok((FileEngine { inner: Arc::new(Inner { commit, shared }) }, steps))
    }

    /// Whose data this is.
    pub fn identity(&self) -> Identity {
        self.inner.shared.identity
    }

    /// The one handle of a group; blank where nothing was ever saved of it. It comes back when it is closed or dropped.
    ///
    /// # Errors
    /// `Locked` while the handle is out.
    pub fn group(&self, id: GroupId) -> Result<FileStorage> {
        let handle = self.inner.shared.group(id).take()?;
        Ok(FileStorage::new(Arc::clone(&self.inner), handle, false))
    }

    /// The groups of which something was saved, in order.
    pub fn groups(&self) -> Vec<GroupId> {
        let groups = self.inner.shared.groups();
        groups.iter().filter(|group| group.committed().exists).map(|group| group.id()).collect()
    }

    /// Completes what is queued, ends the writer thread and gives the directory free. Handles that are still out refuse
    /// saves from then on.
    ///
    /// # Errors
    /// The failure that poisoned the engine, if one did.
    pub async fn close(&self) -> Result<()> {
        self.inner.commit.close().await
    }

    /// The engine's only group, whose handle closes the engine too.
    pub(crate) fn into_storage(self) -> Result<FileStorage> {
        let handle = self.inner.shared.group(GroupId::ZERO).take()?;
        Ok(FileStorage::new(self.inner, handle, true))
    }
}

impl fmt::Debug for FileEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileEngine")
            .field("dir", &self.inner.shared.paths.dir)
            .field("identity", &self.inner.shared.identity)
            .field("commit", &self.inner.commit)
            .finish()
    }
}
