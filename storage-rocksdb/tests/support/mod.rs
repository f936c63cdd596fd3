//! Stores whose files are looked at, and copied as a kill leaves them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use eraft_core::{ClusterId, Expected, NodeId, Result};
use eraft_storage_kit::GroupCommitOptions;
use eraft_storage_rocksdb::{RocksOptions, RocksStorage};

/// Without idle moments, and so without marks: what happens is what a test asks for, and the last record of the log is the
/// last save's.
pub(crate) fn options() -> RocksOptions {
    let commit = GroupCommitOptions { idle_after: None, ..GroupCommitOptions::default() };
    RocksOptions { commit, write_buffer_bytes: 1 << 20, reserve_bytes: 8 << 20, ..RocksOptions::default() }
}

pub(crate) fn open(dir: &Path) -> Result<RocksStorage> {
    RocksStorage::open_with(dir, Expected::any(), options())
}

/// A new store, open.
pub(crate) fn blank(dir: &Path) -> RocksStorage {
    RocksStorage::create_with(dir, ClusterId(1), NodeId(1), options()).unwrap();
    open(dir).unwrap()
}

/// A copy of a store in use: what a kill leaves of it. RocksDB may remove a file meanwhile that says nothing of the data.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else if !path.ends_with("RESERVE")
            && let Err(error) = fs::copy(&path, to)
        {
            let name = path.file_name().unwrap().to_str().unwrap();
            let passing = name.starts_with("OPTIONS-") || name.starts_with("LOG.old") || name.ends_with(".dbtmp");
            assert!(passing && error.kind() == std::io::ErrorKind::NotFound, "{name}: {error}");
        }
    }
}

/// The files of the database whose names begin and end so, in the order of their names.
pub(crate) fn files(store: &Path, begins: &str, ends: &str) -> Vec<PathBuf> {
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(begins) && name.ends_with(ends)
    };
    let names = fs::read_dir(store.join("db")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = names.filter(ours).collect();
    files.sort();
    files
}
