//! Repair: what an open writes before anything that it found may be believed (contract, line 15).
//!
//! After a kill, and after a failed sync, what a read returns may stand in the page cache alone, and the kernel may
//! count those pages as clean, so that a sync writes nothing. Therefore the last frame, the only one that can be in
//! this state, is *written again* and synced; names are synced through their directories.

use std::sync::Arc;

use eraft_core::Result;

use super::{recovery::Recovered, writer};
use crate::{
    error,
    fs::{FileKind, Fs},
    paths::{Paths, SnapshotName, StateName, parent},
    segment::file::{Segment, remove_durably},
};

/// How much is written at once.
const STEP_BYTES: u64 = 1 << 20;

/// Makes everything that `recovered` holds durable, and takes the remains of a torn frame away.
pub(crate) fn repair(fs: &Arc<dyn Fs>, paths: &Paths, recovered: &Recovered) -> Result<()> {
    // The store's own name, and the newest segment's, may be in the cache alone.
    sync_dir(fs, parent(&paths.dir))?;
    sync_dir(fs, &paths.state)?;
    let tail = &recovered.tail;
    if let Some(torn) = &recovered.torn {
        zero(tail, torn.start, torn.end)?;
    }
    let frame = tail.read(recovered.last.offset, usize::try_from(recovered.last.padded_bytes).unwrap_or(0))?;
    tail.write_synced(recovered.last.offset, &frame)?;
    if let Some((before, last)) = &recovered.unsealed {
        writer::seal(before, last, tail)?;
    }
    Ok(())
}

/// Removes what earlier processes left: segments that no entry needs, unfinished ones, and snapshots that no group's
/// state names. Only names that are ours are touched.
pub(crate) fn clean(fs: &Arc<dyn Fs>, paths: &Paths, recovered: &mut Recovered) -> Result<()> {
    let groups = recovered.groups.values();
    let needed = groups.filter_map(|log| log.index.oldest_segment()).min().unwrap_or(recovered.tail.number);
    let kept = recovered.segments.split_off(&needed.min(recovered.tail.number));
    let dead = std::mem::replace(&mut recovered.segments, kept);
    let mut files: Vec<_> = recovered.leftovers.iter().map(|name| paths.state.join(name.to_string())).collect();
    files.extend(dead.into_keys().map(|number| paths.state.join(StateName::Segment(number).to_string())));
    remove_durably(fs, &paths.state, &files);

    let entries = fs.read_dir(&paths.snapshot);
    let entries = entries.map_err(|error| error::io("listing the snapshots", &paths.snapshot, error))?;
    let published: Vec<SnapshotName> =
        recovered.groups.values().filter_map(|log| log.published.as_ref()).map(|published| published.name()).collect();
    let abandoned: Vec<_> = entries
        .iter()
        .filter(|entry| entry.kind == FileKind::File)
        .filter_map(|entry| SnapshotName::parse_file(&entry.name))
        .filter(|name| !published.contains(name))
        .map(|name| paths.snapshot(name))
        .collect();
    remove_durably(fs, &paths.snapshot, &abandoned);
    Ok(())
}

fn sync_dir(fs: &Arc<dyn Fs>, dir: &std::path::Path) -> Result<()> {
    fs.sync_dir(dir).map_err(|error| error::io("making the names in a directory durable", dir, error))
}

/// Zeros `from..to`, synced.
fn zero(segment: &Segment, from: u64, to: u64) -> Result<()> {
    let mut at = from;
    while at < to {
        let count = STEP_BYTES.min(to - at);
        segment.write_synced(at, &vec![0; usize::try_from(count).unwrap_or(0)])?;
        at += count;
    }
    Ok(())
}
