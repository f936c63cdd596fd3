//! A directory that appears whole or not at all.
//!
//! What is built goes into a workshop beside the target: `<target>.init-<pid>/<name>`. Publishing is one rename, made
//! durable by a sync of the parent. A kill before it leaves a workshop and no target; the next attempt clears the
//! workshop away, once it is sure by its lock that nobody works in it any more.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an example's own files, beside the store's: nothing here is read back after a crash but the names"
)]

use std::{
    fs::{self, DirBuilder, File},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use rustix::fs::{FlockOperation, flock};

/// A target on its way.
#[derive(Debug)]
pub struct Staging {
    target: PathBuf,
    workshop: PathBuf,
    // Held, not used: the lock tells others that the workshop is in use, and ends with this process however it ends.
    _lock: File,
}

impl Staging {
    /// Opens a workshop for `target`.
    ///
    /// # Errors
    /// `target` is there already, or its parent cannot be written.
    pub fn begin(target: &Path) -> anyhow::Result<Staging> {
        clear_abandoned(target)?;
        ensure!(is_blank(target)?, "{} is initialised already, or is not ours; nothing was touched", target.display());
        let workshop = parent(target).join(format!("{}{}", workshop_prefix(target)?, std::process::id()));
        create_private_dir(&workshop)?;
        let lock = File::open(&workshop)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).context("cannot lock the workshop")?;
        Ok(Staging { target: target.to_owned(), workshop, _lock: lock })
    }

    /// Where to build; it does not exist yet.
    pub fn path(&self) -> PathBuf {
        self.workshop.join(self.target.file_name().unwrap_or_default())
    }

    /// Makes what was built the target, durably.
    ///
    /// # Errors
    /// The target has come into being meanwhile, or the file system failed.
    pub fn publish(self) -> anyhow::Result<()> {
        // What was built is durable before its name is: a power cut must not leave the name of an empty directory.
        sync_dir(&self.path())?;
        let renamed = fs::rename(self.path(), &self.target);
        renamed.with_context(|| format!("cannot put {} in its place", self.target.display()))?;
        sync_name(&self.target)?;
        fs::remove_dir(&self.workshop).context("cannot remove the emptied workshop")
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After a failure; after `publish` there is nothing left. What stays is cleared by the next attempt.
        let _cleared = fs::remove_dir_all(&self.workshop);
    }
}

/// Whether nothing is at `path` but, at most, an empty directory.
///
/// # Errors
/// It is something else, or cannot be read.
pub fn is_blank(path: &Path) -> anyhow::Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Makes the name of `target` durable.
///
/// # Errors
/// The file system failed.
pub fn sync_name(target: &Path) -> anyhow::Result<()> {
    sync_dir(parent(target))
}

/// Makes a directory that no other user can read.
///
/// # Errors
/// It is there already, or cannot be made.
pub fn create_private_dir(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new().mode(0o700).create(path).with_context(|| format!("cannot create {}", path.display()))
}

/// Removes the workshops of `target` that nobody works in any more.
///
/// # Errors
/// Somebody does, or the file system failed.
pub fn clear_abandoned(target: &Path) -> anyhow::Result<()> {
    let (parent, prefix) = (parent(target), workshop_prefix(target)?);
    let entries = fs::read_dir(parent).with_context(|| format!("cannot read {}", parent.display()))?;
    for entry in entries {
        let entry = entry?;
        let pid = entry.file_name().to_string_lossy().strip_prefix(&prefix).map(str::to_owned);
        if pid.is_none_or(|pid| pid.parse::<u32>().is_err()) || !entry.file_type()?.is_dir() {
            continue;
        }
        let Ok(lock) = File::open(entry.path()) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!("{} is in use: another init of the same directory is running", entry.path().display());
        }
        fs::remove_dir_all(entry.path()).with_context(|| format!("cannot clear {}", entry.path().display()))?;
    }
    Ok(())
}

fn workshop_prefix(target: &Path) -> anyhow::Result<String> {
    let name = target.file_name().with_context(|| format!("{} has no name", target.display()))?;
    Ok(format!("{}.init-", name.to_string_lossy()))
}

fn sync_dir(path: &Path) -> anyhow::Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).with_context(|| format!("cannot sync {}", path.display()))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
