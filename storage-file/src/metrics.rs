//! What the files of an engine tell: how long syncs take, which fail, and how much is written.
//!
//! Times are told of syncs that succeeded. What happens while a store is opened is not told: whose it is, is known after.

use std::io;

use eraft_core::NodeId;
use eraft_metrics_kit::{Counter, Histogram, Labels, Metric, Stopwatch, Unit};

const SYNC_SECONDS: Metric = Metric::histogram(
    "eraft_storage_sync_seconds",
    Unit::Seconds,
    "One sync that succeeded, of a file or of a directory (label what).",
);
const SYNC_FAILURES: Metric =
    Metric::counter("eraft_storage_sync_failures_total", Unit::Count, "Syncs that failed; none is tried again.");
const WRITTEN_BYTES: Metric = Metric::counter(
    "eraft_storage_written_bytes_total",
    Unit::Bytes,
    "Bytes written to files: the log with its padding, filled segments, and snapshots.",
);

/// Every metric of this backend, its writer thread's among them.
pub fn metrics() -> Vec<Metric> {
    [eraft_storage_kit::metrics(), vec![SYNC_SECONDS, SYNC_FAILURES, WRITTEN_BYTES]].concat()
}

/// The handles of one engine.
#[derive(Debug)]
pub(crate) struct Told {
    file_sync_seconds: Histogram,
    dir_sync_seconds: Histogram,
    sync_failures: Counter,
    written_bytes: Counter,
}

impl Told {
    pub(crate) fn new(node: NodeId) -> Told {
        let labels = Labels::of_node(node);
        Told {
            file_sync_seconds: SYNC_SECONDS.histogram_of(&labels.with("what", "file")),
            dir_sync_seconds: SYNC_SECONDS.histogram_of(&labels.with("what", "directory")),
            sync_failures: SYNC_FAILURES.counter_of(&labels),
            written_bytes: WRITTEN_BYTES.counter_of(&labels),
        }
    }

    pub(crate) fn file_synced(&self, begun: Stopwatch, outcome: &io::Result<()>) {
        self.synced(&self.file_sync_seconds, begun, outcome);
    }

    pub(crate) fn dir_synced(&self, begun: Stopwatch, outcome: &io::Result<()>) {
        self.synced(&self.dir_sync_seconds, begun, outcome);
    }

    pub(crate) fn written(&self, outcome: &io::Result<usize>) {
        if let Ok(bytes) = outcome {
            self.written_bytes.increment(*bytes as u64);
        }
    }

    fn synced(&self, seconds: &Histogram, begun: Stopwatch, outcome: &io::Result<()>) {
        match outcome {
            Ok(()) => seconds.record(begun.elapsed()),
            Err(_) => self.sync_failures.increment(1),
        }
    }
}
