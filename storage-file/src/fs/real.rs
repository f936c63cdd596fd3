//! The disk of this machine: each call of the seam as its system call.
//!
//! It may assume nothing of who else uses the directory: links are not followed, nothing is left readable to others by
//! an odd umask, and what is opened as a file is one. It must never retry a sync: the kernel reports a lost page once.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is where the seam meets the operating system; nothing else touches files"
)]

use std::{
    fs::{File, TryLockError},
    io,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags},
    io::{Errno, retry_on_intr},
};

use super::{Access, DirEntry, FileKind, Fs, FsFile, FsLock, Metadata};

/// The file system of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFs;

#[derive(Debug)]
struct RealFile(File);

#[derive(Debug)]
struct RealLock {
    /// The lock belongs to this open file and ends when it is closed.
    _file: File,
}

impl Fs for RealFs {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        retry_on_intr(|| rustix::fs::mkdir(path, Mode::RWXU))?;
        // A umask can only have taken bits away.
        Ok(retry_on_intr(|| rustix::fs::chmod(path, Mode::RWXU))?)
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let file = open(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        retry_on_intr(|| rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR))?;
        Ok(Box::new(RealFile(file)))
    }

    fn open_file(&self, path: &Path, access: Access) -> io::Result<Box<dyn FsFile>> {
        Ok(Box::new(RealFile(open_regular(path, access)?)))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        // An error in its midst says nothing of where it was: it is read again from its start.
        again(|| {
            std::fs::read_dir(path)?
                .map(|entry| {
                    entry.and_then(|entry| Ok(DirEntry { name: entry.file_name(), kind: kind(entry.file_type()?) }))
                })
                .collect()
        })
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let found = again(|| std::fs::symlink_metadata(path))?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o7777;
        Ok(Metadata { kind: kind(found.file_type()), len_bytes: found.len(), mode })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        again(|| std::fs::rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        again(|| std::fs::remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        again(|| std::fs::remove_dir(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        sync(&open(path, OFlags::RDONLY | OFlags::DIRECTORY)?, Sync::All)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        // An open file of its own: such a lock also keeps out other opens of this very process.
        let file = open_regular(path, Access::ReadWrite)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Box::new(RealLock { _file: file })),
                Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let found = retry_on_intr(|| rustix::fs::statvfs(path))?;
        // What an unprivileged process may take: a share is kept back for root.
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

impl FsFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        again(|| self.0.read_at(buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        again(|| self.0.write_at(buf, offset))
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(again(|| self.0.metadata())?.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        sync(&self.0, Sync::Data)
    }

    fn sync_all(&self) -> io::Result<()> {
        sync(&self.0, Sync::All)
    }
}

impl FsLock for RealLock {}

/// What a sync covers.
#[derive(Clone, Copy)]
enum Sync {
    Data,
    All,
}

/// One call, never repeated, not even after `EINTR`: whether pages were lost is told once. (The standard library's own
/// sync retries.)
fn sync(file: &File, what: Sync) -> io::Result<()> {
    #[cfg(target_vendor = "apple")]
    let outcome = match what {
        // The plain calls leave the data in the drive's own cache there.
        Sync::Data | Sync::All => rustix::fs::fcntl_fullfsync(file),
    };
    #[cfg(not(target_vendor = "apple"))]
    let outcome = match what {
        Sync::Data => rustix::fs::fdatasync(file),
        Sync::All => rustix::fs::fsync(file),
    };
    Ok(outcome?)
}

fn open_regular(path: &Path, access: Access) -> io::Result<File> {
    let flags = match access {
        Access::Read => OFlags::RDONLY,
        Access::ReadWrite => OFlags::RDWR,
    };
    let file = open(path, flags)?;
    match kind(again(|| file.metadata())?.file_type()) {
        FileKind::File => Ok(file),
        FileKind::Dir => Err(Errno::ISDIR.into()),
        FileKind::Symlink | FileKind::Other => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} is no regular file: expected one of the store's own", path.display()),
        )),
    }
}

/// `NONBLOCK` is for a pipe that somebody put in a file's place: opening it must not hang. Regular files ignore it.
fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let descriptor: OwnedFd = retry_on_intr(|| rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR))?;
    Ok(File::from(descriptor))
}

/// Makes a call until no signal interrupts it: network file systems, and those in user space, answer so where a disk would not.
fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

fn kind(file_type: std::fs::FileType) -> FileKind {
    if file_type.is_file() {
        FileKind::File
    } else if file_type.is_dir() {
        FileKind::Dir
    } else if file_type.is_symlink() {
        FileKind::Symlink
    } else {
        FileKind::Other
    }
}
