//! First-time initialisation: a whole store is built beside its place and takes its name in one step.
//!
//! So there is no moment at which a crash leaves half a store under the real name. What a crash leaves beside it is
//! cleared by the next attempt, as far as its names are ours.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use eraft_core::{ClusterId, Identity, NodeId, Result, StorageError, StorageErrorKind, StoreId};
use eraft_storage_kit::generator;

use super::spare::{self, Made};
use crate::{
    error,
    fs::Fs,
    options::FileOptions,
    paths::{Paths, SnapshotName, StateName, parent},
    segment::{
        file::{Blocks, Opening, Segment, rename_durably},
        frame::{FRAME_HEADER_BYTES, padded_bytes},
    },
};

const DURING: &str = "creating a store";

/// Builds the store and gives it its name.
pub(crate) fn create(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    cluster: ClusterId,
    node: NodeId,
    options: &FileOptions,
) -> Result<Identity> {
    options.check()?;
    let name = dir
        .file_name()
        .ok_or_else(|| StorageError::invalid(format!("{} is no name that a directory can be given", dir.display())))?;
    refuse_existing(fs, dir)?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(".creating");
    let building = Paths::new(&parent(dir).join(beside));
    clear(fs, &building)?;

    let mut random = generator(options.seed)?;
    let identity = Identity { cluster, node, store: StoreId(random.u64(..)) };
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| error::io(DURING, &path, source)
    };
    fs.create_dir(&building.dir).map_err(io(&building.dir))?;
    fs.create_file(&building.lock).map_err(io(&building.lock))?;
    // Held until the name is given: whoever clears what a crash left must not clear this.
    let _lock = fs.lock(&building.lock).map_err(|error| error::locked(&building.dir, &building.lock, error))?;
    fs.create_dir(&building.state).map_err(io(&building.state))?;
    fs.create_dir(&building.snapshot).map_err(io(&building.snapshot))?;
    let opening = Opening { buffer: vec![0; FRAME_HEADER_BYTES], sequence: 1, previous_crc: 0 };
    let opening_bytes = padded_bytes(0);
    let layout = (1, random.u64(..), options.segment_bytes);
    Segment::fill(fs, &building, identity, layout, opening, Blocks::New)?.name(fs)?;
    let spare_bytes = spare::wanted_bytes(options.segment_bytes, opening_bytes);
    match spare::make(fs, &building, spare_bytes)? {
        Made::Durable => {}
        Made::NoRoom => return Err(spare::lacking(&building, spare_bytes)),
        Made::Failed(error) => return Err(error),
    }
    fs.sync_dir(&building.dir).map_err(io(&building.dir))?;
    refuse_existing(fs, dir)?;
    rename_durably(fs, &building.dir, dir)?;
    Ok(identity)
}

fn refuse_existing(fs: &Arc<dyn Fs>, dir: &Path) -> Result<()> {
    match fs.metadata(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error::io(DURING, dir, error)),
        Ok(_) => Err(StorageError::new(
            StorageErrorKind::Invalid,
            DURING,
            format!("{} exists already: open it, or choose another path", dir.display()),
        )),
    }
}

/// Removes what an attempt left that was interrupted.
fn clear(fs: &Arc<dyn Fs>, building: &Paths) -> Result<()> {
    let names = |dir: &Path, ours: fn(&std::ffi::OsStr) -> bool| -> Vec<PathBuf> {
        let entries = fs.read_dir(dir).unwrap_or_default();
        entries.into_iter().filter(|entry| ours(&entry.name)).map(|entry| dir.join(entry.name)).collect()
    };
    match fs.metadata(&building.dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error::io(DURING, &building.dir, error)),
        Ok(_) => {}
    }
    let _lock = match fs.lock(&building.lock) {
        // It came no further than its own name.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error::locked(&building.dir, &building.lock, error)),
        Ok(lock) => Some(lock),
    };
    let mut files = names(&building.state, |name| StateName::parse(name).is_some());
    files.extend(names(&building.snapshot, |name| SnapshotName::parse_file(name).is_some()));
    files.extend(names(&building.dir, |name| name == "LOCK"));
    for file in files {
        fs.remove_file(&file).map_err(|error| error::io(DURING, &file, error))?;
    }
    for dir in [&building.state, &building.snapshot, &building.dir] {
        match fs.remove_dir(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error::io(DURING, dir, error)),
            _ => {}
        }
    }
    Ok(())
}
