//! What an engine's writer thread, its handles and its readers share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use eraft_core::{GroupId, Identity};

use super::group::{self, Group, GroupLog};
use crate::{
    fs::Fs,
    paths::Paths,
    segment::{BLOCK_BYTES, FIRST_FRAME, file::Segment},
    snapshot::registry::Registry,
};

/// Locks are taken in the order `groups`, a group's own, `segments`, `staging`; `room` is taken alone; none is held during
/// I/O.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) paths: Paths,
    pub(crate) identity: Identity,
    pub(crate) segment_bytes: u64,
    room: Mutex<Room>,
    groups: RwLock<BTreeMap<GroupId, Arc<Group>>>,
    segments: RwLock<BTreeMap<u64, Arc<Segment>>>,
    staging: Mutex<Registry>,
}

/// What the log still takes, as the writer thread tells it, all of one moment; how much of the disk is free is asked when
/// it is needed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Room {
    /// What the tail still takes of entries.
    pub(crate) tail_bytes: u64,
    /// What the tail has taken.
    pub(crate) used_bytes: u64,
    /// What the opening of a segment takes.
    pub(crate) opening_bytes: u64,
    /// What the spare still needs.
    pub(crate) lacking_bytes: u64,
}

impl Shared {
    pub(crate) fn new(
        fs: Arc<dyn Fs>,
        paths: Paths,
        identity: Identity,
        segment_bytes: u64,
        groups: BTreeMap<GroupId, Arc<Group>>,
        segments: BTreeMap<u64, Arc<Segment>>,
        staging: Registry,
    ) -> Shared {
        Shared {
            fs,
            paths,
            identity,
            segment_bytes,
            room: Mutex::default(),
            groups: RwLock::new(groups),
            segments: RwLock::new(segments),
            staging: Mutex::new(staging),
        }
    }

    /// The group of this id, blank if nothing was ever saved of it.
    pub(crate) fn group(&self, id: GroupId) -> Arc<Group> {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        let blank = || Arc::new(group::found(id, GroupLog::blank(self.identity), None, false));
        Arc::clone(groups.entry(id).or_insert_with(blank))
    }

    /// All groups that are known, blank ones included.
    pub(crate) fn groups(&self) -> Vec<Arc<Group>> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// A segment that is live. Whoever asks while it holds a group's committed state gets every segment named there.
    pub(crate) fn segment(&self, number: u64) -> Option<Arc<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    pub(crate) fn add_segment(&self, segment: Arc<Segment>) {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).insert(segment.number, segment);
    }

    /// Takes the segments below `oldest_needed` out, oldest first. Readers keep theirs open.
    pub(crate) fn take_segments_below(&self, oldest_needed: u64) -> Vec<Arc<Segment>> {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        let kept = segments.split_off(&oldest_needed);
        std::mem::replace(&mut *segments, kept).into_values().collect()
    }

    pub(crate) fn room(&self) -> Room {
        *self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tell_room(&self, room: Room) {
        *self.room.lock().unwrap_or_else(PoisonError::into_inner) = room;
    }

    /// What the file system says is free. Snapshots, and whatever else lives there, take of it at any moment, and give
    /// it back.
    pub(crate) fn free_bytes(&self) -> u64 {
        // Unknown counts as none: saves go on all the same, and meet a full disk when there is one.
        self.fs.free_bytes(&self.paths.state).unwrap_or(0)
    }

    pub(crate) fn staging(&self) -> MutexGuard<'_, Registry> {
        self.staging.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Bytes that entries may still take, in this segment or in new ones that fit into the `free_bytes` of the disk, when
    /// `queued_bytes` of `queued_saves` are on their way. The spare comes first. On the low side: the next save may not
    /// fit into what is left of this segment and then leaves it unused, each save may take a frame of its own, and frames
    /// do not fill their segments to the last byte.
    pub(crate) fn bytes(&self, free_bytes: u64, segment_bytes: u64, queued_bytes: u64, queued_saves: u64) -> u64 {
        /// What a save may take beyond its bytes: headers, metadata, and the padding of its frame.
        const PER_SAVE_BYTES: u64 = 1024;
        let Some(free) = free_bytes.checked_sub(self.lacking_bytes) else { return 0 };
        // Header, mark and seal have blocks of their own; opening and frames are rounded up to blocks.
        let overhead = FIRST_FRAME + 4 * BLOCK_BYTES + self.opening_bytes;
        let used = self.used_bytes.min(segment_bytes);
        let elsewhere = if free < segment_bytes { 0 } else { free.saturating_sub(overhead + used) };
        let queued = queued_bytes.saturating_mul(2).saturating_add((queued_saves + 1) * PER_SAVE_BYTES);
        self.tail_bytes.max(elsewhere).saturating_sub(queued)
    }
}
