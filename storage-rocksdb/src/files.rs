//! What this backend does to files itself: its lock, its identity, its seal, its reserve, stages. RocksDB does the rest.
//!
//! It may assume nothing of who else uses the directory: links are not followed, and nothing is left open to others by an
//! odd umask. It must never retry a sync: the kernel reports a lost page once.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is where the backend meets the operating system; RocksDB has no seam to go through"
)]

use std::{
    fs::{File, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FallocateFlags, Mode, OFlags, XattrFlags},
    io::{Errno, retry_on_intr},
};

/// The access list that files get which are made in a directory.
const DEFAULT_ACCESS: &str = "system.posix_acl_default";
/// One that gives the owner everything that is asked for, and group and others nothing, as the kernel takes it: version 2,
/// then tag, permissions and no id for each of the three.
const OWNER_ALONE: [u8; 28] = [
    2, 0, 0, 0, //
    1, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, //
    4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, //
    32, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
];

/// What stands under a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) is_dir: bool,
    pub(crate) is_file: bool,
    pub(crate) is_link: bool,
    pub(crate) len_bytes: u64,
    /// What it takes of the disk; less than its length where it has holes.
    pub(crate) allocated_bytes: u64,
    pub(crate) mode: u32,
}

/// A lock that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "it is held")] File);

/// A new directory that only its owner may enter, and whose files nobody else may open, whoever makes them.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    retry_on_intr(|| rustix::fs::mkdir(path, Mode::RWXU))?;
    // A umask can only have taken bits away.
    retry_on_intr(|| rustix::fs::chmod(path, Mode::RWXU))?;
    keep_private(path)
}

/// Sees to it that whatever is made in a directory is open to its owner alone, and made so: RocksDB makes its files 0644
/// less the umask, and a directory's default access list takes the umask's place. A file system that has none is no failure:
/// then the directory keeps others out, and [`make_private`] tells it of the files.
pub(crate) fn keep_private(dir: &Path) -> io::Result<()> {
    let mut found = [0; OWNER_ALONE.len()];
    match retry_on_intr(|| rustix::fs::lgetxattr(dir, DEFAULT_ACCESS, &mut found)) {
        Ok(_) if found == OWNER_ALONE => return Ok(()),
        Err(error) if error == Errno::OPNOTSUPP || error == Errno::NOSYS => return Ok(()),
        // None yet, or another; what is wrong else meets the next call, too.
        Ok(_) | Err(_) => {}
    }
    match retry_on_intr(|| rustix::fs::lsetxattr(dir, DEFAULT_ACCESS, &OWNER_ALONE, XattrFlags::empty())) {
        Err(error) if error == Errno::OPNOTSUPP || error == Errno::NOSYS => Ok(()),
        set => Ok(set?),
    }
}

/// Takes the files of a directory away from everybody but their owner, where they are not his alone.
pub(crate) fn make_private(dir: &Path) -> io::Result<()> {
    for (_, path, found) in files(dir, |_| true)? {
        if found.mode & !0o600 != 0 {
            match open(&path, OFlags::RDONLY) {
                Ok(file) => retry_on_intr(|| rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR))?,
                // RocksDB has removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// A new file with these bytes, synced; its name is not.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = open(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
    retry_on_intr(|| rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR))?;
    file.write_all(bytes)?;
    sync(&file)
}

/// All of a file of ours, `max_bytes` at most.
pub(crate) fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, OFlags::RDONLY)?.take(max_bytes).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The last bytes of a file of ours, `max_bytes` at most.
pub(crate) fn read_end(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut file = open(path, OFlags::RDONLY)?;
    let from = file.metadata()?.len().saturating_sub(max_bytes);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(max_bytes).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Hands a file on in pieces, the last of which may be shorter.
pub(crate) fn read_blocks(path: &Path, block_bytes: usize, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let file = open(path, OFlags::RDONLY)?;
    let (mut block, mut offset) = (vec![0; block_bytes], 0);
    loop {
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if filled == 0 {
            return Ok(());
        }
        each(block.get(..filled).unwrap_or_default());
        offset += filled as u64;
    }
}

/// The names in a directory.
pub(crate) fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        // A name that is no text is none of ours, nor of RocksDB's.
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// What stands under a name, if anything; a link is told as itself.
pub(crate) fn find(path: &Path) -> io::Result<Option<Found>> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(Found {
            is_dir: found.is_dir(),
            is_file: found.is_file(),
            is_link: found.is_symlink(),
            len_bytes: found.len(),
            allocated_bytes: found.blocks().saturating_mul(512),
            mode: found.permissions().mode() & 0o7777,
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

/// Removes a file; that there is none is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a directory and the files in it, but no directory within. What else stands there, a link to a directory say, is
/// left alone.
pub(crate) fn remove_dir(dir: &Path) -> io::Result<()> {
    match find(dir)? {
        None => return Ok(()),
        Some(found) if found.is_dir => {}
        Some(_) => return Err(io::ErrorKind::NotADirectory.into()),
    }
    for name in names(dir)? {
        remove(&dir.join(name))?;
    }
    std::fs::remove_dir(dir)
}

pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    sync(&open(path, OFlags::RDONLY | OFlags::DIRECTORY)?)
}

pub(crate) fn sync_file(path: &Path) -> io::Result<()> {
    sync(&open(path, OFlags::RDONLY)?)
}

/// Locks a file that exists. An open file of its own: such a lock also keeps out other opens of this very process.
pub(crate) fn lock(path: &Path) -> io::Result<Lock> {
    let file = open(path, OFlags::RDWR)?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// What the file system that holds `path` has left: for anybody, and for this process. A share is kept back for root.
pub(crate) fn free_bytes(path: &Path) -> io::Result<(u64, u64)> {
    let found = retry_on_intr(|| rustix::fs::statvfs(path))?;
    let for_anybody = found.f_bavail.saturating_mul(found.f_frsize);
    let for_root = found.f_bfree.saturating_mul(found.f_frsize);
    let for_us = if rustix::process::geteuid().is_root() { for_root } else { for_anybody };
    Ok((for_anybody, for_us))
}

/// Gives a file of ours `len_bytes` of the disk, whole or not at all.
pub(crate) fn allocate(path: &Path, len_bytes: u64) -> io::Result<()> {
    let file = open(path, OFlags::RDWR | OFlags::CREATE)?;
    retry_on_intr(|| rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR))?;
    let taken = retry_on_intr(|| rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, len_bytes));
    let synced = taken.map_err(io::Error::from).and_then(|()| sync(&file));
    if synced.is_err() {
        file.set_len(0)?;
    }
    synced
}

/// Cuts a file off, and syncs it; the space is free when this returns.
pub(crate) fn cut(path: &Path, len_bytes: u64) -> io::Result<()> {
    let file = open(path, OFlags::RDWR)?;
    file.set_len(len_bytes)?;
    sync(&file)
}

/// The files in a directory, by their names.
pub(crate) fn files(dir: &Path, ours: impl Fn(&str) -> bool) -> io::Result<Vec<(String, PathBuf, Found)>> {
    let mut files = Vec::new();
    for name in names(dir)? {
        let path = dir.join(&name);
        if let Some(found) = find(&path)?.filter(|found| found.is_file && ours(&name)) {
            files.push((name, path, found));
        }
    }
    Ok(files)
}

/// One call, never repeated, not even after `EINTR`: whether pages were lost is told once.
fn sync(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fsync(file)?)
}

/// `NONBLOCK` is for a pipe that somebody put in a file's place: opening it must not hang.
fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(File::from(retry_on_intr(|| rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR))?))
}
