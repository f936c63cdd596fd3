//! The order of receipts around a publication, and the size of what is published.
//!
//! The local store knows the size of a manifest, not that of the snapshot. So the receipt of a save that publishes is held
//! back until the new size is told, and those of the saves behind it until it has resolved: receipts resolve in the order of
//! calls. At all other times a save's receipt is the local store's own.
//!
//! What waits is bounded by what the local store lets queue: a receipt each.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use eraft_core::{Completion, EntryId, Receipt, StorageError, StorageErrorKind};
use futures_util::FutureExt as _;
use tokio::{runtime::Handle, sync::watch};

use crate::in_use::{Hold, InUse};

/// The saves of one group, in the order of calls.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    runtime: Handle,
    shared: Arc<Shared>,
}

/// What a save publishes.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    pub(crate) last: EntryId,
    pub(crate) size_bytes: u64,
    /// Keeps its object from the collector until the local store names it; none where the local store has all of it.
    pub(crate) hold: Option<Arc<Hold>>,
}

#[derive(Debug)]
struct Shared {
    /// Of the snapshot that is published.
    size_bytes: AtomicU64,
    /// Told of each publication: whether the local store has the snapshot's own bytes.
    kept_here: watch::Sender<bool>,
    in_use: InUse,
    waiting: Mutex<Waiting>,
}

/// Invariant: while `handed_on` there is a task that hands on, and every save goes through it; else nothing waits.
#[derive(Debug, Default)]
struct Waiting {
    saves: VecDeque<Held>,
    handed_on: bool,
}

#[derive(Debug)]
struct Held {
    local: Receipt,
    publishes: Option<Publication>,
    /// What it fails with, whatever the local store says.
    refused: Option<StorageError>,
    completion: Completion,
}

impl Lane {
    /// Where `size_bytes` are published, and `kept_here` or not.
    pub(crate) fn new(runtime: Handle, size_bytes: u64, kept_here: bool, in_use: InUse) -> Lane {
        let (size_bytes, kept_here) = (AtomicU64::new(size_bytes), watch::Sender::new(kept_here));
        let shared = Shared { size_bytes, kept_here, in_use, waiting: Mutex::default() };
        Lane { runtime, shared: Arc::new(shared) }
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.shared.size_bytes.load(Ordering::Acquire)
    }

    /// Told of each publication that the local store has acknowledged: whether it has the snapshot's own bytes.
    pub(crate) fn kept_here(&self) -> watch::Receiver<bool> {
        self.shared.kept_here.subscribe()
    }

    /// Makes one save, which publishes a snapshot or none. Whether the local store accepted it.
    pub(crate) fn save(&self, publishes: Option<Publication>, save: impl FnOnce() -> Receipt) -> (Receipt, bool) {
        // Held over the call: the order here is the order there.
        let waiting = self.shared.lock();
        let mut local = save();
        let outcome = (&mut local).now_or_never();
        match outcome {
            Some(Err(error)) if error.kind() == StorageErrorKind::Invalid => {
                return (Receipt::resolved(Err(error)), false);
            }
            Some(outcome) if !waiting.handed_on => {
                self.shared.resolved(publishes, outcome.is_ok());
                return (Receipt::resolved(outcome), true);
            }
            Some(outcome) => local = Receipt::resolved(outcome),
            None if !waiting.handed_on && publishes.is_none() => return (local, true),
            None => {}
        }
        (self.hold(waiting, local, publishes, None), true)
    }

    /// Fails a save in its turn, which is that of `behind`: a save that changes nothing.
    pub(crate) fn refuse(&self, behind: impl FnOnce() -> Receipt, error: StorageError) -> Receipt {
        let waiting = self.shared.lock();
        let local = behind();
        self.hold(waiting, local, None, Some(error))
    }

    fn hold(
        &self,
        mut waiting: MutexGuard<'_, Waiting>,
        local: Receipt,
        publishes: Option<Publication>,
        refused: Option<StorageError>,
    ) -> Receipt {
        let (completion, receipt) = Receipt::pending();
        waiting.saves.push_back(Held { local, publishes, refused, completion });
        let nobody_hands_on = !std::mem::replace(&mut waiting.handed_on, true);
        drop(waiting);
        if nobody_hands_on {
            let hand_on = HandOn { shared: Arc::clone(&self.shared), done: false };
            drop(self.runtime.spawn(hand_on.run()));
        }
        receipt
    }

    /// Waits until the receipts of all saves before this call have resolved, the local store's own having done so.
    pub(crate) async fn drained(&self) {
        let (behind, _) = self.save(None, || Receipt::resolved(Ok(())));
        // Where the runtime ends, so does what waits.
        drop(behind.await);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resolved(&self, publishes: Option<Publication>, is_done: bool) {
        let Some(Publication { last, size_bytes, hold }) = publishes else { return };
        if !is_done {
            return hold.into_iter().for_each(Hold::forever);
        }
        self.size_bytes.store(size_bytes, Ordering::Release);
        let kept_here = hold.is_none();
        self.in_use.publish(last, hold);
        self.kept_here.send_replace(kept_here);
    }
}

/// The task that hands on. Where the runtime drops it, what waits is dropped as well, and tells so by itself.
struct HandOn {
    shared: Arc<Shared>,
    done: bool,
}

impl HandOn {
    /// Resolves what waits, in order, until nothing does.
    async fn run(mut self) {
        while let Some(held) = self.next() {
            let outcome = held.local.await;
            self.shared.resolved(held.publishes, outcome.is_ok());
            held.completion.complete(held.refused.map_or(outcome, Err));
        }
    }

    fn next(&mut self) -> Option<Held> {
        let mut waiting = self.shared.lock();
        let held = waiting.saves.pop_front();
        // Under the same lock: a save that comes behind this starts a task of its own.
        waiting.handed_on = held.is_some();
        self.done = held.is_none();
        held
    }
}

impl Drop for HandOn {
    fn drop(&mut self) {
        if !self.done {
            *self.shared.lock() = Waiting::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use eraft_core::Result;

    use super::*;

    fn of(size_bytes: u64) -> Option<Publication> {
        let hold = Some(Arc::new(InUse::default().hold("a".into())));
        Some(Publication { last: EntryId::new(1, 1), size_bytes, hold })
    }

    #[test]
    fn receipts_that_wait_when_the_runtime_ends_resolve_to_an_error_and_later_ones_are_not_held() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let lane = Lane::new(runtime.handle().clone(), 1, false, InUse::default());
        let (_never, local) = Receipt::pending();
        let (publication, accepted) = lane.save(of(2), || local);
        assert!(accepted);
        let (behind, _) = lane.save(None, || Receipt::resolved(Ok(())));
        drop(runtime);
        for receipt in [publication, behind] {
            let outcome: Option<Result<()>> = receipt.now_or_never();
            assert_eq!(outcome.unwrap().unwrap_err().kind(), StorageErrorKind::Poisoned);
        }
        let (later, _) = lane.save(None, || Receipt::resolved(Ok(())));
        later.now_or_never().unwrap().unwrap();
        assert_eq!(lane.size_bytes(), 1, "nobody knows whether it is published");
    }

    #[tokio::test]
    async fn a_refused_save_is_told_in_its_turn() {
        let lane = Lane::new(Handle::current(), 1, false, InUse::default());
        let (first_done, first) = Receipt::pending();
        let (mut first, _) = lane.save(None, || first);
        let (behind_done, behind) = Receipt::pending();
        let why = eraft_core::StorageError::new(StorageErrorKind::Poisoned, "saving", "fenced");
        let mut refused = lane.refuse(|| behind, why.clone());
        let (mut later, _) = lane.save(None, || Receipt::resolved(Ok(())));
        tokio::task::yield_now().await;
        assert!((&mut refused).now_or_never().is_none() && (&mut later).now_or_never().is_none());
        first_done.complete(Ok(()));
        behind_done.complete(Ok(()));
        assert!((&mut first).await.is_ok());
        assert_eq!(refused.await.unwrap_err().to_string(), why.to_string());
        assert!(later.await.is_ok());
    }

    #[tokio::test]
    async fn a_publication_that_fails_leaves_the_size() {
        let lane = Lane::new(Handle::current(), 1, false, InUse::default());
        let failed =
            || Receipt::resolved(Err(eraft_core::StorageError::new(StorageErrorKind::Full, "saving", "no room")));
        let (receipt, accepted) = lane.save(of(2), failed);
        assert!(accepted && receipt.await.is_err());
        let (completion, local) = Receipt::pending();
        let (receipt, _) = lane.save(of(3), || local);
        completion.complete(Ok(()));
        receipt.await.unwrap();
        assert_eq!(lane.size_bytes(), 3);
    }
}
