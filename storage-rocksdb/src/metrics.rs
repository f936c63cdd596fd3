//! What RocksDB tells of itself, as metrics of this store.

use eraft_core::NodeId;
use eraft_metrics_kit::{Counter, Gauge, Labels, Metric, Rising, Unit};
use rocksdb::{properties, statistics::Ticker};

use crate::database::Database;

const UNFLUSHED_BYTES: Metric = Metric::gauge(
    "eraft_rocksdb_unflushed_bytes",
    Unit::Bytes,
    "Bytes in RocksDB's memory and log that are in no table file yet.",
);
const TABLE_BYTES: Metric =
    Metric::gauge("eraft_rocksdb_table_bytes", Unit::Bytes, "Bytes of RocksDB's live table files.");
const PENDING_COMPACTION_BYTES: Metric = Metric::gauge(
    "eraft_rocksdb_pending_compaction_bytes",
    Unit::Bytes,
    "Bytes that RocksDB estimates it has to merge.",
);
const LOG_BYTES: Metric =
    Metric::counter("eraft_rocksdb_log_bytes_total", Unit::Bytes, "Bytes written to RocksDB's log.");
const LOG_SYNCS: Metric = Metric::counter("eraft_rocksdb_log_syncs_total", Unit::Count, "Syncs of RocksDB's log.");
const FLUSHED_BYTES: Metric =
    Metric::counter("eraft_rocksdb_flushed_bytes_total", Unit::Bytes, "Bytes flushed from memory to table files.");
const COMPACTED_BYTES: Metric =
    Metric::counter("eraft_rocksdb_compacted_bytes_total", Unit::Bytes, "Bytes written by merging table files.");
const STALL_MICROSECONDS: Metric = Metric::counter(
    "eraft_rocksdb_stall_microseconds_total",
    Unit::Microseconds,
    "How long writes waited for RocksDB to flush.",
);
const CACHE_HITS: Metric =
    Metric::counter("eraft_rocksdb_cache_hits_total", Unit::Count, "Blocks of tables found in memory.");
const CACHE_MISSES: Metric =
    Metric::counter("eraft_rocksdb_cache_misses_total", Unit::Count, "Blocks of tables read from the disk.");

/// Every metric of this backend, its writer thread's among them.
pub fn metrics() -> Vec<Metric> {
    let own = vec![
        UNFLUSHED_BYTES,
        TABLE_BYTES,
        PENDING_COMPACTION_BYTES,
        LOG_BYTES,
        LOG_SYNCS,
        FLUSHED_BYTES,
        COMPACTED_BYTES,
        STALL_MICROSECONDS,
        CACHE_HITS,
        CACHE_MISSES,
    ];
    [eraft_storage_kit::metrics(), own].concat()
}

/// The handles of one engine.
#[derive(Debug)]
pub(crate) struct Told {
    unflushed_bytes: Gauge,
    table_bytes: Gauge,
    pending_compaction_bytes: Gauge,
    stall_microseconds: Rising,
    counters: [(Ticker, Rising); 6],
}

impl Told {
    pub(crate) fn new(node: NodeId) -> Told {
        let labels = Labels::of_node(node);
        let rising = |metric: Metric| Rising::new(counter(metric, &labels));
        Told {
            unflushed_bytes: UNFLUSHED_BYTES.gauge_of(&labels),
            table_bytes: TABLE_BYTES.gauge_of(&labels),
            pending_compaction_bytes: PENDING_COMPACTION_BYTES.gauge_of(&labels),
            stall_microseconds: rising(STALL_MICROSECONDS),
            counters: [
                (Ticker::WalFileBytes, rising(LOG_BYTES)),
                (Ticker::WalFileSynced, rising(LOG_SYNCS)),
                (Ticker::FlushWriteBytes, rising(FLUSHED_BYTES)),
                (Ticker::CompactWriteBytes, rising(COMPACTED_BYTES)),
                (Ticker::BlockCacheHit, rising(CACHE_HITS)),
                (Ticker::BlockCacheMiss, rising(CACHE_MISSES)),
            ],
        }
    }

    /// Tells what RocksDB counts by now.
    pub(crate) fn tell(&mut self, database: &Database) {
        self.unflushed_bytes.set(database.unflushed_bytes() as f64);
        self.table_bytes.set(database.table_bytes() as f64);
        self.pending_compaction_bytes.set(database.sum(properties::ESTIMATE_PENDING_COMPACTION_BYTES) as f64);
        self.stall_microseconds.rise_to(database.stalled_microseconds());
        for (ticker, rising) in &mut self.counters {
            rising.rise_to(database.ticker(*ticker));
        }
    }
}

fn counter(metric: Metric, labels: &Labels) -> Counter {
    metric.counter_of(labels)
}
