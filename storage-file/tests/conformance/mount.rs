//! A file system as one process sees it: after a crash it reaches nothing.
//!
//! Handles of the simulated disk go stale by themselves at a crash; calls by path would still reach it. A writer thread
//! that outlives the crash it stands for (no test can end a thread) must not touch the disk of its successor.

use std::{
    io,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use eraft_storage_file::fs::{Access, DirEntry, Fs, FsFile, FsLock, Metadata, sim::SimFs};

#[derive(Clone, Debug)]
pub(crate) struct Mount {
    disk: SimFs,
    alive: Arc<RwLock<bool>>,
}

impl Mount {
    pub(crate) fn new(disk: &SimFs) -> Mount {
        Mount { disk: disk.clone(), alive: Arc::new(RwLock::new(true)) }
    }

    /// Ends the process, and lets `crash` happen in the same instant.
    pub(crate) fn end(&self, crash: impl FnOnce(&SimFs)) {
        let mut alive = self.alive.write().unwrap_or_else(PoisonError::into_inner);
        *alive = false;
        crash(&self.disk);
    }

    fn call<T>(&self, call: impl FnOnce(&SimFs) -> io::Result<T>) -> io::Result<T> {
        let alive = self.alive.read().unwrap_or_else(PoisonError::into_inner);
        if *alive { call(&self.disk) } else { Err(io::Error::other("the process has ended")) }
    }
}

impl Fs for Mount {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.call(|disk| disk.create_dir(path))
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.call(|disk| disk.create_file(path))
    }

    fn open_file(&self, path: &Path, access: Access) -> io::Result<Box<dyn FsFile>> {
        self.call(|disk| disk.open_file(path, access))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.call(|disk| disk.read_dir(path))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.call(|disk| disk.metadata(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|disk| disk.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(|disk| disk.remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.call(|disk| disk.remove_dir(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call(|disk| disk.sync_dir(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        self.call(|disk| disk.lock(path))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.call(|disk| disk.free_bytes(path))
    }
}
