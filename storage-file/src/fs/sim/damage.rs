//! Damage at rest, and a look at the disk from outside: none of this counts as a call, fails, or needs a sync.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use super::{
    SimFs,
    contents::Contents,
    disk::{Body, Node},
};

impl SimFs {
    /// Every path but the root, sorted.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.lock().paths()
    }

    /// A whole file, as a reader would see it now.
    ///
    /// # Errors
    /// As for opening it.
    pub fn read_file(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let mut disk = self.lock();
        let inode = disk.find(path.as_ref())?;
        Ok(disk.contents(inode)?.bytes().to_vec())
    }

    /// Flips the bits of `mask` in one byte, on the disk and in every copy of it, silently.
    ///
    /// # Errors
    /// As for opening the file; `InvalidInput` where it ends before `offset`.
    pub fn flip(&self, path: impl AsRef<Path>, offset: u64, mask: u8) -> io::Result<()> {
        let mut disk = self.lock();
        let inode = disk.find(path.as_ref())?;
        let contents = disk.contents(inode)?;
        let len = contents.bytes().len();
        match usize::try_from(offset).is_ok_and(|offset| contents.flip(offset, mask)) {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no byte {offset} in {len}"))),
        }
    }

    /// Puts a file in place, durable at once: a stale copy, another node's, a stranger's. What stood there is gone; open
    /// handles of it still see it.
    ///
    /// # Errors
    /// Where its directory does not exist, or a directory has its name.
    pub fn plant_file(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        self.plant(path.as_ref(), Node { mode: 0o600, body: Body::File(Contents::durable(bytes)) })
    }

    /// Puts a symbolic link in place, which no call follows.
    ///
    /// # Errors
    /// As for [`SimFs::plant_file`].
    pub fn plant_symlink(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.plant(path.as_ref(), Node { mode: 0o777, body: Body::Symlink })
    }

    /// Removes a file, or a directory with all it holds, durably.
    ///
    /// # Errors
    /// Where nothing is there.
    pub fn uproot(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut disk = self.lock();
        let inode = disk.find(path.as_ref())?;
        let slot = disk.slot(path.as_ref())?;
        disk.names.uproot(&slot, inode);
        disk.forget_unreachable();
        Ok(())
    }

    /// Sets the permission bits that [`Fs::metadata`](crate::fs::Fs::metadata) tells; nothing else heeds them.
    ///
    /// # Errors
    /// Where nothing is there.
    pub fn set_mode(&self, path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
        let mut disk = self.lock();
        let inode = disk.find(path.as_ref())?;
        let node = disk.nodes.get_mut(&inode).ok_or(Errno::NOENT)?;
        node.mode = mode;
        Ok(())
    }

    fn plant(&self, path: &Path, node: Node) -> io::Result<()> {
        let mut disk = self.lock();
        if let Ok(replaced) = disk.find(path) {
            disk.contents(replaced).map(drop).or_else(|error| match node.body {
                Body::Symlink => Ok(()),
                Body::File(_) | Body::Dir => Err(error),
            })?;
            let slot = disk.slot(path)?;
            disk.names.uproot(&slot, replaced);
        }
        let slot = disk.slot(path)?;
        let inode = disk.create(path, node)?;
        disk.names.settle(&slot, inode);
        Ok(())
    }
}
