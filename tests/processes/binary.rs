//! Finding the program under test.
//!
//! `cargo test` builds examples along with the tests, but a run of a single test target does not. A test of last week's
//! program proves nothing, so a binary that is missing, or older than any source, is built first.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::SystemTime,
};

/// One of the examples: the same program on one backend or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::enum_variant_names, reason = "each is called as its program is")]
pub enum Program {
    /// On plain files.
    FileNode,
    /// On RocksDB; only tests that were built with the feature may ask for it.
    RocksdbNode,
    /// On plain files with its snapshots in a bucket; it belongs to a package of its own, whose tests alone ask for it.
    S3Node,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Program::FileNode => "file_node",
            Program::RocksdbNode => "rocksdb_node",
            Program::S3Node => "s3_node",
        }
    }

    fn package(self) -> &'static str {
        if self == Program::S3Node { "eraft-s3-node" } else { "eraft" }
    }

    /// Its path, built in the profile that this test was built in.
    pub fn path(self) -> &'static Path {
        static PATHS: [OnceLock<PathBuf>; 3] = [const { OnceLock::new() }; 3];
        PATHS[self as usize].get_or_init(|| {
            let test = std::env::current_exe().unwrap();
            let profile_dir = test.parent().and_then(Path::parent).unwrap();
            let binary = profile_dir.join("examples").join(self.name());
            let built = fs::metadata(&binary).and_then(|metadata| metadata.modified()).ok();
            if built.is_none_or(|built| built < newest_source(root())) {
                build(self, profile_dir);
            }
            binary
        })
    }
}

/// The path of the example on plain files.
pub fn file_node() -> &'static Path {
    Program::FileNode.path()
}

/// The workspace's root, whichever package of it this is a test of.
fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().find(|dir| dir.join("Cargo.lock").exists()).expect("a workspace has a Cargo.lock")
}

#[allow(unexpected_cfgs, reason = "this is a part of tests of several packages, each with some of these features")]
fn build(program: Program, profile_dir: &Path) {
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()).unwrap() {
        "debug" => "dev",
        other => other,
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The very package and features that this test was built with, so that what it was built from is found built.
    cargo.args(["build", "--quiet", "--package", program.package(), "--example", program.name()]);
    cargo.args(["--profile", profile]);
    // The node on a bucket is a package of its own, which knows no RocksDB.
    let rocksdb = cfg!(feature = "rocksdb") && program.package() == "eraft";
    for (feature, is_on) in [("rocksdb", rocksdb), ("s3", cfg!(feature = "s3"))] {
        if is_on {
            cargo.args(["--features", feature]);
        }
    }
    cargo.arg("--target-dir").arg(profile_dir.parent().unwrap()).current_dir(root());
    assert!(cargo.status().unwrap().success(), "the example could not be built");
}

fn newest_source(dir: &Path) -> SystemTime {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let skipped = name.starts_with('.')
            || ["target", "tests", "mutants", "docs", "xtask", "conformance", "benches"].contains(&name.as_str());
        if skipped {
            continue;
        }
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            newest = newest.max(newest_source(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "toml") {
            newest = newest.max(entry.metadata().unwrap().modified().unwrap());
        }
    }
    newest
}
