//! RocksDB with the options that the promises rest on, and the few calls that the rest makes of it.
//!
//! Every write is synced before it returns, so that at most one record of RocksDB's log is ever in flight: what `recovery`
//! judges by. It must never write without a sync, and never after an error of an earlier write.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use eraft_core::{Result, StorageError, StorageErrorKind};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompactionStyle, DBCompressionType,
    DBRawIterator, DBRecoveryMode, ErrorKind, FlushOptions, IngestExternalFileOptions, LogLevel, Options, ReadOptions,
    SnapshotWithThreadMode, WriteBatch, WriteOptions, properties, statistics::Ticker,
};

use crate::{
    error,
    options::{Compression, Family, RocksOptions},
};

/// Where RocksDB would stop writes because of table files that wait to be compacted: never, since a save that waits for
/// ever is worse than a slow read, and nothing is compacted while the disk is nearly full.
const NO_STOP: i32 = 1 << 20;

/// What RocksDB takes of the disk for a manifest beforehand, in bytes: an edit has some hundred. By default it is four
/// mebibytes, which a small reserve would have to hold for the next opening.
const MANIFEST_BYTES: usize = 64 << 10;

/// How many files RocksDB holds open, unless it is tuned: tables, the manifest, its log and its journal.
const MAX_OPEN_FILES: i32 = 64;

/// How often, and how many times at most, a write that has to wait for a table asks again: five minutes in all.
const STALLED_FOR: Duration = Duration::from_millis(1);
const MAX_STALLS: u32 = 300_000;

/// An open database.
pub(crate) struct Database {
    db: DB,
    /// Kept for its statistics.
    options: Options,
    /// Whether a call that changes files has failed.
    in_doubt: AtomicBool,
    /// How often a write has waited for a table.
    stalls: AtomicU64,
}

/// What one read sees: nothing that is written later.
pub(crate) type View<'a> = SnapshotWithThreadMode<'a, DB>;

impl Database {
    /// Makes a blank database at `path`, where there is none.
    pub(crate) fn create(path: &Path, options: &RocksOptions) -> Result<Database> {
        let mut database = database_options(path, options);
        database.create_if_missing(true);
        database.create_missing_column_families(true);
        database.set_error_if_exists(true);
        let db = DB::open_cf_descriptors(&database, path, families(options))
            .map_err(|error| error::rocks("creating the database", error))?;
        Ok(Database::of(db, database))
    }

    /// Opens the database at `path`; all that RocksDB's log held is in synced table files when this returns.
    pub(crate) fn open(path: &Path, options: &RocksOptions) -> Result<Database> {
        let database = database_options(path, options);
        let db =
            DB::open_cf_descriptors(&database, path, families(options)).map_err(|error| error::opening(path, error))?;
        Ok(Database::of(db, database))
    }

    fn of(db: DB, options: Options) -> Database {
        Database { db, options, in_doubt: AtomicBool::new(false), stalls: AtomicU64::new(0) }
    }

    pub(crate) fn family(&self, family: Family) -> Result<&ColumnFamily> {
        self.db.cf_handle(family.name()).ok_or_else(|| {
            let detail = format!("column family {} is not open: this is a bug", family.name());
            StorageError::new(StorageErrorKind::Io, "using the database", detail)
        })
    }

    /// Writes a batch; durable when this returns.
    ///
    /// While both write buffers of a family are full, it waits for the table that one of them becomes. RocksDB would wait
    /// without an end where that fails on a full disk, for the disk to be less full: so the waiting is done here. What makes
    /// such a table fail is told when the write is tried again.
    pub(crate) fn write(&self, mut batch: WriteBatch) -> Result<()> {
        const DURING: &str = "committing a batch";
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        for _ in 0..MAX_STALLS {
            // Only where a table is on its way already can another have to wait for it; only then a copy is needed.
            let again =
                (self.sum(properties::NUM_IMMUTABLE_MEM_TABLE) > 0).then(|| WriteBatch::from_data(batch.data()));
            synced.set_no_slowdown(again.is_some());
            match (self.db.write_opt(batch, &synced), again) {
                (Err(stalled), Some(again)) if stalled.kind() == ErrorKind::Incomplete => batch = again,
                (written, _) => return self.changed(DURING, written),
            }
            pause();
            self.stalls.fetch_add(1, Ordering::Relaxed);
        }
        let detail = format!(
            "RocksDB has written no table for {} s, and takes no more before: find the cause in its LOG, then reopen the store",
            (STALLED_FOR * MAX_STALLS).as_secs()
        );
        Err(StorageError::new(StorageErrorKind::Io, DURING, detail))
    }

    /// The value under a key, as of now.
    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Result<Option<rocksdb::DBPinnableSlice<'_>>> {
        let mut options = ReadOptions::default();
        // A snapshot is read once, from end to end.
        options.fill_cache(family != Family::Snapshot);
        let found = self.db.get_pinned_cf_opt(self.family(family)?, key, &options);
        found.map_err(|error| error::rocks("reading a value", error))
    }

    pub(crate) fn view(&self) -> View<'_> {
        self.db.snapshot()
    }

    /// Everything of a family from `from` on, before `to`, as of now.
    pub(crate) fn iterate(&self, family: Family, from: &[u8], to: &[u8]) -> Result<DBRawIterator<'_>> {
        Ok(self.db.raw_iterator_cf_opt(self.family(family)?, bounded(from, to)))
    }

    /// Writes what is in memory to table files, all families at once; synced when this returns.
    pub(crate) fn flush(&self) -> Result<()> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        let families = [Family::State, Family::Log, Family::Snapshot].map(|family| self.family(family));
        let [state, log, snapshot] = families;
        let flushed = self.db.flush_cfs_opt(&[state?, log?, snapshot?], &options);
        self.changed("writing what is in memory to tables", flushed)
    }

    /// Takes table files into `snapshot`, which move; durable when this returns.
    pub(crate) fn ingest(&self, files: &[PathBuf]) -> Result<()> {
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        // Reads of this family go by ids that nothing names yet, so no view needs to be spared the new keys.
        options.set_snapshot_consistency(false);
        let family = self.family(Family::Snapshot)?;
        let taken = self.db.ingest_external_file_cf_opts(family, &options, files.iter().collect());
        self.changed("taking a snapshot's tables in", taken)
    }

    /// Removes the table files that hold nothing but keys from `from` to `to`.
    pub(crate) fn drop_tables(&self, family: Family, from: &[u8], to: &[u8]) -> Result<()> {
        let dropped = self.db.delete_file_in_range_cf(self.family(family)?, from, to);
        self.changed("removing tables", dropped)
    }

    /// Whether table files are merged in the background. Those of snapshots never are: they are made whole and go whole.
    pub(crate) fn let_compact(&self, compact: bool) -> Result<()> {
        let disable = if compact { "false" } else { "true" };
        for family in Family::MERGED {
            let set = self.db.set_options_cf(self.family(family)?, &[("disable_auto_compactions", disable)]);
            self.changed("changing when tables are merged", set)?;
        }
        Ok(())
    }

    /// Merges all tables of a family before it returns, whether they are merged in the background or not. What of it fails is told by
    /// [`Database::background_errors`].
    pub(crate) fn merge_all(&self, family: Family) -> Result<()> {
        self.db.compact_range_cf(self.family(family)?, None::<&[u8]>, None::<&[u8]>);
        Ok(())
    }

    /// Whether somebody reads as of an earlier moment: what was there then outlives every merge.
    pub(crate) fn is_viewed(&self) -> bool {
        self.db.property_int_value(properties::NUM_SNAPSHOTS).ok().flatten() != Some(0)
    }

    /// Ends all that goes on in the background, and waits for it; nothing of it begins again.
    pub(crate) fn stop_merging(&self) {
        self.db.cancel_all_background_work(true);
    }

    /// Whether all files are on the disk as they are read back: no sync of one has failed, as far as RocksDB tells.
    pub(crate) fn is_synced(&self) -> bool {
        !self.in_doubt.load(Ordering::Acquire) && self.background_errors() == 0
    }

    fn changed(&self, during: &str, outcome: std::result::Result<(), rocksdb::Error>) -> Result<()> {
        outcome.map_err(|found| {
            self.in_doubt.store(true, Ordering::Release);
            error::writing(during, found)
        })
    }

    /// Bytes that are in memory and in RocksDB's log, and in no table file yet.
    pub(crate) fn unflushed_bytes(&self) -> u64 {
        self.sum(properties::CUR_SIZE_ALL_MEM_TABLES)
    }

    /// Bytes of table files that are live.
    pub(crate) fn table_bytes(&self) -> u64 {
        self.sum(properties::LIVE_SST_FILES_SIZE)
    }

    /// The same of those that are ever merged.
    pub(crate) fn merged_bytes(&self) -> u64 {
        self.sum_of(&Family::MERGED, properties::LIVE_SST_FILES_SIZE)
    }

    /// The same of the log's.
    pub(crate) fn log_table_bytes(&self) -> u64 {
        self.sum_of(&[Family::Log], properties::LIVE_SST_FILES_SIZE)
    }

    /// One of RocksDB's numbers, summed over the families.
    pub(crate) fn sum(&self, name: &properties::PropName) -> u64 {
        self.sum_of(&Family::COLUMNS, name)
    }

    fn sum_of(&self, families: &[Family], name: &properties::PropName) -> u64 {
        let of = |family: &Family| self.db.property_int_value_cf(self.family(*family).ok()?, name).ok()?;
        families.iter().filter_map(of).sum()
    }

    /// How many failures RocksDB holds against itself: of flushes and merges, and of writes to its log and its manifest.
    pub(crate) fn background_errors(&self) -> u64 {
        let of_jobs = self.db.property_int_value(properties::BACKGROUND_ERRORS).ok().flatten().unwrap_or(0);
        of_jobs.max(self.ticker(Ticker::ErrorHandlerBgErrorCount))
    }

    /// How long writes have waited for tables.
    pub(crate) fn stalled_microseconds(&self) -> u64 {
        self.stalls.load(Ordering::Relaxed).saturating_mul(u64::from(STALLED_FOR.subsec_micros()))
    }

    /// The number of the last change that was recovered or written.
    pub(crate) fn sequence(&self) -> u64 {
        self.db.latest_sequence_number()
    }

    /// One of RocksDB's counters.
    pub(crate) fn ticker(&self, ticker: Ticker) -> u64 {
        self.options.get_ticker_count(ticker)
    }
}

/// Everything of a family from `from` on, before `to`, as `view` sees it.
pub(crate) fn iterate_view<'a>(
    database: &'a Database,
    view: &'a View<'a>,
    family: Family,
    from: &[u8],
    to: &[u8],
) -> Result<DBRawIterator<'a>> {
    Ok(view.raw_iterator_cf_opt(database.family(family)?, bounded(from, to)))
}

#[expect(clippy::disallowed_methods, reason = "RocksDB has no event to wait for; the writer's own thread waits")]
fn pause() {
    std::thread::sleep(STALLED_FOR);
}

fn bounded(from: &[u8], to: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(from);
    options.set_iterate_upper_bound(to);
    // Ranges span whatever prefixes may be tuned.
    options.set_total_order_seek(true);
    options
}

fn database_options(path: &Path, options: &RocksOptions) -> Options {
    let mut database = Options::default();
    database.set_max_background_jobs(options.background_jobs);
    database.set_log_level(LogLevel::Warn);
    database.set_max_log_file_size(1 << 20);
    database.set_keep_log_file_num(2);
    database.set_stats_dump_period_sec(0);
    database.set_stats_persist_period_sec(0);
    // A large snapshot has thousands of tables; without a bound each of them would be held open.
    database.set_max_open_files(MAX_OPEN_FILES);
    if let Some(tune) = &options.tune {
        tune(Family::Database, &mut database);
    }
    // What the promises rest on, whatever was tuned.
    database.set_paranoid_checks(true);
    // They also count errors that nothing else tells of.
    database.enable_statistics();
    database.set_manifest_preallocation_size(MANIFEST_BYTES);
    database.set_manual_wal_flush(false);
    database.set_max_total_wal_size(4 * options.write_buffer_bytes as u64);
    // The log lies where it is judged, sealed and synced.
    database.set_wal_dir(path);
    // So do the tables.
    database.set_db_paths(&[]);
    database.set_recycle_log_file_num(0);
    database.set_enable_pipelined_write(false);
    database.set_unordered_write(false);
    database.set_use_fsync(false);
    database.set_wal_ttl_seconds(0);
    database.set_wal_size_limit_mb(0);
    database.set_wal_compression_type(DBCompressionType::None);
    database.set_track_and_verify_wals_in_manifest(true);
    // State and log move to tables together: no log of RocksDB's is kept for one of them alone.
    database.set_atomic_flush(true);
    // A torn tail was cut off before: whatever is left must verify.
    database.set_wal_recovery_mode(DBRecoveryMode::AbsoluteConsistency);
    database
}

fn families(options: &RocksOptions) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(options.block_cache_bytes);
    let columns = Family::COLUMNS
        .map(|family| ColumnFamilyDescriptor::new(family.name(), family_options(family, options, Some(&cache))));
    columns.into()
}

/// The options of one column family; without a cache for a table file that is being written.
pub(crate) fn family_options(family: Family, options: &RocksOptions, cache: Option<&Cache>) -> Options {
    let mut column = Options::default();
    column.set_compression_type(match options.compression {
        Compression::None => DBCompressionType::None,
        Compression::Lz4 => DBCompressionType::Lz4,
    });
    let mut table = BlockBasedOptions::default();
    match cache {
        Some(cache) => table.set_block_cache(cache),
        None => table.disable_cache(),
    }
    if family != Family::State {
        // The log is read in runs.
        table.set_block_size(16 << 10);
    }
    column.set_block_based_table_factory(&table);
    if let Some(tune) = &options.tune {
        tune(family, &mut column);
    }
    column.set_cf_paths(&[]);
    // Of another style RocksDB drops old tables by itself, and of values that change in place it gives no view.
    column.set_compaction_style(DBCompactionStyle::Level);
    column.set_inplace_update_support(false);
    // How long the log may get, and so the reserve, rests on it.
    column.set_write_buffer_size(options.write_buffer_bytes);
    column.set_level_zero_slowdown_writes_trigger(NO_STOP);
    column.set_level_zero_stop_writes_trigger(NO_STOP);
    column.set_soft_pending_compaction_bytes_limit(0);
    column.set_hard_pending_compaction_bytes_limit(0);
    // Until it is known that the disk has room for it.
    column.set_disable_auto_compactions(true);
    column
}
