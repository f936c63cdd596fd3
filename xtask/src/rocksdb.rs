//! RocksDB: compiled once, whatever is built on it; or left out, where its bindings cannot be made.
//!
//! Cargo keys what a build script made by the features of everything that the script is built from, and these differ from command
//! to command: the tests of the workspace, those of one package, clippy. Left to itself it compiles RocksDB, half an hour of a
//! core, for each of them. So the library is compiled once, kept under the target directory, and every cargo that xtask starts
//! is told of it by the variables that `librocksdb-sys` has for a library of the system. Where someone has set these himself,
//! nothing is compiled here, and nothing set.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{cargo, probe};

/// What cannot be built without it.
const PACKAGES: [&str; 2] = ["eraft-storage-rocksdb", "eraft-benches"];

/// What `librocksdb-sys` is told by: where a library is, that it is static, and that it is to be compiled all the same.
const DIR: &str = "ROCKSDB_LIB_DIR";
const STATIC: &str = "ROCKSDB_STATIC";
const COMPILE: &str = "ROCKSDB_COMPILE";

const LIBRARY: &str = "librocksdb.a";

/// Which packages and features a command is to take: all, RocksDB among them where `libclang` is there. Snapshots in a bucket
/// take nothing of the system, and are always meant.
pub(crate) fn workspace(with_rocksdb: bool) -> Vec<String> {
    let features = if with_rocksdb { "rocksdb,s3" } else { "s3" };
    let mut args = ["--workspace", "--features", features].map(str::to_owned).to_vec();
    if !with_rocksdb {
        args.extend(PACKAGES.iter().flat_map(|package| ["--exclude".to_owned(), (*package).to_owned()]));
    }
    args
}

/// Whether these words of a cargo command build something on RocksDB.
pub(crate) fn is_meant(args: &[String]) -> bool {
    args.iter().any(|word| word == "rocksdb" || PACKAGES.contains(&word.as_str()))
}

/// Whether RocksDB can be built here, and if so, that it is: the slow part is over when this returns.
pub(crate) fn ready() -> Result<bool> {
    let found = probe::libclang().is_ok();
    if found {
        compile_once()?;
    }
    Ok(found)
}

/// What cargo's environment has to say of a library that is kept.
pub(crate) fn environment() -> Vec<(&'static str, OsString)> {
    match kept() {
        Ok(library) if !is_told() && library.is_file() => {
            let dir = library.parent().unwrap_or(&library).as_os_str().to_owned();
            vec![(DIR, dir), (STATIC, "1".into())]
        }
        _ => Vec::new(),
    }
}

/// `cargo xtask rocksdb`: compiles it where it is not kept, and prints what a shell evaluates to have its own cargo link it.
pub(crate) fn run() -> Result<bool> {
    probe::libclang().map_err(|why| anyhow::anyhow!("{why}: {}", probe::LIBCLANG))?;
    compile_once()?;
    for (name, value) in environment() {
        println!("export {name}='{}'", value.to_string_lossy());
    }
    Ok(true)
}

fn is_told() -> bool {
    [DIR, COMPILE].iter().any(|name| std::env::var_os(name).is_some())
}

fn compile_once() -> Result<()> {
    let kept = kept()?;
    if is_told() || kept.is_file() {
        return Ok(());
    }
    let dir = kept.parent().context("the library has a directory")?;
    eprintln!("RocksDB is compiled, once, into {}: half an hour of a core", dir.display());
    let started = Instant::now();
    let mut command = cargo::command(&cargo::root());
    // A target directory of its own: elsewhere the same script would run again as soon as it is told of the library.
    command.args(["build", "--package", "librocksdb-sys", "--message-format", "json-render-diagnostics"]);
    command.arg("--target-dir").arg(cargo::target_dir().join("rocksdb/build")).env(COMPILE, "1").stdin(Stdio::null());
    let output = command.stderr(Stdio::inherit()).output().context("cargo did not start")?;
    if !output.status.success() {
        bail!("RocksDB could not be compiled: see above");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let out_dir = text.lines().find_map(out_dir).context("cargo did not say where it put RocksDB")?;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    // Whole or not at all: what an ended run left under another name is never linked.
    let partial = kept.with_extension("partial");
    std::fs::copy(Path::new(&out_dir).join(LIBRARY), &partial).with_context(|| format!("{out_dir}/{LIBRARY}"))?;
    std::fs::rename(&partial, &kept).with_context(|| format!("cannot put {} in its place", kept.display()))?;
    eprintln!("RocksDB is compiled: {} s", started.elapsed().as_secs());
    Ok(())
}

/// Where the library of this version and these features is kept, or would be.
fn kept() -> Result<PathBuf> {
    let read =
        |name: &str| std::fs::read_to_string(cargo::root().join(name)).with_context(|| format!("cannot read {name}"));
    let key = key(&read("Cargo.lock")?, &read("Cargo.toml")?);
    Ok(cargo::target_dir()
        .join("rocksdb")
        .join(key.context("Cargo.lock and Cargo.toml name no rocksdb")?)
        .join(LIBRARY))
}

/// All that the library depends on and that this project chooses: the version, and the features.
fn key(lock: &str, manifest: &str) -> Option<String> {
    let mut lines = lock.lines().skip_while(|line| *line != "name = \"librocksdb-sys\"");
    let version = lines.nth(1)?.strip_prefix("version = ")?;
    let asked = manifest.lines().find(|line| line.starts_with("rocksdb = "))?;
    let quoted = |line: &str| line.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    Some([quoted(version), quoted(asked)].concat().join("-"))
}

/// Where the build script of `librocksdb-sys` worked, of one line of cargo's.
fn out_dir(line: &str) -> Option<String> {
    let of_rocksdb = line.contains("\"build-script-executed\"") && line.contains("librocksdb-sys");
    let rest = line.split_once("\"out_dir\":\"").filter(|_| of_rocksdb)?.1;
    Some(rest.split_once('"')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_or_another_feature_is_another_library() {
        let lock = "[[package]]\nname = \"librocksdb-sys\"\nversion = \"0.19.0+11.8.1\"\n";
        let manifest = "[workspace.dependencies]\nrocksdb = { version = \"0.25\", features = [\"lz4\"] }\n";
        let first = key(lock, manifest).unwrap();
        assert_eq!(first, "0.19.0+11.8.1-0.25-lz4");
        assert_ne!(key(&lock.replace("11.8.1", "11.9.0"), manifest).unwrap(), first);
        assert_ne!(key(lock, &manifest.replace("lz4", "zstd")).unwrap(), first);
        assert_eq!(key("", manifest), None);
    }

    #[test]
    fn the_script_of_rocksdb_is_told_from_others() {
        let line = r#"{"reason":"build-script-executed","package_id":"registry+x#librocksdb-sys@0.19.0","env":[],"out_dir":"/t/out"}"#;
        assert_eq!(out_dir(line).as_deref(), Some("/t/out"));
        assert_eq!(out_dir(&line.replace("librocksdb", "liblz4")), None);
        assert_eq!(out_dir(&line.replace("build-script-executed", "compiler-artifact")), None);
    }

    #[test]
    fn where_it_cannot_be_built_what_needs_it_is_left_out() {
        assert_eq!(workspace(true), ["--workspace", "--features", "rocksdb,s3"]);
        assert_eq!(
            workspace(false),
            ["--workspace", "--features", "s3", "--exclude", "eraft-storage-rocksdb", "--exclude", "eraft-benches"]
        );
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(is_meant(&words("-p eraft-storage-rocksdb --test conformance")));
        assert!(is_meant(&words("-p eraft --features rocksdb --test kill")));
        assert!(!is_meant(&words("-p eraft-storage-file --test conformance")));
    }
}
