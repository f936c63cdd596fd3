//! What outlives an opener: the reference's stand-in for a directory.
//!
//! One lock over everything; no call keeps it across an await. A *session* is one opening of the disk; a handle of an
//! earlier session is dead and can neither read nor write, as after a kill.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::group::Group;
use crate::{
    storage::{Completion, Result, StorageError, StorageErrorKind},
    types::{GroupId, Identity, RaftStateUpdate, StagedSnapshot},
};

/// A place in memory that stores are created on, opened from, and found again on.
///
/// Cloning it gives another name for the same place.
#[derive(Clone)]
pub struct MemoryDisk {
    inner: Arc<Mutex<Disk>>,
}

/// Everything on the disk, and who has it open.
///
/// Invariants: `session` counts up with every open and every crash; `poison`, `holding` and `failing` are of the current
/// session; `groups` is empty without an `identity`.
#[derive(Debug)]
pub(super) struct Disk {
    random: fastrand::Rng,
    pub(super) identity: Option<Identity>,
    pub(super) groups: BTreeMap<GroupId, Group>,
    session: u64,
    pub(super) open: bool,
    poison: Option<StorageError>,
    holding: bool,
    failing: Option<StorageError>,
    /// Groups in the order in which their queued saves were submitted.
    order: VecDeque<GroupId>,
    staged_count: u64,
}

impl MemoryDisk {
    /// An empty place. Store ids are drawn from `seed`, since nothing in this crate has randomness of its own.
    pub fn new(seed: u64) -> MemoryDisk {
        MemoryDisk {
            inner: Arc::new(Mutex::new(Disk {
                random: fastrand::Rng::with_seed(seed),
                identity: None,
                groups: BTreeMap::new(),
                session: 0,
                open: false,
                poison: None,
                holding: false,
                failing: None,
                order: VecDeque::new(),
                staged_count: 0,
            })),
        }
    }

    /// From now on, until [`MemoryDisk::release_saves`] or the next open, saves queue up: their receipts wait, and reads
    /// do not see them.
    pub fn hold_saves(&self) {
        self.lock().holding = true;
    }

    /// Makes every held save durable, in order, and holds no more.
    pub fn release_saves(&self) {
        let mut disk = self.lock();
        disk.holding = false;
        disk.commit_queued();
    }

    /// Makes the next save that would become durable fail with `error`, which poisons the engine until the next open.
    pub fn fail_next_save(&self, error: StorageError) {
        self.lock().failing = Some(error);
    }

    /// Ends the opener as a kill does: its handles are dead, held saves and staged snapshots are gone, the lock is free.
    pub fn kill(&self) {
        self.lock().end_session();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Disk> {
        // A panic elsewhere cannot leave the data half changed: every change under this lock is made by code that does
        // not panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disk = self.lock();
        (f.debug_struct("MemoryDisk"))
            .field("identity", &disk.identity)
            .field("groups", &disk.groups.keys())
            .finish_non_exhaustive()
    }
}

impl Disk {
    pub(super) fn random_id(&mut self) -> u64 {
        self.random.u64(..)
    }

    pub(super) fn next_staged_id(&mut self) -> String {
        self.staged_count += 1;
        format!("memory-{}", self.staged_count)
    }

    /// Opens the disk for one opener: the number of its session.
    pub(super) fn begin_session(&mut self) -> u64 {
        self.end_session();
        self.open = true;
        self.session
    }

    pub(super) fn end_session(&mut self) {
        self.session += 1;
        self.open = false;
        self.poison = None;
        self.holding = false;
        self.failing = None;
        self.order.clear();
        for group in self.groups.values_mut() {
            group.forget_unsaved();
        }
    }

    /// The group's data, for a handle of `session`.
    pub(super) fn group(&mut self, session: u64, group: GroupId) -> Result<&mut Group> {
        self.check_session(session)?;
        self.groups.get_mut(&group).ok_or_else(closed)
    }

    pub(super) fn check_session(&self, session: u64) -> Result<()> {
        if self.open && self.session == session { Ok(()) } else { Err(closed()) }
    }

    /// Queues a save, and makes it durable at once unless saves are held.
    pub(super) fn submit(
        &mut self,
        session: u64,
        group: GroupId,
        update: RaftStateUpdate,
        publish: Option<StagedSnapshot>,
        completion: Completion,
    ) {
        let poisoned = self.poison.as_ref().map(StorageError::poisoned);
        let data = match (self.group(session, group), poisoned) {
            (Ok(data), None) => data,
            (Ok(_), Some(error)) | (Err(error), _) => return completion.complete(Err(error)),
        };
        match data.submit(update, publish, completion) {
            Ok(()) => self.order.push_back(group),
            Err((error, completion)) => return completion.complete(Err(error)),
        }
        if !self.holding {
            self.commit_queued();
        }
    }

    /// Makes what is queued durable, in the order in which it came, until a save fails.
    pub(super) fn commit_queued(&mut self) {
        while let Some(id) = self.order.pop_front() {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            let outcome = match self.failing.take() {
                Some(error) => Err(error),
                None => group.commit_next(),
            };
            if let Err(error) = outcome {
                self.poison(id, error);
            }
        }
    }

    /// The engine accepts no more saves: one log serves all groups, so all of them are poisoned by the first failure.
    fn poison(&mut self, group: GroupId, error: StorageError) {
        self.order.clear();
        if let Some(failed) = self.groups.get_mut(&group) {
            failed.fail_all(&error);
        }
        for other in self.groups.values_mut() {
            other.fail_all(&error.poisoned());
        }
        self.poison = Some(error);
    }
}

pub(super) fn closed() -> StorageError {
    StorageError::new(StorageErrorKind::Invalid, "using a memory store", "this handle was closed: open the store again")
}
