//! Plain files on the disk that keeps a journal.

use std::{ffi::OsString, io, path::Path, sync::Arc};

use eraft_conformance::{
    Engine,
    crash_states::{Backend, Disk, DiskFile, DiskLock, Node},
};
use eraft_core::{ClusterId, Expected, Identity, NodeId, Result};
use eraft_storage_file::{
    FileEngine, FileOptions,
    fs::{Access, DirEntry, FileKind, Fs, FsFile, FsLock, Metadata},
};
use eraft_storage_kit::GroupCommitOptions;

use crate::stepped::Stepped;

const DIR: &str = "/node";

/// More room than any test takes.
const FREE_BYTES: u64 = 1 << 40;

/// Stores in the smallest segments, so that they rotate all the time.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) skips: Skips,
}

/// A promise of the seam that is not kept, to see that it is missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Skips {
    #[default]
    Nothing,
    /// Syncs of files succeed, and do nothing.
    Data,
    /// Syncs of directories.
    Names,
}

impl Files {
    /// No marks but at close: they would depend on the clock.
    fn options(seed: u64) -> FileOptions {
        FileOptions {
            segment_bytes: 16 * 1024,
            commit: GroupCommitOptions { idle_after: None, ..GroupCommitOptions::default() },
            seed: Some(seed),
        }
    }
}

impl Backend for Files {
    fn create(&self, disk: &Disk, cluster: ClusterId, node: NodeId, seed: u64) -> Result<Identity> {
        FileEngine::create_with(Arc::new(Seam(disk.clone(), self.skips)), DIR, cluster, node, Files::options(seed))
    }

    fn open(&self, disk: &Disk, expected: Expected, seed: u64) -> Result<Box<dyn Engine>> {
        let engine =
            FileEngine::open_with(Arc::new(Seam(disk.clone(), self.skips)), DIR, expected, Files::options(seed))?;
        Ok(Box::new(Open(engine)))
    }

    fn open_alone(&self, disk: &Disk, expected: Expected, seed: u64) -> Result<Box<dyn Engine>> {
        let seam = Arc::new(Seam(disk.clone(), self.skips));
        Ok(Box::new(Stepped::new(FileEngine::open_stepped(seam, DIR, expected, Files::options(seed))?)))
    }
}

eraft_conformance::engine!(Open(FileEngine));

#[derive(Debug)]
pub(crate) struct Seam(pub(crate) Disk, pub(crate) Skips);

#[derive(Debug)]
struct SeamFile(DiskFile, Skips);

#[derive(Debug)]
struct SeamLock(#[expect(dead_code, reason = "held until it is dropped")] DiskLock);

impl Fs for Seam {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        Ok(Box::new(SeamFile(self.0.create_file(path)?, self.1)))
    }

    fn open_file(&self, path: &Path, _access: Access) -> io::Result<Box<dyn FsFile>> {
        Ok(Box::new(SeamFile(self.0.open_file(path)?, self.1)))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let entry = |(name, node): (OsString, Node)| DirEntry { name, kind: kind(node) };
        Ok(self.0.list(path)?.into_iter().map(entry).collect())
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let node = self.0.node(path)?;
        Ok(match node {
            Node::Dir => Metadata { kind: kind(node), len_bytes: 0, mode: 0o700 },
            Node::File { len_bytes } => Metadata { kind: kind(node), len_bytes, mode: 0o600 },
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if self.1 == Skips::Names { Ok(()) } else { self.0.sync_dir(path) }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        Ok(Box::new(SeamLock(self.0.lock(path)?)))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.0.node(path).map(|_| FREE_BYTES)
    }
}

impl FsFile for SeamFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(buf, offset).map(|()| buf.len())
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.0.len_bytes()
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.1 == Skips::Data { Ok(()) } else { self.0.sync() }
    }

    fn sync_all(&self) -> io::Result<()> {
        if self.1 == Skips::Data { Ok(()) } else { self.0.sync() }
    }
}

impl FsLock for SeamLock {}

fn kind(node: Node) -> FileKind {
    match node {
        Node::Dir => FileKind::Dir,
        Node::File { .. } => FileKind::File,
    }
}
