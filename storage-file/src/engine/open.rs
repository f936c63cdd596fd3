//! Opening: lock, read, judge, repair, and only then believe.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use eraft_core::{Expected, Result, StorageError, StorageErrorKind};
use eraft_storage_kit::generator;

use super::{group, recovery, repair, shared::Shared, writer::LogWriter};
use crate::{
    error,
    fs::{FileKind, Fs, FsLock, Metadata},
    options::FileOptions,
    paths::Paths,
    snapshot::{file::SnapshotFile, registry::Registry},
};

const DURING: &str = "opening a store";

/// Opens the store at `dir`: what its handles share, and its writer.
pub(crate) fn open(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    expected: &Expected,
    options: &FileOptions,
) -> Result<(Arc<Shared>, LogWriter)> {
    options.check()?;
    let paths = Paths::new(dir);
    check_directory(fs, &paths)?;
    let lock = lock(fs, &paths)?;
    check_inside(fs, &paths)?;
    let mut recovered = recovery::recover(fs, &paths, expected)?;
    // Everything that may refuse has been asked before anything is changed.
    let mut snapshots = BTreeMap::new();
    for (id, log) in &recovered.groups {
        if let Some(published) = &log.published {
            snapshots.insert(*id, SnapshotFile::open(fs, &paths, (recovered.identity, *id), published)?);
        }
    }
    let mut random = generator(options.seed)?;
    // Two runs under one seed must not draw the same incarnations.
    let random_for_this_run = random.u64(..) ^ recovered.last.sequence;
    let mut random = fastrand::Rng::with_seed(random_for_this_run);
    repair::repair(fs, &paths, &recovered)?;
    repair::clean(fs, &paths, &mut recovered)?;

    let groups = recovered.groups.into_iter().map(|(id, log)| {
        let snapshot = snapshots.remove(&id);
        (id, Arc::new(group::found(id, log, snapshot, true)))
    });
    let shared = Arc::new(Shared::new(
        Arc::clone(fs),
        paths,
        recovered.identity,
        options.segment_bytes,
        groups.collect(),
        recovered.segments,
        Registry::new(random.fork()),
    ));
    let writer = LogWriter::new(Arc::clone(&shared), recovered.tail, recovered.last, random, lock)?;
    Ok((shared, writer))
}

/// Whether this can be a store of ours, before anything in it is touched.
fn check_directory(fs: &Arc<dyn Fs>, paths: &Paths) -> Result<()> {
    match fs.metadata(&paths.dir) {
        Ok(metadata) => check_metadata(&paths.dir, &metadata)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(error::not_initialised(DURING, &paths.dir));
        }
        Err(error) => return Err(error::io(DURING, &paths.dir, error)),
    }
    // Another backend's store is whole, and nothing of it is missing.
    let ours = [&paths.state, &paths.snapshot].iter().any(|dir| fs.metadata(dir).is_ok());
    if !ours && ["db", "STORE"].iter().all(|name| fs.metadata(&paths.dir.join(name)).is_ok()) {
        let detail =
            "db/ and STORE stand there, and neither state/ nor snapshot/: a store on RocksDB; open it by rocksdb://";
        return Err(error::incompatible(&paths.dir, 0, detail));
    }
    Ok(())
}

/// The same of the directories in it, for whoever has the lock.
fn check_inside(fs: &Arc<dyn Fs>, paths: &Paths) -> Result<()> {
    for dir in [&paths.state, &paths.snapshot] {
        match fs.metadata(dir) {
            Ok(metadata) => check_metadata(dir, &metadata)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(error::corrupt(dir, 0, "the directory is missing; a store always has it"));
            }
            Err(error) => return Err(error::io(DURING, dir, error)),
        }
    }
    Ok(())
}

fn check_metadata(dir: &Path, metadata: &Metadata) -> Result<()> {
    let refused = |what: String| Err(StorageError::new(StorageErrorKind::Io, DURING, what));
    if metadata.kind == FileKind::Symlink {
        return refused(format!("{} is a link, and links are not followed: name the directory itself", dir.display()));
    }
    if metadata.kind != FileKind::Dir {
        return refused(format!("{} is a {:?}; expected a directory", dir.display(), metadata.kind));
    }
    if metadata.mode & 0o022 != 0 {
        return refused(format!(
            "{} has mode {:o}: others than its owner may write to it; check its files, then chmod go-w",
            dir.display(),
            metadata.mode
        ));
    }
    Ok(())
}

fn lock(fs: &Arc<dyn Fs>, paths: &Paths) -> Result<Box<dyn FsLock>> {
    match fs.lock(&paths.lock) {
        Ok(lock) => Ok(lock),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if [&paths.state, &paths.snapshot].iter().all(|dir| fs.metadata(dir).is_err()) {
                return Err(error::not_initialised(DURING, &paths.dir));
            }
            Err(error::corrupt(&paths.lock, 0, "the file is missing; a store always has one"))
        }
        Err(error) => Err(error::locked(&paths.dir, &paths.lock, error)),
    }
}
