//! Where the measured stores are: on a disk, since memory that calls itself a disk syncs in no time.

use std::path::Path;

use anyhow::{Context, ensure};
use tempfile::TempDir;

/// As `statfs` tells them.
const IN_MEMORY: [(rustix::fs::FsWord, &str); 2] = [(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];

/// A directory of its own under `dir`, which goes when it is dropped.
///
/// # Errors
/// It cannot be made, or lies in memory.
pub(crate) fn place(dir: &Path) -> anyhow::Result<TempDir> {
    let found = rustix::fs::statfs(dir).with_context(|| format!("cannot ask what {} lies on", dir.display()))?;
    let kind = IN_MEMORY.iter().find(|(magic, _)| *magic == found.f_type);
    ensure!(
        kind.is_none(),
        "{} lies on a {}, where a sync costs nothing: name a directory on a disk with --dir",
        dir.display(),
        kind.map_or("", |(_, name)| name)
    );
    tempfile::Builder::new().prefix("eraft-benches-").tempdir_in(dir).with_context(|| format!("{}", dir.display()))
}
