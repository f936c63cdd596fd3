//! A directory as plain data: read whole, and put back as it was.
#![expect(
    clippy::disallowed_methods,
    reason = "this stands outside the store, where whoever damages it stands: it works on the files themselves"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// Every file by its path relative to the directory.
pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The files below `dir` that are wanted.
pub(super) fn read(dir: &Path, wants: impl Fn(&Path) -> bool) -> io::Result<Files> {
    let mut found = Files::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(at) = waiting.pop() {
        for entry in fs::read_dir(dir.join(&at))? {
            let entry = entry?;
            let path = at.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                waiting.push(path);
            } else if wants(&path) {
                found.insert(path.clone(), fs::read(dir.join(&path))?);
            }
        }
    }
    Ok(found)
}

/// Makes the files below `dir` these, and touches none that is so already. Directories stay.
pub(super) fn write(dir: &Path, files: &Files) -> io::Result<()> {
    let now = read(dir, |_| true)?;
    let names: BTreeSet<&PathBuf> = now.keys().chain(files.keys()).collect();
    for name in names {
        match (now.get(name), files.get(name)) {
            (found, Some(wanted)) if found != Some(wanted) => put(dir, name, wanted)?,
            (Some(_), None) => remove(dir, name)?,
            _ => {}
        }
    }
    Ok(())
}

/// Writes one file, in place where it is there: its permissions stay.
pub(super) fn put(dir: &Path, name: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = dir.join(name);
    let is_new = !fs::exists(&path)?;
    fs::write(&path, bytes)?;
    if is_new {
        // As private as a store's own.
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    }
    Ok(())
}

/// Removes one file.
pub(super) fn remove(dir: &Path, name: &Path) -> io::Result<()> {
    fs::remove_file(dir.join(name))
}
