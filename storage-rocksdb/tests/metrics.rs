//! What an operator sees of RocksDB: how much is in memory, in tables and in the log, and what it wrote and synced.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{collections::BTreeMap, path::Path};

use eraft_conformance::make::{append, entries};
use eraft_core::{ClusterId, Expected, NodeId, Storage as _};
use eraft_storage_rocksdb::{RocksOptions, RocksStorage};
use futures_executor::block_on;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

/// Every metric by its name. A counter is what was added since the last look.
fn told(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let number = |value| match value {
        DebugValue::Counter(count) => count as f64,
        DebugValue::Gauge(level) => level.into_inner(),
        DebugValue::Histogram(found) => found.len() as f64,
    };
    let all = snapshotter.snapshot().into_vec().into_iter();
    all.map(|(key, _, _, value)| (key.key().name().to_owned(), number(value))).collect()
}

/// Small enough for any machine.
fn options() -> RocksOptions {
    RocksOptions { write_buffer_bytes: 1 << 20, reserve_bytes: 8 << 20, ..RocksOptions::default() }
}

fn open(dir: &Path) -> RocksStorage {
    RocksStorage::open_with(dir, Expected::any(), options()).unwrap()
}

#[test]
fn what_rocksdb_counts_is_told_with_each_save() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _here = metrics::set_default_local_recorder(&recorder);
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    RocksStorage::create_with(&dir, ClusterId(1), NodeId(1), options()).unwrap();
    let store = open(&dir);
    told(&snapshotter);
    for index in 1..=9 {
        block_on(store.save_raft_state(append(entries(1, index, index)))).unwrap();
    }
    let found = told(&snapshotter);
    for metric in eraft_storage_rocksdb::metrics() {
        assert!(found.contains_key(metric.name), "{} is not told: {found:?}", metric.name);
    }
    let of = |name: &str| found[&format!("eraft_rocksdb_{name}")];
    // What is told with a save was counted before it.
    assert!(of("log_syncs_total") >= 8.0, "{found:?}");
    assert!(of("log_bytes_total") >= 8.0 * 50.0, "{found:?}");
    assert!(of("unflushed_bytes") > 0.0, "{found:?}");
    block_on(store.close()).unwrap();

    let store = open(&dir);
    block_on(store.save_raft_state(append(entries(1, 10, 10)))).unwrap();
    assert!(told(&snapshotter)["eraft_rocksdb_table_bytes"] > 0.0, "what was closed is in tables");
    block_on(store.close()).unwrap();
}
