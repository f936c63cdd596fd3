//! How failures of the file system, and damage in files, become the storage port's errors: everywhere with the same words, which
//! say what, where, and what to do.

use std::{fmt, io, path::Path};

use eraft_core::{StorageError, StorageErrorKind};
use rustix::io::Errno;

/// What an operator is told about damage.
pub const REMEDY: &str = "stop this node and keep its directory for inspection; it may come back only as a new member, or \
                          from a copy of this very directory that was taken after its last acknowledged write";

/// A failed call on `path`.
pub fn io(during: &str, path: &Path, error: io::Error) -> StorageError {
    let (kind, advice) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            (StorageErrorKind::Full, "free space there, then reopen the store")
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            (StorageErrorKind::Io, "make it writable for this user, then reopen the store")
        }
        _ if error.raw_os_error() == Some(Errno::MFILE.raw_os_error())
            || error.raw_os_error() == Some(Errno::NFILE.raw_os_error()) =>
        {
            (StorageErrorKind::Io, "raise the limit of open files (ulimit -n), then reopen the store")
        }
        // What opening a link in a file's place gives.
        _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            (StorageErrorKind::Io, "links are not followed: put the file itself there, then reopen the store")
        }
        _ => (StorageErrorKind::Io, "find the cause in the system's log, then reopen the store"),
    };
    StorageError::with_source(kind, during, format!("{}: {error}: {advice}", path.display()), error)
}

/// Damage in the file at `path`, `offset` bytes into it; `detail` says expected against found.
pub fn corrupt(path: &Path, offset: u64, detail: impl AsRef<str>) -> StorageError {
    StorageError::new(
        StorageErrorKind::Corrupt,
        "reading a file of the store",
        format!("{} at offset {offset}: {}: {REMEDY}", path.display(), detail.as_ref()),
    )
}

/// What another version of this software wrote, and where; nothing was touched.
pub fn incompatible(place: impl fmt::Display, detail: impl AsRef<str>) -> StorageError {
    StorageError::new(
        StorageErrorKind::Incompatible,
        "reading a store",
        format!("{place}: {}: nothing was changed; use the software that wrote it, or a newer one", detail.as_ref()),
    )
}

/// The lock at `lock` of the store in `dir` could not be taken: somebody has it, or the call failed.
pub fn locked(dir: &Path, lock: &Path, error: io::Error) -> StorageError {
    const DURING: &str = "locking a store";
    if error.kind() == io::ErrorKind::WouldBlock {
        let detail = format!(
            "{} is in use: another process, or another handle of this one, holds {}: stop that first",
            dir.display(),
            lock.display()
        );
        return StorageError::new(StorageErrorKind::Locked, DURING, detail);
    }
    io(DURING, lock, error)
}

/// There is no store in `dir`, and none was made.
pub fn not_initialised(during: &str, dir: &Path) -> StorageError {
    let detail = format!("nothing is stored at {}: create it, join a cluster, or restore a backup", dir.display());
    StorageError::new(StorageErrorKind::NotInitialised, during, detail)
}
