//! Which objects are held: by a live stage, by the local store, which names one, or by an open reader. The collector leaves
//! them alone.
//!
//! Whoever writes registers before its first write, and hands its hold on to the publication. Whoever reads has to look at
//! the local store first, and registers after that; [`InUse::opening`] spans the two. So of any object that was listed
//! before, [`InUse::needed`] tells whether somebody needs it or may come to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eraft_core::EntryId;
use object_store::path::Path;
use tokio::sync::{RwLock, RwLockReadGuard};

/// All that are held, with how many hold them.
#[derive(Clone, Debug, Default)]
pub(crate) struct InUse(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// What the local store names.
    published: Mutex<Option<Published>>,
    held: Mutex<BTreeMap<Path, usize>>,
    openings: RwLock<()>,
}

#[derive(Debug)]
struct Published {
    last: EntryId,
    /// On its object, where it has one.
    _hold: Option<Arc<Hold>>,
}

/// A hold on one object; dropping it lets go.
#[derive(Debug)]
pub(crate) struct Hold {
    object: Path,
    shared: Arc<Shared>,
}

impl InUse {
    pub(crate) fn hold(&self, object: Path) -> Hold {
        *self.0.lock().entry(object.clone()).or_default() += 1;
        Hold { object, shared: Arc::clone(&self.0) }
    }

    /// From before the local store is asked which object it names until that one is held.
    pub(crate) async fn opening(&self) -> RwLockReadGuard<'_, ()> {
        self.0.openings.read().await
    }

    /// The local store names this one from now on, and no other.
    pub(crate) fn publish(&self, last: EntryId, hold: Option<Arc<Hold>>) {
        let before = self.0.published().replace(Published { last, _hold: hold });
        // Not under the lock: it lets go of what was named before.
        drop(before);
    }

    /// The last entry of the snapshot that the local store names.
    pub(crate) fn published(&self) -> Option<EntryId> {
        self.0.published().as_ref().map(|published| published.last)
    }

    /// All that is needed of what was there before this call. Looked at twice: a reader that came before the first look has
    /// its hold by the second, and what a later one finds published was held at the first.
    pub(crate) async fn needed(&self) -> BTreeSet<Path> {
        let mut needed: BTreeSet<Path> = self.0.lock().keys().cloned().collect();
        drop(self.0.openings.write().await);
        needed.extend(self.0.lock().keys().cloned());
        needed
    }
}

impl Hold {
    /// Never lets go: nobody knows whether the local store names the object.
    pub(crate) fn forever(self: Arc<Hold>) {
        std::mem::forget(self);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Path, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn published(&self) -> MutexGuard<'_, Option<Published>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.shared.lock();
        if let Some(count) = held.get_mut(&self.object) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.object);
            }
        }
    }
}
