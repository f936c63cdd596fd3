//! The simulated disk: what it may take away at a crash, and what it must not. Each sentence of its documentation is a
//! test, and what is left to chance is searched for until it has been seen.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod contents;
mod damage;
mod faults;
mod names;

use std::{collections::BTreeSet, fmt::Debug, path::Path};

use eraft_storage_file::fs::{Fs, FsFile, sim::SimFs};

/// A disk with one durable, empty file `/f`.
fn disk_with_file(seed: u64) -> (SimFs, Box<dyn FsFile>) {
    let disk = SimFs::new(seed);
    let file = create(&disk, "/f");
    disk.sync_dir(Path::new("/")).unwrap();
    (disk, file)
}

fn create(disk: &SimFs, path: &str) -> Box<dyn FsFile> {
    disk.create_file(Path::new(path)).unwrap()
}

fn sync_dir(disk: &SimFs, path: &str) {
    disk.sync_dir(Path::new(path)).unwrap();
}

fn rename(disk: &SimFs, from: &str, to: &str) {
    disk.rename(Path::new(from), Path::new(to)).unwrap();
}

fn remove(disk: &SimFs, path: &str) {
    disk.remove_file(Path::new(path)).unwrap();
}

fn write(file: &dyn FsFile, bytes: &[u8], offset: u64) {
    eraft_storage_file::fs::write_all_at(file, bytes, offset).unwrap();
}

/// The first byte of a file, if there is one of that name.
fn first_byte(disk: &SimFs, path: &str) -> Option<u8> {
    disk.read_file(path).ok().and_then(|bytes| bytes.first().copied())
}

/// Everything that crashes of this disk may leave, seen through `look`.
fn outcomes<T: Ord + Debug>(disk: &SimFs, look: impl Fn(&SimFs) -> T) -> BTreeSet<T> {
    (0..400)
        .map(|seed| {
            let fork = disk.fork(seed);
            fork.crash();
            look(&fork)
        })
        .collect()
}
