//! What an engine tells of its saves and syncs: times of those that succeeded, and failures by themselves.

use std::collections::BTreeMap;

use eraft_storage_file::fs::sim::{Call, Fault};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::support::{append, created, open, save};

/// What was told since it was last asked: the values of counters and gauges, and how often histograms were.
fn told(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let told = snapshotter.snapshot().into_vec().into_iter().map(|(key, _, _, value)| {
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(samples) => samples.len() as f64,
        };
        (key.key().name().to_owned(), value)
    });
    told.fold(BTreeMap::new(), |mut sums, (name, value)| {
        *sums.entry(name).or_default() += value;
        sums
    })
}

#[test]
fn a_failed_sync_is_told_as_a_failure_and_never_as_a_time() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let disk = created(1);
    let store = metrics::with_local_recorder(&recorder, || open(&disk));

    save(&store, append(1, 1..2, 100)).unwrap();
    let good = told(&snapshotter);
    assert_eq!(good["eraft_storage_sync_seconds"], 1.0, "{good:?}");
    assert_eq!((good["eraft_storage_save_seconds"], good["eraft_storage_commit_seconds"]), (1.0, 1.0));
    assert_eq!((good["eraft_storage_saves_total"], good["eraft_storage_batches_total"]), (1.0, 1.0));
    assert_eq!(good["eraft_storage_written_bytes_total"], 512.0, "one frame in one sector");
    assert_eq!((good["eraft_storage_poisoned"], good["eraft_storage_sync_failures_total"]), (0.0, 0.0));

    disk.fail_nth(Call::SyncData, 1, Fault::Io);
    save(&store, append(1, 2..3, 100)).unwrap_err();
    save(&store, append(1, 2..3, 100)).unwrap_err();
    let bad = told(&snapshotter);
    assert_eq!(bad["eraft_storage_sync_failures_total"], 1.0, "{bad:?}");
    for time in ["sync", "save", "commit"] {
        assert_eq!(bad[&format!("eraft_storage_{time}_seconds")], 0.0, "nothing took any time that came to nothing");
    }
    assert_eq!(bad["eraft_storage_poisoned"], 1.0);
    assert_eq!((bad["eraft_storage_queued_saves"], bad["eraft_storage_queued_bytes"]), (0.0, 0.0));
}
