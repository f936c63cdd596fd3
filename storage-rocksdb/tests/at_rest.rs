//! Damage while nobody looks: a closed store on RocksDB, damaged place by place. Each damage is told, naming the file and the
//! offset; or the same content is read.
//!
//! By default a part of the places, chosen by the seed, is damaged; `ERAFT_LONG=1` damages every one.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test on real files"
)]

use std::path::{Path, PathBuf};

use eraft_conformance::{
    Engine,
    at_rest::{Class, Plan, Store, run},
};
use eraft_core::{ClusterId, Expected, Identity, NodeId, Result};
use eraft_storage_kit::GroupCommitOptions;
use eraft_storage_rocksdb::{RocksEngine, RocksOptions};

/// An opening of RocksDB takes some ten milliseconds.
const ONE_OF: u64 = 64;

/// Stores with small write buffers, and a small reserve.
struct Rocks;

fn options(seed: Option<u64>) -> RocksOptions {
    RocksOptions {
        write_buffer_bytes: 64 << 10,
        reserve_bytes: 4 << 20,
        commit: GroupCommitOptions { idle_after: None, ..GroupCommitOptions::default() },
        seed,
        ..RocksOptions::default()
    }
}

fn name(file: &Path) -> &str {
    file.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

impl Store for Rocks {
    fn create(&self, dir: &Path, cluster: ClusterId, node: NodeId, seed: u64) -> Result<Identity> {
        RocksEngine::create_with(dir, cluster, node, options(Some(seed)))
    }

    fn open(&self, dir: &Path, expected: Expected) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Open(RocksEngine::open_with(dir, expected, options(Some(1)))?)))
    }

    /// RocksDB begins a manifest and a log at every opening, and reads most blocks only when they are asked for.
    fn leaves_files_alone(&self) -> bool {
        false
    }

    /// Neither what RocksDB tells the operator, nor what it was opened with, nor room.
    fn holds_data(&self, file: &Path) -> bool {
        let name = name(file);
        !(name == "RESERVE" || name == "LOG" || name.starts_with("LOG.old.") || name.starts_with("OPTIONS-"))
    }

    /// Whatever was written last is sealed.
    fn tail(&self, _: &[PathBuf]) -> Option<PathBuf> {
        None
    }

    /// The files before and after, and far after.
    fn other_names(&self, file: &Path) -> Vec<PathBuf> {
        let name = name(file);
        let (prefix, rest) =
            if let Some(rest) = name.strip_prefix("MANIFEST-") { ("MANIFEST-", rest) } else { ("", name) };
        let (digits, suffix) = rest.split_once('.').map_or((rest, ""), |(digits, _)| (digits, &rest[digits.len()..]));
        let Ok(number) = digits.parse::<u64>() else { return Vec::new() };
        let others = [number - 1, number + 1, number + 2, number + 1000];
        others.map(|number| file.with_file_name(format!("{prefix}{number:06}{suffix}"))).to_vec()
    }
}

eraft_conformance::engine!(Open(RocksEngine));

#[test]
fn whatever_is_damaged_is_told_or_harmless() {
    let memory = Path::new("/dev/shm");
    let root = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let plan = Plan::from_env(ONE_OF);
    let report = run(&Rocks, root.path(), &plan);
    println!("{report}");
    assert_eq!(report.wrong(), 0, "{report}");
    if plan.only.is_some() {
        return;
    }
    assert!(report.files >= 6 && report.total() > 1000, "too little was damaged: {report}");
    for class in Class::ALL {
        let of = report.of(class);
        assert_eq!(of.rolled_back, 0, "{class}: {report}");
        // There are few blocks in so small files, and a part of the places may have none of them.
        let few = matches!(class, Class::BlocksSwapped | Class::BlocksSwappedBetweenFiles) && plan.one_of > 1;
        assert!(of.refused > 0 || few || class == Class::StaleTail, "nothing was told of: {class}: {report}");
    }
}
