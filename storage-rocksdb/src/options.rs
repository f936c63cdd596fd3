//! What can be chosen about a store on RocksDB. Everything here is a bound, a seed or a matter of speed; what the promises
//! rest on is set after it, and cannot be chosen.

use std::{fmt, sync::Arc};

use eraft_core::{Result, StorageError};
use eraft_storage_kit::{GroupCommitOptions, MAX_SAVE_BYTES};
use rocksdb::Options;

/// Changes RocksDB's own options: called once for [`Family::Database`] and once for each column family, at every opening.
/// Whatever durability, recovery and room rest on is set again after it, style of compaction and sizes of buffers among it. What has
/// no default to go back to is yours to leave alone: an environment, a comparator, a merge operator, a compaction filter.
pub type Tune = Arc<dyn Fn(Family, &mut Options) + Send + Sync>;

/// How a store on RocksDB is written and read.
#[derive(Clone)]
pub struct RocksOptions {
    /// How saves are batched, and after how long a silence the last batch is confirmed on disk.
    pub commit: GroupCommitOptions,
    /// What a column family gathers in memory before it becomes a table file, in bytes: from 64 KiB to 1 GiB. RocksDB's log
    /// is at most four times as long.
    pub write_buffer_bytes: usize,
    /// What is kept in memory of tables that were read, in bytes.
    pub block_cache_bytes: usize,
    /// How table files are compressed.
    pub compression: Compression,
    /// How many threads flush and compact; at least 2.
    pub background_jobs: i32,
    /// What is kept back on the disk for votes, publishing, compaction and the next opening, in bytes: at least six write
    /// buffers and two mebibytes.
    pub reserve_bytes: u64,
    /// Where store ids and snapshot names are drawn from; `None`: from the operating system. For simulations alone.
    pub seed: Option<u64>,
    /// RocksDB's own options.
    pub tune: Option<Tune>,
}

/// How table files are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// By LZ4.
    #[default]
    Lz4,
}

/// What a set of RocksDB's options is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Family {
    /// The database as a whole.
    Database,
    /// Hard states, outlines, and which snapshot is published.
    State,
    /// Entries.
    Log,
    /// Chunks of snapshots.
    Snapshot,
}

impl Family {
    /// The column families.
    pub(crate) const COLUMNS: [Family; 3] = [Family::State, Family::Log, Family::Snapshot];

    /// Those whose tables RocksDB merges.
    pub(crate) const MERGED: [Family; 2] = [Family::State, Family::Log];

    /// Its name in the database.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Family::Database => "default",
            Family::State => "state",
            Family::Log => "log",
            Family::Snapshot => "snapshot",
        }
    }
}

impl Default for RocksOptions {
    /// The kit's batches, write buffers of 16 MiB, a block cache of 32 MiB, LZ4, two background threads, 128 MiB kept back.
    fn default() -> RocksOptions {
        RocksOptions {
            commit: GroupCommitOptions::default(),
            write_buffer_bytes: 16 << 20,
            block_cache_bytes: 32 << 20,
            compression: Compression::default(),
            background_jobs: 2,
            reserve_bytes: 128 << 20,
            seed: None,
            tune: None,
        }
    }
}

impl RocksOptions {
    /// The longest that RocksDB's log gets: until it is full, and a save beyond that.
    pub(crate) fn log_bytes(&self) -> u64 {
        4 * self.write_buffer_bytes as u64 + MAX_SAVE_BYTES
    }

    /// # Errors
    /// `Invalid` for a bound out of bounds.
    pub(crate) fn check(&self) -> Result<()> {
        let (min, max) = (64 << 10, 1 << 30);
        if !(min..=max).contains(&self.write_buffer_bytes) {
            let detail = format!("write_buffer_bytes is {}; expected {min} to {max}", self.write_buffer_bytes);
            return Err(StorageError::invalid(detail));
        }
        let most = 1 << 50;
        if self.reserve_bytes > most {
            let detail = format!("reserve_bytes is {}; expected {most} at most", self.reserve_bytes);
            return Err(StorageError::invalid(detail));
        }
        if self.commit.max_batch_bytes > MAX_SAVE_BYTES {
            let detail = format!(
                "commit.max_batch_bytes is {}; expected {MAX_SAVE_BYTES} at most, or a batch could outgrow the reserve",
                self.commit.max_batch_bytes
            );
            return Err(StorageError::invalid(detail));
        }
        let least = 6 * self.write_buffer_bytes as u64 + (2 << 20);
        if self.reserve_bytes < least {
            let detail = format!(
                "reserve_bytes is {}; expected {least} at least, or a full disk could not be opened",
                self.reserve_bytes
            );
            return Err(StorageError::invalid(detail));
        }
        if self.background_jobs < 2 {
            let detail =
                format!("background_jobs is {}; expected 2 at least: one flushes, one compacts", self.background_jobs);
            return Err(StorageError::invalid(detail));
        }
        Ok(())
    }
}

impl fmt::Debug for RocksOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksOptions")
            .field("commit", &self.commit)
            .field("write_buffer_bytes", &self.write_buffer_bytes)
            .field("block_cache_bytes", &self.block_cache_bytes)
            .field("compression", &self.compression)
            .field("background_jobs", &self.background_jobs)
            .field("reserve_bytes", &self.reserve_bytes)
            .field("seed", &self.seed)
            .field("tuned", &self.tune.is_some())
            .finish()
    }
}
