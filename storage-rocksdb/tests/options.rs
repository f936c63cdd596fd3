//! What can be chosen, and what stays whatever was chosen; and that what nobody needs any more goes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests on real files"
)]

use std::{fs, path::Path, sync::Arc};

use bytes::Bytes;
use eraft_conformance::make::{append, entries, keep, meta};
use eraft_core::{ClusterId, Expected, LogIndex, NodeId, Storage, StorageErrorKind};
use eraft_storage_kit::GroupCommitOptions;
use eraft_storage_rocksdb::{
    Family, RocksOptions, RocksStorage, Tune,
    rocksdb::{DBCompactionStyle, DBCompressionType, DBPath, DBRecoveryMode, SliceTransform},
};
use futures_executor::block_on;
use futures_util::StreamExt as _;

fn options(tune: Option<Tune>) -> RocksOptions {
    RocksOptions { write_buffer_bytes: 64 << 10, reserve_bytes: 4 << 20, tune, ..RocksOptions::default() }
}

/// A store that has taken a save, and is open.
fn store(dir: &Path, tune: Option<Tune>) -> RocksStorage {
    RocksStorage::create_with(dir, ClusterId(1), NodeId(1), options(tune.clone())).unwrap();
    let storage = RocksStorage::open_with(dir, Expected::any(), options(tune)).unwrap();
    block_on(storage.save_raft_state(append(entries(1, 1, 9)))).unwrap();
    storage
}

fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// How many files of the database end so.
fn count(dir: &Path, suffix: &str) -> usize {
    names(&dir.join("db")).iter().filter(|name| name.ends_with(suffix)).count()
}

/// What RocksDB says it was opened with last.
fn opened_with(dir: &Path) -> String {
    let last = names(&dir.join("db")).into_iter().filter(|name| name.starts_with("OPTIONS-")).max().unwrap();
    fs::read_to_string(dir.join("db").join(last)).unwrap()
}

const KEPT: [&str; 10] = [
    "paranoid_checks=true",
    "manual_wal_flush=false",
    "recycle_log_file_num=0",
    "enable_pipelined_write=false",
    "unordered_write=false",
    "wal_compression=kNoCompression",
    "track_and_verify_wals_in_manifest=true",
    "atomic_flush=true",
    "wal_recovery_mode=kAbsoluteConsistency",
    "disable_auto_compactions=",
];

const TAKEN_BACK: [&str; 4] = [
    "compaction_style=kCompactionStyleFIFO",
    "inplace_update_support=true",
    "write_buffer_size=536870912",
    "max_total_wal_size=1099511627776",
];

#[test]
fn what_the_promises_rest_on_stays_whatever_was_tuned() {
    let dir = tempfile::tempdir().unwrap();
    let (path, elsewhere) = (dir.path().join("store"), dir.path().join("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    let away = elsewhere.clone();
    let storage = store(
        &path,
        Some(Arc::new(move |family, tuned| {
            if family != Family::Database {
                tuned.set_cf_paths(&[DBPath::new(&away, 1 << 30).unwrap()]);
                tuned.set_compaction_style(DBCompactionStyle::Fifo);
                tuned.set_inplace_update_support(true);
                tuned.set_write_buffer_size(1 << 29);
                return;
            }
            tuned.set_db_paths(&[DBPath::new(&away, 1 << 30).unwrap()]);
            tuned.set_wal_dir(&away);
            tuned.set_paranoid_checks(false);
            tuned.set_manual_wal_flush(true);
            tuned.set_recycle_log_file_num(4);
            tuned.set_enable_pipelined_write(true);
            tuned.set_unordered_write(true);
            tuned.set_wal_compression_type(DBCompressionType::Zstd);
            tuned.set_track_and_verify_wals_in_manifest(false);
            tuned.set_atomic_flush(false);
            tuned.set_wal_recovery_mode(DBRecoveryMode::SkipAnyCorruptedRecord);
            tuned.set_max_total_wal_size(1 << 40);
            tuned.set_max_open_files(40);
        })),
    );
    let found = opened_with(&path);
    let missing: Vec<_> = KEPT.into_iter().filter(|line| !found.contains(&format!("  {line}"))).collect();
    assert!(missing.is_empty(), "{missing:?} in {found}");
    let kept: Vec<_> = TAKEN_BACK.into_iter().filter(|line| found.contains(&format!("  {line}"))).collect();
    assert!(kept.is_empty(), "{kept:?} in {found}");
    assert!(found.contains("  max_open_files=40\n"), "what is a matter of speed can be tuned");
    assert!(count(&path, ".log") > 0);
    block_on(storage.close()).unwrap();
    assert!(count(&path, ".sst") > 0);
    let lost = names(&elsewhere);
    assert_eq!(lost, Vec::<String>::new(), "RocksDB's log and tables lie where they are judged, sealed and synced");
}

#[test]
fn options_out_of_their_bounds_are_refused_with_the_bound_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let (path, there) = (dir.path().join("store"), dir.path().join("there"));
    RocksStorage::create_with(&there, ClusterId(1), NodeId(1), options(None)).unwrap();
    let (least, most_reserve, most_batch) = (6 * (64 << 10) + (2 << 20), 1_u64 << 50, 256_u64 << 20);
    let with_batch = |max_batch_bytes| GroupCommitOptions { max_batch_bytes, ..GroupCommitOptions::default() };
    let wrong = [
        ("write_buffer_bytes is 65535; expected 65536 to", RocksOptions { write_buffer_bytes: 65535, ..options(None) }),
        ("expected 65536 to 1073741824", RocksOptions { write_buffer_bytes: (1 << 30) + 1, ..options(None) }),
        ("expected 2490368 at least", RocksOptions { reserve_bytes: least - 1, ..options(None) }),
        ("expected 1125899906842624 at most", RocksOptions { reserve_bytes: most_reserve + 1, ..options(None) }),
        ("expected 268435456 at most", RocksOptions { commit: with_batch(most_batch + 1), ..options(None) }),
        ("background_jobs is 1; expected 2 at least", RocksOptions { background_jobs: 1, ..options(None) }),
    ];
    for (expected, wrong) in wrong {
        let created = RocksStorage::create_with(&path, ClusterId(1), NodeId(1), wrong.clone()).map(drop);
        let opened = RocksStorage::open_with(&there, Expected::any(), wrong).map(drop);
        for refused in [created, opened] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), StorageErrorKind::Invalid, "{error}");
            assert!(error.to_string().contains(expected), "{error}; expected {expected}");
        }
        assert!(!path.exists());
    }
    // All of them at the bound.
    let bounds = RocksOptions { reserve_bytes: most_reserve, commit: with_batch(most_batch), ..options(None) };
    for right in [RocksOptions { reserve_bytes: least, background_jobs: 2, ..options(None) }, bounds] {
        block_on(RocksStorage::open_with(&there, Expected::any(), right).unwrap().close()).unwrap();
    }
}

#[test]
fn rocksdb_holds_a_bounded_number_of_files_open() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let _open = store(&path, None);
    assert!(opened_with(&path).contains("  max_open_files=64\n"));
}

#[test]
fn a_store_reads_the_same_with_and_without_prefixes_that_its_tables_were_made_with() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let prefixed: Tune = Arc::new(|family, tuned| {
        if matches!(family, Family::Log | Family::Snapshot) {
            tuned.set_prefix_extractor(SliceTransform::create_fixed_prefix(8));
        }
    });
    let storage = store(&path, Some(Arc::clone(&prefixed)));
    block_on(async {
        let mut stage = storage.stage_snapshot(meta(1, 5)).await.unwrap();
        stage.write(Bytes::from(vec![7; 200_000])).await.unwrap();
        let staged = stage.finish().await.unwrap();
        storage.save_state_and_snapshot(keep(), staged).await.unwrap();
        storage.close().await.unwrap();
    });
    for (nth, tune) in [None, Some(prefixed), None].into_iter().enumerate() {
        let storage = RocksStorage::open_with(&path, Expected::any(), options(tune)).unwrap();
        let last = 10 + nth as u64;
        block_on(async {
            storage.save_raft_state(append(entries(1, last, last))).await.unwrap();
            let read = storage.read_entries(LogIndex(1)..LogIndex(last + 1), u64::MAX).await.unwrap();
            assert_eq!(read, entries(1, 1, last));
            let reader = storage.read_snapshot().await.unwrap().unwrap();
            let chunks: Vec<_> = reader.chunks.map(|chunk| chunk.unwrap()).collect().await;
            assert!(chunks.concat() == vec![7; 200_000]);
            storage.close().await.unwrap();
        });
    }
}

#[test]
fn a_discarded_snapshot_goes_with_the_next_save() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let storage = store(&path, None);
    let before = count(&path, ".sst");
    let staged = block_on(async {
        let mut stage = storage.stage_snapshot(meta(1, 5)).await.unwrap();
        stage.write(Bytes::from(vec![7; 200_000])).await.unwrap();
        stage.finish().await.unwrap()
    });
    assert_eq!((count(&path, ".sst"), names(&path.join("staging")).len()), (before + 1, 0), "its table is RocksDB's");
    block_on(storage.discard_snapshot(staged)).unwrap();
    block_on(storage.save_raft_state(append(entries(1, 10, 10)))).unwrap();
    assert_eq!(count(&path, ".sst"), before);
}
