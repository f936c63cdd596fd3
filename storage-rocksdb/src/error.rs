//! How failures of RocksDB, and damage, become the storage port's errors; those of files are the kit's.

use std::path::Path;

use eraft_core::{StorageError, StorageErrorKind};
use eraft_storage_kit::error::REMEDY;
pub(crate) use eraft_storage_kit::error::{corrupt, incompatible, io, locked, not_initialised};
use rocksdb::ErrorKind;

/// What RocksDB says while a store is in use, as what the caller does about it.
pub(crate) fn rocks(during: &str, error: rocksdb::Error) -> StorageError {
    let text = error.to_string();
    let (kind, advice) = in_use(&error.kind(), &text);
    StorageError::with_source(kind, during, format!("RocksDB says: {text}: {advice}"), error)
}

/// The same of what changes the store: an engine that has failed to do so writes nothing any more.
pub(crate) fn writing(during: &str, error: rocksdb::Error) -> StorageError {
    match in_use(&error.kind(), error.as_ref()) {
        (StorageErrorKind::Unavailable, _) => {
            let detail = format!("RocksDB says: {error}: reopen the store");
            StorageError::with_source(StorageErrorKind::Io, during, detail, error)
        }
        _ => rocks(during, error),
    }
}

/// What RocksDB says while it opens what was a whole database.
pub(crate) fn opening(db: &Path, error: rocksdb::Error) -> StorageError {
    let during = "opening the database";
    let text = error.to_string();
    let (kind, said) = match at_opening(&error.kind(), &text) {
        Some(StorageErrorKind::Incompatible) => (
            StorageErrorKind::Incompatible,
            format!(": RocksDB says: {text}: use the software that wrote it, or a newer one"),
        ),
        Some(StorageErrorKind::Invalid) => {
            (StorageErrorKind::Invalid, format!(": RocksDB says: {text}: change what `tune` sets"))
        }
        Some(kind) => (kind, format!(" at offset 0 or beyond: RocksDB says: {text}: {REMEDY}")),
        None => return rocks(during, error),
    };
    StorageError::with_source(kind, during, format!("{}{said}", db.display()), error)
}

/// What is to be done about what RocksDB says while a store is in use.
fn in_use(kind: &ErrorKind, text: &str) -> (StorageErrorKind, &'static str) {
    match kind {
        _ if is_full(text) => (StorageErrorKind::Full, "free space there, then reopen the store"),
        ErrorKind::Corruption => (StorageErrorKind::Corrupt, REMEDY),
        _ if text.contains("While lock file") || text.contains("lock hold by current process") => {
            (StorageErrorKind::Locked, "another process has the database open: stop that first")
        }
        _ if text.contains("Too many open files") => {
            (StorageErrorKind::Io, "raise the limit of open files (ulimit -n), then reopen the store")
        }
        ErrorKind::Busy | ErrorKind::TimedOut | ErrorKind::TryAgain => {
            (StorageErrorKind::Unavailable, "RocksDB is busy: try again")
        }
        _ => (StorageErrorKind::Io, "find the cause in the system's log, then reopen the store"),
    }
}

/// What it means that RocksDB does not open what was a whole database: what it misses is damage; what it does not support, another
/// version wrote; what it takes no argument for was tuned so. `None`: as in use.
fn at_opening(kind: &ErrorKind, text: &str) -> Option<StorageErrorKind> {
    // A manifest that has lost its end tells of fewer families, or of none.
    let misses = ["No such file", "does not exist", "olumn family not", "olumn families not"];
    let missing = misses.iter().any(|what| text.contains(what));
    match kind {
        ErrorKind::NotSupported => Some(StorageErrorKind::Incompatible),
        _ if missing => Some(StorageErrorKind::Corrupt),
        ErrorKind::InvalidArgument => Some(StorageErrorKind::Invalid),
        ErrorKind::Corruption | ErrorKind::NotFound if !is_full(text) => Some(StorageErrorKind::Corrupt),
        _ => None,
    }
}

/// Damage in the value under a key; `detail` says expected against found.
pub(crate) fn corrupt_value(key: &str, detail: impl AsRef<str>) -> StorageError {
    StorageError::new(
        StorageErrorKind::Corrupt,
        "reading the database",
        format!("key {key} at offset 0 of its value: {}: {REMEDY}", detail.as_ref()),
    )
}

/// A disk that has no room left but what is kept back.
pub(crate) fn full(path: &Path, wanted_bytes: u64, room_bytes: u64) -> StorageError {
    StorageError::new(
        StorageErrorKind::Full,
        "committing a batch",
        format!(
            "{}: entries that take {wanted_bytes} bytes in log and tables, and room for {room_bytes} beside the reserve: \
             free space there, then reopen the store",
            path.display()
        ),
    )
}

pub(crate) fn closed() -> StorageError {
    StorageError::invalid("the store was closed before this call: open it again")
}

fn is_full(text: &str) -> bool {
    text.contains("No space left on device") || text.contains("Disk quota exceeded") || text.contains("Space limit")
}

#[cfg(test)]
mod tests {
    use eraft_core::StorageErrorKind::{Corrupt, Full, Incompatible, Invalid, Io, Locked, Unavailable};

    use super::*;

    #[test]
    fn what_rocksdb_says_in_use_tells_what_to_do() {
        let said = [
            (ErrorKind::Corruption, "Corruption: block checksum mismatch in /s/db/000012.sst offset 0", Corrupt),
            (ErrorKind::IOError, "IO error: No space left on device: While appending to file: /s/db/1.log", Full),
            (ErrorKind::IOError, "IO error: Disk quota exceeded: While appending to file: /s/db/1.log", Full),
            (ErrorKind::IOError, "IO error: Space limit reached", Full),
            (ErrorKind::Corruption, "Corruption: IO error: No space left on device", Full),
            (ErrorKind::IOError, "IO error: While lock file: /s/db/LOCK: Resource temporarily unavailable", Locked),
            (ErrorKind::IOError, "IO error: lock hold by current process, acquire time 1", Locked),
            (ErrorKind::Busy, "Resource busy: ", Unavailable),
            (ErrorKind::TimedOut, "Operation timed out: ", Unavailable),
            (ErrorKind::TryAgain, "Operation failed. Try again.: ", Unavailable),
            (ErrorKind::IOError, "IO error: Input/output error: While fdatasync: /s/db/1.log", Io),
            (ErrorKind::IOError, "IO error: No such file or directory: While open a file: /s/db/000012.sst", Io),
            (ErrorKind::ShutdownInProgress, "Shutdown in progress: ", Io),
            (ErrorKind::Unknown, "?", Io),
        ];
        for (kind, text, expected) in said {
            assert_eq!(in_use(&kind, text).0, expected, "{text}");
        }
        let opening = "IO error: While open directory: /s/db: Too many open files";
        assert!(in_use(&ErrorKind::IOError, opening).1.contains("ulimit -n"));
    }

    #[test]
    fn what_rocksdb_says_at_an_opening_tells_damage_from_what_was_tuned_and_from_the_disk() {
        let said = [
            (ErrorKind::Corruption, "Corruption: checksum mismatch", Some(Corrupt)),
            (ErrorKind::NotFound, "NotFound: ", Some(Corrupt)),
            (
                ErrorKind::IOError,
                "IO error: No such file or directory: While open a file: /s/db/000012.sst",
                Some(Corrupt),
            ),
            (
                ErrorKind::InvalidArgument,
                "Invalid argument: /s/db: does not exist (create_if_missing is false)",
                Some(Corrupt),
            ),
            (ErrorKind::InvalidArgument, "Invalid argument: Column family not found: log", Some(Corrupt)),
            (ErrorKind::InvalidArgument, "Invalid argument: Column families not opened: log", Some(Corrupt)),
            (ErrorKind::InvalidArgument, "Invalid argument: pin_l0 is not this", Some(Invalid)),
            (ErrorKind::NotSupported, "Not implemented: format version 99", Some(Incompatible)),
            (ErrorKind::Corruption, "Corruption: IO error: No space left on device", None),
            (ErrorKind::IOError, "IO error: Input/output error: While pread", None),
            (ErrorKind::IOError, "IO error: While lock file: /s/db/LOCK", None),
        ];
        for (kind, text, expected) in said {
            assert_eq!(at_opening(&kind, text), expected, "{text}");
        }
    }
}
