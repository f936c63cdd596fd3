//! One group of an engine: what is queued of it, what is committed, and its one handle.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use eraft_core::{
    Entry, GroupId, LogChange, RaftState, RaftStateUpdate, Receipt, Result, StagedSnapshot, StorageError,
    StorageErrorKind,
};

use crate::{GroupCommit, MAX_SAVE_BYTES, Save};

/// One group, as its handle, the writer thread and readers share it; `C` is what reads see of it.
///
/// Locks are taken in the order `queued`, `committed`, and none is held during I/O.
#[derive(Debug)]
pub struct Group<C> {
    id: GroupId,
    /// Whether the handle is out.
    taken: AtomicBool,
    /// The state as it will be when everything queued is done.
    queued: Mutex<RaftState>,
    committed: RwLock<C>,
}

impl<C> Group<C> {
    /// A group as it was found: its state, and what reads see.
    pub fn new(id: GroupId, state: RaftState, committed: C) -> Group<C> {
        Group { id, taken: AtomicBool::new(false), queued: Mutex::new(state), committed: RwLock::new(committed) }
    }

    /// Which group it is.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// What reads see: one cut at a save boundary.
    pub fn committed(&self) -> RwLockReadGuard<'_, C> {
        // A panic under these locks comes from a bug that the engine's poison already answers.
        self.committed.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for the writer thread, which alone changes it: after the commit that makes the change durable.
    pub fn committed_mut(&self) -> RwLockWriteGuard<'_, C> {
        self.committed.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the group's one handle.
    ///
    /// # Errors
    /// `Locked` while it is out.
    pub fn take(self: &Arc<Group<C>>) -> Result<Handle<C>> {
        if self.taken.swap(true, Ordering::AcqRel) {
            let detail = format!("the handle of group {} is out already: close that one first", self.id);
            return Err(StorageError::new(StorageErrorKind::Locked, "opening a group", detail));
        }
        Ok(Handle { group: Arc::clone(self), closed: AtomicBool::new(false) })
    }

    fn give_back(&self) {
        self.taken.store(false, Ordering::Release);
    }
}

/// The one handle of a group: what a [`Storage`](eraft_core::Storage) on an engine is made of. The group takes it back when it
/// is closed or dropped.
pub struct Handle<C> {
    group: Arc<Group<C>>,
    closed: AtomicBool,
}

impl<C> Handle<C> {
    /// The group.
    pub fn group(&self) -> &Arc<Group<C>> {
        &self.group
    }

    /// # Errors
    /// `Invalid` once the handle is closed.
    pub fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StorageError::invalid("the group's handle was closed before this call: open it again"));
        }
        Ok(())
    }

    /// Checks a save against what is queued before it, and queues it, in one step; `claim` takes a staged snapshot for this
    /// save, once all else is found right. The receipt tells what is wrong with a save that is refused: nothing of it is queued.
    pub fn save(
        &self,
        commit: &GroupCommit,
        update: RaftStateUpdate,
        snapshot: Option<StagedSnapshot>,
        claim: impl FnOnce(&StagedSnapshot) -> Result<()>,
    ) -> Receipt {
        commit.submit_with(|| {
            self.check_open()?;
            check_size(&update)?;
            let mut queued = self.group.queued.lock().unwrap_or_else(PoisonError::into_inner);
            let publish = snapshot.as_ref().map(|snapshot| &snapshot.meta);
            queued.check(&update, publish)?;
            if let Some(snapshot) = &snapshot {
                claim(snapshot)?;
            }
            queued.apply(&update, publish)?;
            Ok(Save { group: self.group.id, update, snapshot })
        })
    }

    /// Completes what is queued, and gives the handle back; with `engine` it ends the engine, too. Any number of calls, also
    /// after one that nobody waited for.
    ///
    /// # Errors
    /// The failure that poisoned the engine, if one did.
    pub async fn close(&self, commit: &GroupCommit, engine: bool) -> Result<()> {
        // Set first: no save comes in behind those that are completed here.
        let first = !self.closed.swap(true, Ordering::AcqRel);
        // Given back also where the caller does not wait for the end: dropping the handle would not do it any more.
        let out = first.then(|| GiveBackOnDrop(&self.group));
        let flushed = if first { commit.flush().await } else { commit.failure().map_or(Ok(()), Err) };
        drop(out);
        if engine { commit.close().await } else { flushed }
    }
}

struct GiveBackOnDrop<'a, C>(&'a Group<C>);

impl<C> Drop for GiveBackOnDrop<'_, C> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

impl<C> Drop for Handle<C> {
    fn drop(&mut self) {
        if !*self.closed.get_mut() {
            self.group.give_back();
        }
    }
}

impl<C> fmt::Debug for Handle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("group", &self.group.id).field("closed", &self.closed).finish()
    }
}

fn check_size(update: &RaftStateUpdate) -> Result<()> {
    let LogChange::Append(entries) = &update.log else { return Ok(()) };
    let size_bytes: u64 = entries.iter().map(Entry::size_bytes).sum();
    if size_bytes > MAX_SAVE_BYTES {
        return Err(StorageError::invalid(format!(
            "a save of {size_bytes} bytes; expected {MAX_SAVE_BYTES} at most: divide it"
        )));
    }
    Ok(())
}
