//! A file system that measures what goes through it, and changes nothing.
//!
//! An engine is opened through one, so every write and every sync is seen in one place, whoever makes it. Measuring begins
//! when it is known whose engine it is.

use std::{
    io,
    path::Path,
    sync::{Arc, OnceLock},
};

use eraft_core::NodeId;
use eraft_metrics_kit::Stopwatch;

use super::{Access, DirEntry, Fs, FsFile, FsLock, Metadata};
use crate::metrics::Told;

/// Empty until it is known whose metrics these are.
type Meter = Arc<OnceLock<Told>>;

/// The measuring file system.
#[derive(Debug)]
pub(crate) struct MeteredFs {
    inner: Arc<dyn Fs>,
    meter: Meter,
}

#[derive(Debug)]
struct MeteredFile {
    inner: Box<dyn FsFile>,
    meter: Meter,
}

impl MeteredFs {
    pub(crate) fn new(inner: Arc<dyn Fs>) -> MeteredFs {
        MeteredFs { inner, meter: Meter::default() }
    }

    /// From now on it measures, also the files that are open.
    pub(crate) fn tell_of(&self, node: NodeId) {
        let _the_first_counts = self.meter.set(Told::new(node));
    }

    fn file(&self, file: io::Result<Box<dyn FsFile>>) -> io::Result<Box<dyn FsFile>> {
        file.map(|inner| Box::new(MeteredFile { inner, meter: Arc::clone(&self.meter) }) as Box<dyn FsFile>)
    }
}

impl Fs for MeteredFs {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.file(self.inner.create_file(path))
    }

    fn open_file(&self, path: &Path, access: Access) -> io::Result<Box<dyn FsFile>> {
        self.file(self.inner.open_file(path, access))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.read_dir(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.inner.metadata(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let begun = Stopwatch::start();
        let outcome = self.inner.sync_dir(path);
        if let Some(told) = self.meter.get() {
            told.dir_synced(begun, &outcome);
        }
        outcome
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        self.inner.lock(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.inner.free_bytes(path)
    }
}

impl MeteredFile {
    fn synced(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let begun = Stopwatch::start();
        let outcome = sync();
        if let Some(told) = self.meter.get() {
            told.file_synced(begun, &outcome);
        }
        outcome
    }
}

impl FsFile for MeteredFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let outcome = self.inner.write_at(buf, offset);
        if let Some(told) = self.meter.get() {
            told.written(&outcome);
        }
        outcome
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.inner.len_bytes()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.synced(|| self.inner.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.synced(|| self.inner.sync_all())
    }
}
