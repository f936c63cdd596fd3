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

/// The path of the example `file_node`, built in the profile that this test was built in.
pub fn file_node() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let profile_dir = test.parent().and_then(Path::parent).unwrap();
        let binary = profile_dir.join("examples/file_node");
        let built = fs::metadata(&binary).and_then(|metadata| metadata.modified()).ok();
        if built.is_none_or(|built| built < newest_source(Path::new(env!("CARGO_MANIFEST_DIR")))) {
            build(profile_dir);
        }
        binary
    })
}

fn build(profile_dir: &Path) {
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()).unwrap() {
        "debug" => "dev",
        other => other,
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--example", "file_node", "--profile", profile]);
    cargo.arg("--target-dir").arg(profile_dir.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
    assert!(cargo.status().unwrap().success(), "the example could not be built");
}

fn newest_source(dir: &Path) -> SystemTime {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let skipped = name.starts_with('.')
            || ["target", "tests", "mutants", "docs", "xtask", "conformance"].contains(&name.as_str());
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
