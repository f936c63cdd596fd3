//! Who may read and write a store's files, and what is found in their place. The umask belongs to the whole process: this file is
//! one of its own, and its tests take turns.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests on real files"
)]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use eraft_conformance::make::{append, entries, keep, meta};
use eraft_core::{ClusterId, Expected, NodeId, Result, Storage, StorageErrorKind};
use eraft_storage_rocksdb::{RocksOptions, RocksStorage};
use futures_executor::block_on;
use rustix::fs::Mode;

static TURN: Mutex<()> = Mutex::new(());

fn options() -> RocksOptions {
    RocksOptions { write_buffer_bytes: 64 << 10, reserve_bytes: 4 << 20, ..RocksOptions::default() }
}

fn create(dir: &Path) {
    RocksStorage::create_with(dir, ClusterId(1), NodeId(1), options()).unwrap();
}

fn open(dir: &Path) -> Result<RocksStorage> {
    RocksStorage::open_with(dir, Expected::any(), options())
}

/// Saves, a table that they become, and a snapshot.
fn live(storage: &RocksStorage) {
    block_on(async {
        storage.save_raft_state(append(entries(1, 1, 9))).await.unwrap();
        let mut stage = storage.stage_snapshot(meta(1, 5)).await.unwrap();
        stage.write(Bytes::from(vec![7; 100_000])).await.unwrap();
        let staged = stage.finish().await.unwrap();
        storage.save_state_and_snapshot(keep(), staged).await.unwrap();
    });
}

/// Everything below a directory, itself included.
fn below(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    let mut at = 0;
    while let Some(path) = found.get(at).cloned() {
        if path.is_dir() {
            found.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        at += 1;
    }
    found
}

fn mode(path: &Path) -> Option<u32> {
    // RocksDB may have removed it since it was listed.
    fs::symlink_metadata(path).ok().map(|found| found.permissions().mode() & 0o7777)
}

#[test]
fn everything_is_for_its_owner_alone_under_any_umask_and_as_it_is_made() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    for (nth, umask) in [0o000, 0o022, 0o777].into_iter().enumerate() {
        let before = rustix::process::umask(Mode::from_raw_mode(umask));
        let store = dir.path().join(nth.to_string());
        create(&store);
        let storage = open(&store).unwrap();
        live(&storage);
        let check = |when: &str| {
            for path in below(&store) {
                let expected = if path.is_dir() { 0o700 } else { 0o600 };
                let found = mode(&path);
                assert!(
                    found.is_none_or(|found| found == expected),
                    "{when}, umask {umask:o}: {path:?} has {:o}",
                    found.unwrap_or(0)
                );
            }
        };
        check("in use");
        block_on(storage.close()).unwrap();
        check("closed");
        rustix::process::umask(before);
    }
    // A copy of a store may have lost what RocksDB's files were made by.
    let (store, copy) = (dir.path().join("0"), dir.path().join("copy"));
    fs::create_dir(&copy).unwrap();
    for path in below(&store).iter().skip(1) {
        let to = copy.join(path.strip_prefix(&store).unwrap());
        if path.is_dir() { fs::create_dir(&to) } else { fs::copy(path, &to).map(|_| ()) }.unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(if path.is_dir() { 0o700 } else { 0o644 })).unwrap();
    }
    let storage = open(&copy).unwrap();
    live_on(&storage);
    for path in below(&copy.join("db")).iter().skip(1) {
        assert!(mode(path).is_none_or(|found| found == 0o600), "{path:?}");
    }
}

fn live_on(storage: &RocksStorage) {
    block_on(storage.save_raft_state(append(entries(1, 10, 12)))).unwrap();
}

#[test]
fn what_others_may_write_to_is_refused() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    create(&store);
    for name in ["", "db", "staging"] {
        for others in [0o770, 0o702] {
            let path = store.join(name);
            fs::set_permissions(&path, fs::Permissions::from_mode(others)).unwrap();
            let error = open(&store).unwrap_err();
            assert!(error.kind() == StorageErrorKind::Io, "{error}");
            assert!(error.detail().contains(&format!("{others:o}")), "{error}");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
    }
    open(&store).unwrap();
}

#[test]
fn symbolic_links_are_not_followed() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let (store, away) = (dir.path().join("store"), dir.path().join("away"));
    create(&store);
    symlink(&store, dir.path().join("link")).unwrap();
    assert_eq!(open(&dir.path().join("link")).unwrap_err().kind(), StorageErrorKind::Io);
    let file_of_rocksdb =
        below(&store.join("db")).into_iter().find(|path| path.extension().is_some_and(|it| it == "sst"));
    for path in
        [store.join("STORE"), store.join("LOCK"), store.join("db/CURRENT"), file_of_rocksdb.unwrap(), store.join("db")]
    {
        fs::rename(&path, &away).unwrap();
        symlink(&away, &path).unwrap();
        let error = open(&store).unwrap_err();
        assert!(error.kind() == StorageErrorKind::Io, "{}: {error}", path.display());
        fs::remove_file(&path).unwrap();
        fs::rename(&away, &path).unwrap();
    }
    // Also where no seal tells that a file is gone.
    let strange = store.join("db/000099.log");
    fs::write(&away, "elsewhere").unwrap();
    symlink(&away, &strange).unwrap();
    assert!(open(&store).unwrap_err().detail().contains("000099.log"));
    assert_eq!(fs::read(&away).unwrap(), b"elsewhere");
}
