//! How failures of the file system, and damage in files, become the storage port's errors.

use std::{io, path::Path};

use eraft_core::{StorageError, StorageErrorKind};
use rustix::io::Errno;

/// What an operator is told about damage, everywhere in the same words.
const REMEDY: &str = "stop this node and keep its directory for inspection; it may come back only as a new member, or \
                      from a copy of this very directory that was taken after its last acknowledged write";

/// A failed call on `path`.
pub(crate) fn io(during: &str, path: &Path, error: io::Error) -> StorageError {
    let (kind, advice) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            (StorageErrorKind::Full, "free space there, then reopen the store")
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            (StorageErrorKind::Io, "make it writable for this user, then reopen the store")
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
pub(crate) fn corrupt(path: &Path, offset: u64, detail: impl AsRef<str>) -> StorageError {
    StorageError::new(
        StorageErrorKind::Corrupt,
        "reading a file of the store",
        format!("{} at offset {offset}: {}: {REMEDY}", path.display(), detail.as_ref()),
    )
}

/// A file that another version of this software wrote; nothing was touched.
pub(crate) fn incompatible(path: &Path, offset: u64, detail: impl AsRef<str>) -> StorageError {
    StorageError::new(
        StorageErrorKind::Incompatible,
        "reading a file of the store",
        format!(
            "{} at offset {offset}: {}: nothing was changed; use the software that wrote it, or a newer one",
            path.display(),
            detail.as_ref()
        ),
    )
}
