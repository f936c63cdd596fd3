//! What the writer thread tells of itself: how much it saves, how long that takes, and what waits for it.
//!
//! Times are told of saves that are durable, never of those that failed.

use eraft_core::NodeId;
use eraft_metrics_kit::{Counter, Gauge, Histogram, Labels, Metric, Stopwatch, Unit};

const BATCHES: Metric = Metric::counter("eraft_storage_batches_total", Unit::Count, "Batches made durable.");
const SAVES: Metric = Metric::counter("eraft_storage_saves_total", Unit::Count, "Saves made durable.");
const SAVED_BYTES: Metric =
    Metric::counter("eraft_storage_saved_bytes_total", Unit::Bytes, "Bytes of the saves made durable.");
const BATCH_SAVES: Metric =
    Metric::histogram("eraft_storage_batch_saves", Unit::Count, "Saves in a batch that was made durable.");
const SAVE_SECONDS: Metric =
    Metric::histogram("eraft_storage_save_seconds", Unit::Seconds, "From the call of a save to its receipt.");
const COMMIT_SECONDS: Metric = Metric::histogram(
    "eraft_storage_commit_seconds",
    Unit::Seconds,
    "Making a batch durable: encoding, writing and syncing.",
);
const QUEUED_SAVES: Metric =
    Metric::gauge("eraft_storage_queued_saves", Unit::Count, "Saves that are queued or being committed.");
const QUEUED_BYTES: Metric =
    Metric::gauge("eraft_storage_queued_bytes", Unit::Bytes, "Bytes of saves that are queued or being committed.");
const POISONED: Metric = Metric::gauge(
    "eraft_storage_poisoned",
    Unit::Count,
    "1 once a save has failed: nothing is saved any more until the store is opened again.",
);

/// Every metric of this crate.
pub fn metrics() -> Vec<Metric> {
    vec![BATCHES, SAVES, SAVED_BYTES, BATCH_SAVES, SAVE_SECONDS, COMMIT_SECONDS, QUEUED_SAVES, QUEUED_BYTES, POISONED]
}

/// The handles of one engine.
#[derive(Debug)]
pub(crate) struct Told {
    batches: Counter,
    saves: Counter,
    saved_bytes: Counter,
    batch_saves: Histogram,
    save_seconds: Histogram,
    commit_seconds: Histogram,
    queued_saves: Gauge,
    queued_bytes: Gauge,
    poisoned: Gauge,
}

impl Told {
    pub(crate) fn new(node: NodeId) -> Told {
        let labels = Labels::of_node(node);
        let poisoned = POISONED.gauge_of(&labels);
        poisoned.set(0);
        Told {
            batches: BATCHES.counter_of(&labels),
            saves: SAVES.counter_of(&labels),
            saved_bytes: SAVED_BYTES.counter_of(&labels),
            batch_saves: BATCH_SAVES.histogram_of(&labels),
            save_seconds: SAVE_SECONDS.histogram_of(&labels),
            commit_seconds: COMMIT_SECONDS.histogram_of(&labels),
            queued_saves: QUEUED_SAVES.gauge_of(&labels),
            queued_bytes: QUEUED_BYTES.gauge_of(&labels),
            poisoned,
        }
    }

    pub(crate) fn queued(&self, saves: u64, bytes: u64) {
        self.queued_saves.increment(saves as f64);
        self.queued_bytes.increment(bytes as f64);
    }

    pub(crate) fn taken_off(&self, saves: u64, bytes: u64) {
        self.queued_saves.decrement(saves as f64);
        self.queued_bytes.decrement(bytes as f64);
    }

    /// A batch is durable whose commit was `begun` then, and whose saves were `called` for.
    pub(crate) fn committed(&self, saves: u64, bytes: u64, begun: Stopwatch, called: &[Stopwatch]) {
        self.batches.increment(1);
        self.saves.increment(saves);
        self.saved_bytes.increment(bytes);
        self.batch_saves.record(saves as f64);
        self.commit_seconds.record(begun.elapsed());
        for call in called {
            self.save_seconds.record(call.elapsed());
        }
    }

    pub(crate) fn poisoned(&self) {
        self.poisoned.set(1);
    }
}
