//! The one door to a file system: everything that storage does with files goes through [`Fs`].
//!
//! There are two implementations: [`real`], the only module of the workspace that may call `std::fs`, and [`sim`], a
//! disk in memory that forgets at a crash whatever was not synced; `metered` measures whichever it is. The calls are blocking and positioned, and each
//! does what its system call does, no more: nothing is retried but `EINTR`, nothing is synced unasked, and a short read
//! or write is handed to the caller ([`read_exact_at`] and [`write_all_at`] complete them). A failed sync says that data
//! may be lost for good; whoever calls it again and believes the second answer loses acknowledged writes.

pub(crate) mod metered;
pub mod real;
pub mod sim;

use std::{ffi::OsString, fmt, io, path::Path};

/// A file system, as far as a store needs one.
///
/// What a caller may assume after a crash, and nothing beyond it:
///
/// 1. Bytes are durable once a `sync_data` or `sync_all` of their file, begun after they were written, has succeeded; the
///    length that reaches them is durable with them. Before that, each sector may hold the old or the new, in any mix.
/// 2. A name (created, renamed or removed) is durable once a `sync_dir` of its directory, begun after it, has succeeded.
///    Syncing a file makes none of its names durable.
/// 3. A rename replaces its target in one step: the target's name leads to the old file or to the new one.
///
/// Symbolic links are never followed in the last component of a path.
pub trait Fs: fmt::Debug + Send + Sync + 'static {
    /// Makes one directory, mode 0700 whatever the umask. Its parent must exist, and the name must not.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes a file that does not exist, mode 0600 whatever the umask, for reading and writing.
    fn create_file(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;

    /// Opens a file that exists.
    fn open_file(&self, path: &Path, access: Access) -> io::Result<Box<dyn FsFile>>;

    /// What a directory holds, in no particular order, without `.` and `..`.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// What stands under a name.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;

    /// Gives a file or directory another name on the same file system, replacing a file of that name, or an empty
    /// directory by a directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name; its bytes stay readable through handles that are open.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory that holds nothing.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes durable which names the directory holds. Its own name is its parent's to sync.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes the exclusive lock of a file that exists: `WouldBlock` when it is held, also by this process. The lock ends
    /// with the guard, and with the process however it dies.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>>;

    /// Bytes that this process may still take on the file system that holds `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// An open file. Every call is positioned, so that threads share one handle.
pub trait FsFile: fmt::Debug + Send + Sync + 'static {
    /// Reads at `offset`; may give fewer bytes than asked for, and none at or after the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset`, lengthening the file where need be; may take fewer bytes than given.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;

    /// How long the file is.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Makes the bytes written so far durable, and the length that reaches them (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;

    /// The same with all metadata (`fsync`).
    fn sync_all(&self) -> io::Result<()>;
}

/// A lock that is held until this guard is dropped.
pub trait FsLock: fmt::Debug + Send + Sync + 'static {}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading alone.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link, which no call follows.
    Symlink,
    /// A device, a socket, a pipe.
    Other,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, without its directory.
    pub name: OsString,
    /// What it leads to.
    pub kind: FileKind,
}

/// What is known of a file without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: FileKind,
    /// How long it is; of no meaning for a directory.
    pub len_bytes: u64,
    /// The permission bits, 0o7777 at most.
    pub mode: u32,
}

/// Writes all of `buf` at `offset`, continuing after short writes.
///
/// # Errors
/// The first that a write gives, and `WriteZero` where one takes nothing; how much was written is then unknown.
pub fn write_all_at(file: &dyn FsFile, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        let written = file.write_at(buf, offset)?;
        if written == 0 {
            return Err(io::Error::new(io::ErrorKind::WriteZero, format!("no byte was taken at offset {offset}")));
        }
        buf = buf.get(written..).unwrap_or_default();
        offset += written as u64;
    }
    Ok(())
}

/// Fills `buf` from `offset` on, continuing after short reads.
///
/// # Errors
/// The first that a read gives, and `UnexpectedEof` where the file ends before `buf` is full.
pub fn read_exact_at(file: &dyn FsFile, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        let read = file.read_at(buf, offset)?;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the file ends at offset {offset}, {} bytes early", buf.len()),
            ));
        }
        buf = buf.get_mut(read..).unwrap_or_default();
        offset += read as u64;
    }
    Ok(())
}
