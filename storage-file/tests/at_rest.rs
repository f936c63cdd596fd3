//! Damage while nobody looks: a closed store of files on the real disk, damaged place by place. Each damage is told, naming the
//! file and the offset, and then nothing is changed; or the same content is read.
//!
//! By default a sixteenth of the places, chosen by the seed, is damaged; `ERAFT_LONG=1` damages every one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test on real files"
)]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use eraft_conformance::{
    Engine,
    at_rest::{Class, Plan, Store, run},
};
use eraft_core::{ClusterId, Expected, Identity, NodeId, Result};
use eraft_storage_file::{FileEngine, FileOptions, fs::real::RealFs};
use eraft_storage_kit::GroupCommitOptions;

const ONE_OF: u64 = 16;

/// Stores in small segments, that take a few frames and marks each.
struct Files;

fn options(seed: Option<u64>) -> FileOptions {
    FileOptions {
        segment_bytes: 32 * 1024,
        commit: GroupCommitOptions { idle_after: None, ..GroupCommitOptions::default() },
        seed,
    }
}

impl Store for Files {
    fn create(&self, dir: &Path, cluster: ClusterId, node: NodeId, seed: u64) -> Result<Identity> {
        FileEngine::create_with(Arc::new(RealFs), dir, cluster, node, options(Some(seed)))
    }

    fn open(&self, dir: &Path, expected: Expected) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Open(FileEngine::open_with(Arc::new(RealFs), dir, expected, options(Some(1)))?)))
    }

    fn leaves_files_alone(&self) -> bool {
        true
    }

    fn holds_data(&self, _: &Path) -> bool {
        true
    }

    fn tail(&self, files: &[PathBuf]) -> Option<PathBuf> {
        files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "wal")).max().cloned()
    }

    /// The segments before and after, and far after; a snapshot of another entry, and another one of the same.
    fn other_names(&self, file: &Path) -> Vec<PathBuf> {
        let (Some(stem), Some(extension)) = (file.file_stem().and_then(|stem| stem.to_str()), file.extension()) else {
            return Vec::new();
        };
        let names: Vec<String> = if extension == "wal" {
            let number = u64::from_str_radix(stem, 16).unwrap();
            [number - 1, number + 1, number + 2, number + 1000].map(|number| format!("{number:016x}")).to_vec()
        } else {
            let parts: Vec<&str> = stem.splitn(3, '-').collect();
            let [term, index, id] = parts[..] else { panic!("a snapshot's name: {stem}") };
            let other: String = id.chars().rev().collect();
            vec![format!("{term}-{index}-{other}"), format!("{term}-{}-{id}", index.parse::<u64>().unwrap() + 1)]
        };
        names.into_iter().map(|name| file.with_file_name(name).with_extension(extension)).collect()
    }
}

eraft_conformance::engine!(Open(FileEngine));

#[test]
fn whatever_is_damaged_is_told_or_harmless() {
    // Opening syncs, which is slow where it means something; here nothing is to survive a power cut.
    let memory = Path::new("/dev/shm");
    let root = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let plan = Plan::from_env(ONE_OF);
    let report = run(&Files, root.path(), &plan);
    println!("{report}");
    assert_eq!(report.wrong(), 0, "{report}");
    if plan.only.is_some() {
        return;
    }
    assert!(report.files >= 6 && report.total() > 3000, "too little was damaged: {report}");
    for class in Class::ALL {
        let of = report.of(class);
        assert!(of.refused + of.harmless + of.rolled_back > 0, "never met: {class}: {report}");
        assert!(of.refused > 0 || class == Class::StaleTail, "nothing was told of: {class}: {report}");
        // The last save and the mark that confirms it may be the blocks that changed places.
        let out_of_scope = [Class::StaleTail, Class::BlocksSwapped, Class::BlocksSwappedBetweenFiles];
        assert!(of.rolled_back == 0 || out_of_scope.contains(&class), "{report}");
    }
    // Nothing that stands in the spare is ever read, and a new one takes its place where it is too short.
    for (class, what) in [
        (Class::CutOff, "a shorter file is never taken for a whole one"),
        (Class::Foreign, "another store's file is never taken for its own"),
    ] {
        let unharmed = report.unharmed.get(&class).into_iter().flatten();
        let taken: Vec<_> = unharmed.filter(|file| *file != Path::new("state/spare")).collect();
        assert!(taken.is_empty(), "{what}, but {taken:?} was: {report}");
    }
}
