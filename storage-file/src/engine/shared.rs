//! What an engine's writer thread, its handles and its readers share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use eraft_core::{GroupId, Identity};

use super::group::{Group, GroupLog};
use crate::{
    fs::Fs,
    paths::Paths,
    segment::{BLOCK_BYTES, FIRST_FRAME, file::Segment},
    snapshot::registry::Registry,
};

/// Locks are taken in the order `groups`, a group's own, `segments`, `staging`; none is held during I/O.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) paths: Paths,
    pub(crate) identity: Identity,
    pub(crate) segment_bytes: u64,
    pub(crate) room: Room,
    groups: RwLock<BTreeMap<GroupId, Arc<Group>>>,
    segments: RwLock<BTreeMap<u64, Arc<Segment>>>,
    staging: Mutex<Registry>,
}

/// What is known of the room for more, refreshed by the writer thread and by stages.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// What the tail still takes.
    tail_bytes: AtomicU64,
    /// What it has taken.
    used_bytes: AtomicU64,
    opening_bytes: AtomicU64,
    free_bytes: AtomicU64,
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
            room: Room::default(),
            groups: RwLock::new(groups),
            segments: RwLock::new(segments),
            staging: Mutex::new(staging),
        }
    }

    /// The group of this id, blank if nothing was ever saved of it.
    pub(crate) fn group(&self, id: GroupId) -> Arc<Group> {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        let blank = || Arc::new(Group::new(id, GroupLog::blank(self.identity), None, false));
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

    /// Looks how much of the disk is free: after whatever takes of it, for others promise it to entries.
    pub(crate) fn measure_free(&self) {
        // Unknown counts as none: saves go on all the same, and meet a full disk when there is one.
        self.room.set_free(self.fs.free_bytes(&self.paths.state).unwrap_or(0));
    }

    pub(crate) fn staging(&self) -> MutexGuard<'_, Registry> {
        self.staging.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// What the tail still takes, and what it has taken.
    pub(crate) fn set_tail(&self, tail_bytes: u64, used_bytes: u64) {
        self.tail_bytes.store(tail_bytes, Ordering::Relaxed);
        self.used_bytes.store(used_bytes, Ordering::Relaxed);
    }

    /// What the opening of a segment takes of it.
    pub(crate) fn set_opening(&self, opening_bytes: u64) {
        self.opening_bytes.store(opening_bytes, Ordering::Relaxed);
    }

    /// What the file system says is free.
    pub(crate) fn set_free(&self, free_bytes: u64) {
        self.free_bytes.store(free_bytes, Ordering::Relaxed);
    }

    /// Bytes that entries may still take, in this segment or in new ones that still fit on the disk, when
    /// `queued_bytes` of `queued_saves` are on their way. On the low side: the next save may not fit into what is left
    /// of this segment and then leaves it unused, each save may take a frame of its own, and frames do not fill their
    /// segments to the last byte.
    pub(crate) fn bytes(&self, segment_bytes: u64, queued_bytes: u64, queued_saves: u64) -> u64 {
        /// What a save may take beyond its bytes: headers, metadata, and the padding of its frame.
        const PER_SAVE_BYTES: u64 = 1024;
        let free = self.free_bytes.load(Ordering::Relaxed);
        // Header, mark and seal have blocks of their own; opening and frames are rounded up to blocks.
        let overhead = FIRST_FRAME + 4 * BLOCK_BYTES + self.opening_bytes.load(Ordering::Relaxed);
        let used = self.used_bytes.load(Ordering::Relaxed).min(segment_bytes);
        let elsewhere = if free < segment_bytes { 0 } else { free.saturating_sub(overhead + used) };
        let queued = queued_bytes.saturating_mul(2).saturating_add((queued_saves + 1) * PER_SAVE_BYTES);
        self.tail_bytes.load(Ordering::Relaxed).max(elsewhere).saturating_sub(queued)
    }
}
