//! Giving a fresh copy the dependencies that the workspace has built already.
//!
//! A dependency's build result does not depend on where the workspace lies, so it is copied with its modification time and
//! cargo takes it as it is. The workspace's own crates are left out: they are what mutants change. If a copied result does not
//! fit, cargo builds it anew; nothing depends on this but time.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

/// Packages of this workspace begin with one of these.
const OWN: [&str; 2] = ["eraft", "xtask"];

/// Fills `to` with the dependencies built in `from`, unless it holds some already.
pub(crate) fn seed(from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (from.join("debug"), to.join("debug"));
    if to.exists() || !from.join(".fingerprint").exists() {
        return Ok(());
    }
    let mut hashes = BTreeSet::new();
    for name in names(&from.join(".fingerprint"))? {
        if !own(&name) {
            hashes.extend(hash(&name).map(str::to_owned));
        }
    }
    let foreign = |name: &str| !own(name) && hash(name).is_some_and(|hash| hashes.contains(hash));
    for part in [".fingerprint", "build", "deps"] {
        for name in names(&from.join(part))?.iter().filter(|name| foreign(name)) {
            copy(&from.join(part).join(name), &to.join(part).join(name))?;
        }
    }
    Ok(())
}

fn own(name: &str) -> bool {
    let name = name.strip_prefix("lib").unwrap_or(name);
    OWN.iter().any(|own| name.starts_with(own))
}

/// The hash in `name-0123456789abcdef.ext`.
fn hash(name: &str) -> Option<&str> {
    let stem = name.split('.').next()?;
    stem.rsplit_once('-').map(|(_, hash)| hash).filter(|hash| hash.len() == 16)
}

fn names(dir: &Path) -> Result<Vec<String>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(dir).with_context(|| format!("{}", dir.display()))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Copies a file or a directory with its modification times.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        for name in names(from)? {
            copy(&from.join(&name), &to.join(&name))?;
        }
        return Ok(());
    }
    let modified = std::fs::metadata(from).and_then(|metadata| metadata.modified());
    // Another cargo may be at work in `from`; what went away meanwhile is built anew.
    let Ok(modified) = modified else { return Ok(()) };
    std::fs::create_dir_all(to.parent().unwrap_or(to))?;
    std::fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    let file = std::fs::File::options().write(true).open(to);
    file.and_then(|file| file.set_modified(modified)).with_context(|| format!("the time of {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_copied_with_their_times_and_our_own_crates_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let files = [
            ".fingerprint/tokio-0123456789abcdef/lib-tokio",
            ".fingerprint/eraft-core-aaaaaaaaaaaaaaaa/lib-eraft_core",
            "deps/libtokio-0123456789abcdef.rlib",
            "deps/liberaft_core-aaaaaaaaaaaaaaaa.rlib",
            "deps/golden-bbbbbbbbbbbbbbbb",
        ];
        for file in files {
            let path = from.join("debug").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "x").unwrap();
        }
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        let rlib = from.join("debug/deps/libtokio-0123456789abcdef.rlib");
        std::fs::File::options().write(true).open(&rlib).unwrap().set_modified(time).unwrap();

        seed(&from, &to).unwrap();
        let copied = to.join("debug/deps/libtokio-0123456789abcdef.rlib");
        assert_eq!(std::fs::metadata(copied).unwrap().modified().unwrap(), time);
        assert_eq!(names(&to.join("debug/deps")).unwrap().len(), 1);
        assert_eq!(names(&to.join("debug/.fingerprint")).unwrap(), ["tokio-0123456789abcdef"]);
    }
}
