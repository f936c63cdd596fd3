//! What stands in a data directory, who may write there, and what is left alone.

use eraft_core::{EntryId, RaftStateUpdate, StorageErrorKind};
use eraft_storage_file::{
    FileEngine,
    fs::{FileKind, Fs},
};

use crate::support::*;

#[test]
fn files_that_are_not_ours_are_neither_read_nor_removed() {
    let disk = created(1);
    let foreign =
        ["state/notes.txt", "state/1.wal", "state/000000000000000A.wal", "snapshot/1-2.snap", "snapshot/x", "README"];
    for name in foreign {
        disk.plant_file(format!("{DIR}/{name}"), b"somebody's").unwrap();
    }
    let store = open(&disk);
    append_each(&store, 1, 1..40, 700);
    publish(&store, EntryId::new(1, 30), b"snapshot", compact(1, 30)).unwrap();
    close(&store);
    append_each(&open(&disk), 1, 40..42, 10);
    for name in foreign {
        assert_eq!(disk.read_file(format!("{DIR}/{name}")).unwrap(), b"somebody's", "{name}");
    }
}

#[test]
fn what_others_may_write_to_is_refused() {
    for name in ["", "state", "snapshot"] {
        let disk = created(1);
        disk.set_mode(std::path::Path::new(DIR).join(name), 0o770).unwrap();
        let error = try_open(&disk).unwrap_err();
        assert!(error.kind() == StorageErrorKind::Io && error.to_string().contains("770"), "{error}");
    }
}

#[test]
fn a_store_on_rocksdb_is_told_for_what_it_is() {
    let disk = created(1);
    for dir in ["/elsewhere", "/elsewhere/db", "/elsewhere/staging"] {
        disk.create_dir(std::path::Path::new(dir)).unwrap();
    }
    for name in ["LOCK", "STORE", "db/CURRENT"] {
        disk.plant_file(format!("/elsewhere/{name}"), b"somebody's").unwrap();
    }
    let error = FileEngine::open_with(seam(&disk), "/elsewhere", eraft_core::Expected::any(), options(1)).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Incompatible, "{error}");
    assert!(error.to_string().contains("rocksdb://"), "{error}");
}

#[test]
fn symbolic_links_are_not_followed() {
    let disk = created(1);
    disk.plant_symlink("/link").unwrap();
    let error = FileEngine::open_with(seam(&disk), "/link", eraft_core::Expected::any(), options(1)).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Io, "{error}");
    let first = format!("{DIR}/state/{}", segments(&disk)[0]);
    disk.uproot(&first).unwrap();
    disk.plant_symlink(&first).unwrap();
    assert_eq!(try_open(&disk).unwrap_err().kind(), StorageErrorKind::Corrupt);
}

#[test]
fn everything_is_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node");
    let real = std::sync::Arc::new(eraft_storage_file::fs::real::RealFs);
    FileEngine::create_with(real.clone(), &path, CLUSTER, NODE, options(1)).unwrap();
    let engine = FileEngine::open_with(real.clone(), &path, eraft_core::Expected::any(), options(1)).unwrap();
    let store = engine.group(eraft_core::GroupId(0)).unwrap();
    append_each(&store, 1, 1..40, 700);
    publish(&store, EntryId::new(1, 3), b"snapshot", RaftStateUpdate::default()).unwrap();
    let mut pending = vec![path];
    while let Some(path) = pending.pop() {
        let found = real.metadata(&path).unwrap();
        assert_eq!(found.mode, if found.kind == FileKind::Dir { 0o700 } else { 0o600 }, "{}", path.display());
        if found.kind == FileKind::Dir {
            pending.extend(real.read_dir(&path).unwrap().into_iter().map(|entry| path.join(entry.name)));
        }
    }
}

#[test]
fn a_directory_that_lost_its_log_or_its_lock_is_damaged_not_blank() {
    for name in ["LOCK", "state", "snapshot"] {
        let disk = created(1);
        disk.uproot(std::path::Path::new(DIR).join(name)).unwrap();
        let kind = try_open(&disk).unwrap_err().kind();
        assert!(kind == StorageErrorKind::Corrupt, "{name} is missing: {kind:?}");
    }
    let disk = created(1);
    disk.uproot(DIR).unwrap();
    disk.create_dir(std::path::Path::new(DIR)).unwrap();
    assert_eq!(try_open(&disk).unwrap_err().kind(), StorageErrorKind::NotInitialised, "an empty directory is no store");
}

#[test]
fn what_an_interrupted_creation_left_is_cleared_unless_it_is_at_work() {
    let disk = eraft_storage_file::fs::sim::SimFs::new(1);
    disk.cut_power_after(6);
    let create = || FileEngine::create_with(seam(&disk), DIR, CLUSTER, NODE, options(1));
    assert!(create().is_err());
    disk.crash_with(eraft_storage_file::fs::sim::Policy::KEEP);
    let lock = disk.lock(std::path::Path::new("/.node.creating/LOCK")).unwrap();
    assert_eq!(create().unwrap_err().kind(), StorageErrorKind::Locked);
    drop(lock);
    create().unwrap();
    assert_eq!(disk.read_dir(std::path::Path::new("/")).unwrap().len(), 1);
}
