//! The spare: blocks kept back for a full disk, as a file of their own beside the log (contract, line 14).
//!
//! Where the disk has no room for a new segment, the spare becomes it, so that votes, publishing and compaction go on,
//! and with them what frees room. It may assume nothing of what the file holds: only its length counts, since whoever
//! takes it writes over all of it. Commands must never get its blocks: none is written while there is no spare.

use std::sync::Arc;

use eraft_core::{EntryKind, LogChange, Result, StorageError, StorageErrorKind};
use eraft_storage_kit::Save;

use crate::{
    error,
    fs::{FileKind, Fs},
    paths::Paths,
    segment::{
        BLOCK_BYTES,
        file::{Segment, new_file, rename_durably, sync},
    },
};

/// Longer than this it is only where the state of all groups needs more: a vote takes two blocks of it at most.
const MAX_BYTES: u64 = 4 << 20;

/// How long a spare is to be, for segments of `segment_bytes` whose opening takes `opening_bytes`: as a segment it holds
/// that opening, and what every group says of itself once more.
pub(crate) fn wanted_bytes(segment_bytes: u64, opening_bytes: u64) -> u64 {
    segment_bytes.min(MAX_BYTES).max(Segment::needed_bytes(opening_bytes, opening_bytes))
}

/// How long the spare is that an earlier process left; `None` where it left none that can become a segment.
pub(crate) fn find(fs: &Arc<dyn Fs>, paths: &Paths) -> Option<u64> {
    let found = fs.metadata(&paths.spare()).ok()?;
    let can_be = found.len_bytes >= 4 * BLOCK_BYTES && found.len_bytes <= u64::from(u32::MAX);
    (found.kind == FileKind::File && can_be && found.len_bytes.is_multiple_of(BLOCK_BYTES)).then_some(found.len_bytes)
}

/// What became of making a spare.
#[derive(Debug)]
pub(crate) enum Made {
    /// It is durable under its name.
    Durable,
    /// The disk has no room for it.
    NoRoom,
    /// It failed while nothing depended on it yet.
    Failed(StorageError),
}

/// Makes a spare, in place of one that may be there; where that does not succeed, nothing that counts has changed.
///
/// # Errors
/// A sync or a renaming that fails, whatever it says: what it lost nobody knows.
pub(crate) fn make(fs: &Arc<dyn Fs>, paths: &Paths, len_bytes: u64) -> Result<Made> {
    let unfinished = paths.unfinished_spare();
    // An attempt before may have left one; where it stays, it is found there when the file is created.
    let _gone_or_found_again = fs.remove_file(&unfinished);
    let file = match new_file(fs, &unfinished, &[], len_bytes) {
        Err(error) if error.kind() == StorageErrorKind::Full => return Ok(Made::NoRoom),
        Err(error) => return Ok(Made::Failed(error)),
        Ok(file) => file,
    };
    sync(file.as_ref(), &unfinished)?;
    rename_durably(fs, &unfinished, &paths.spare())?;
    Ok(Made::Durable)
}

/// Whether a save comes out of the room for entries. A no-op does not: it ends an election, as the vote began it.
pub(crate) fn takes_room(save: &Save) -> bool {
    match &save.update.log {
        LogChange::Append(entries) => entries.iter().any(|entry| entry.kind != EntryKind::Noop),
        LogChange::Keep | LogChange::CompactTo(_) | LogChange::Reset { .. } => false,
    }
}

/// What a command gets where there is no room for a spare beside it.
pub(crate) fn lacking(paths: &Paths, len_bytes: u64) -> StorageError {
    let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
    error::io(&format!("keeping {len_bytes} bytes back for a full disk"), &paths.spare(), source)
}
