//! What can be chosen about a store of files. Everything here is a bound or a seed; nothing changes what is promised.

use std::time::Duration;

use eraft_core::{Result, StorageError};
use eraft_storage_kit::GroupCommitOptions;

use crate::segment::BLOCK_BYTES;

/// How a store of files is laid out and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// Length of a new log segment in bytes: a multiple of 4 KiB, from 16 KiB to 1 GiB. Segments that exist keep theirs.
    pub segment_bytes: u64,
    /// How saves are batched, and after how long a silence the last batch is confirmed on disk.
    pub commit: GroupCommitOptions,
    /// Where store ids, incarnations and snapshot names are drawn from; `None`: from the operating system. Two stores
    /// that share a seed can mistake each other's files for their own, so a seed is for simulations alone.
    pub seed: Option<u64>,
}

impl Default for FileOptions {
    /// Segments of 16 MiB (filling one stalls saves for some tens of milliseconds), the kit's batches, a confirmation
    /// after a quarter of a second, randomness from the operating system.
    fn default() -> FileOptions {
        FileOptions {
            segment_bytes: 16 * 1024 * 1024,
            commit: GroupCommitOptions {
                idle_after: Some(Duration::from_millis(250)),
                ..GroupCommitOptions::default()
            },
            seed: None,
        }
    }
}

impl FileOptions {
    /// # Errors
    /// `Invalid` for a segment length out of bounds.
    pub(crate) fn check(&self) -> Result<()> {
        let (min, max) = (4 * BLOCK_BYTES, 1 << 30);
        if !(min..=max).contains(&self.segment_bytes) || !self.segment_bytes.is_multiple_of(BLOCK_BYTES) {
            return Err(StorageError::invalid(format!(
                "segment_bytes is {}; expected a multiple of {BLOCK_BYTES} from {min} to {max}",
                self.segment_bytes
            )));
        }
        Ok(())
    }
}
