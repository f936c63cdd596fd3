//! The receipt: proof of durability.
//!
//! A save returns its receipt at once, so that the order of saves is fixed before anything is awaited; the receipt
//! resolves when the save is durable. A writer that is lost without a word resolves it to an error, never to success.
//!
//! A writer completes many at once ([`Completion::complete_all`]), and whoever waits is woken only when all of them have
//! resolved: woken by the first, it would run beside the writer, and go to sleep again before each of the others.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::{Result, StorageError, StorageErrorKind};

/// Resolves when a save is durable, or has failed.
///
/// ```
/// use eraft_core::Receipt;
///
/// let (completion, receipt) = Receipt::pending();
/// completion.complete(Ok(())); // what a writer thread does after its sync
/// assert!(futures_util::FutureExt::now_or_never(receipt).unwrap().is_ok());
/// ```
#[derive(Debug)]
#[must_use = "a save is durable only when its receipt has resolved"]
pub struct Receipt(Arc<Slot>);

/// The writer's end of a [`Receipt`].
#[derive(Debug)]
#[must_use = "dropping it tells the waiter that the writer is lost"]
pub struct Completion(Arc<Slot>);

/// What the two ends share.
#[derive(Debug, Default)]
struct Slot(Mutex<State>);

#[derive(Debug)]
enum State {
    /// And who waits.
    Open(Option<Waker>),
    Resolved(Result<()>),
}

impl Default for State {
    fn default() -> State {
        State::Open(None)
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No foreign code runs under this lock: a waker is cloned, woken and dropped outside. So a poisoned one still holds a
        // whole state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `waker` wait, in place of the one that did; or the outcome, where there is one.
    fn wait(&self, waker: Waker) -> (Poll<Result<()>>, Option<Waker>) {
        match &mut *self.lock() {
            State::Resolved(outcome) => (Poll::Ready(outcome.clone()), Some(waker)),
            State::Open(waiting) => (Poll::Pending, waiting.replace(waker)),
        }
    }

    /// Resolves the receipt, unless it has been; whoever waits is still to be woken.
    fn resolve(&self, outcome: Result<()>) -> Option<Waker> {
        let mut state = self.lock();
        match &mut *state {
            State::Resolved(_) => None,
            State::Open(waker) => {
                let waker = waker.take();
                *state = State::Resolved(outcome);
                waker
            }
        }
    }
}

impl Receipt {
    /// A receipt, and the end that completes it.
    pub fn pending() -> (Completion, Receipt) {
        let slot = Arc::<Slot>::default();
        (Completion(Arc::clone(&slot)), Receipt(slot))
    }

    /// A receipt that has resolved already.
    pub fn resolved(outcome: Result<()>) -> Receipt {
        Receipt(Arc::new(Slot(Mutex::new(State::Resolved(outcome)))))
    }
}

impl Completion {
    /// Resolves the receipt. Nobody listening is no error: the save stands all the same.
    pub fn complete(self, outcome: Result<()>) {
        if let Some(waker) = self.0.resolve(outcome) {
            waker.wake();
        }
    }

    /// Resolves many receipts with one outcome, in their order; only then are those woken who wait for them.
    ///
    /// # Panics
    /// As a waker does, once all are woken.
    pub fn complete_all(completions: impl IntoIterator<Item = Completion>, outcome: &Result<()>) {
        let mut wakers: Vec<Waker> = Vec::new();
        for completion in completions {
            if let Some(waker) = completion.0.resolve(outcome.clone())
                && !wakers.last().is_some_and(|last| last.will_wake(&waker))
            {
                wakers.push(waker);
            }
        }
        // A waker is foreign code: one that panics must not leave the others asleep.
        let woken: Vec<_> = wakers.into_iter().map(|waker| catch_unwind(AssertUnwindSafe(|| waker.wake()))).collect();
        if let Some(panic) = woken.into_iter().find_map(std::result::Result::err) {
            resume_unwind(panic);
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        let lost = || {
            StorageError::new(
                StorageErrorKind::Poisoned,
                "waiting for a save",
                "its writer ended without an answer, so the save may or may not be durable: reopen the store",
            )
        };
        if matches!(*self.0.lock(), State::Open(_))
            && let Some(waker) = self.0.resolve(Err(lost()))
        {
            waker.wake();
        }
    }
}

impl Future for Receipt {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let (outcome, _dropped_unlocked) = self.0.wait(cx.waker().clone());
        outcome
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        // A task that waits no longer is not kept, nor woken.
        let _dropped_unlocked = match &mut *self.0.lock() {
            State::Open(waiting) => waiting.take(),
            State::Resolved(_) => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use futures_util::FutureExt as _;

    use super::*;

    /// Counts how often it is woken, and how many receipts had resolved the first time.
    #[derive(Default)]
    struct Waiting {
        receipts: Mutex<Vec<Receipt>>,
        woken: AtomicUsize,
        resolved: AtomicUsize,
    }

    impl Waiting {
        fn resolved_now(&self) -> usize {
            let mut receipts = self.receipts.lock().unwrap();
            receipts.iter_mut().map(|receipt| poll_with(receipt, Waker::noop())).filter(Poll::is_ready).count()
        }
    }

    impl Wake for Waiting {
        fn wake(self: Arc<Self>) {
            if self.woken.fetch_add(1, Ordering::Relaxed) == 0 {
                self.resolved.store(self.resolved_now(), Ordering::Relaxed);
            }
        }
    }

    struct Panicking;

    impl Wake for Panicking {
        fn wake(self: Arc<Self>) {
            panic!("foreign code");
        }
    }

    fn poll_with(receipt: &mut Receipt, waker: &Waker) -> Poll<Result<()>> {
        receipt.poll_unpin(&mut Context::from_waker(waker))
    }

    #[test]
    fn who_is_woken_finds_all_receipts_of_a_batch_resolved() {
        let waiting = Arc::new(Waiting::default());
        let (completions, mut receipts): (Vec<_>, Vec<_>) = (0..5).map(|_| Receipt::pending()).unzip();
        for receipt in &mut receipts {
            assert!(poll_with(receipt, &Waker::from(Arc::clone(&waiting))).is_pending());
        }
        *waiting.receipts.lock().unwrap() = receipts;
        Completion::complete_all(completions, &Ok(()));
        assert_eq!((waiting.woken.load(Ordering::Relaxed), waiting.resolved.load(Ordering::Relaxed)), (1, 5));
    }

    #[test]
    fn a_waker_that_panics_leaves_nobody_asleep() {
        let waiting = Arc::new(Waiting::default());
        let (completions, mut receipts): (Vec<_>, Vec<_>) = (0..2).map(|_| Receipt::pending()).unzip();
        assert!(poll_with(&mut receipts[0], &Waker::from(Arc::new(Panicking))).is_pending());
        assert!(poll_with(&mut receipts[1], &Waker::from(Arc::clone(&waiting))).is_pending());
        let completed = catch_unwind(AssertUnwindSafe(|| Completion::complete_all(completions, &Ok(()))));
        assert!(completed.is_err());
        assert_eq!(waiting.woken.load(Ordering::Relaxed), 1);
        for receipt in receipts {
            receipt.now_or_never().unwrap().unwrap();
        }
    }

    #[test]
    fn a_receipt_that_is_dropped_lets_go_of_its_task() {
        let waiting = Arc::new(Waiting::default());
        let (completion, mut receipt) = Receipt::pending();
        assert!(poll_with(&mut receipt, &Waker::from(Arc::clone(&waiting))).is_pending());
        drop(receipt);
        assert_eq!(Arc::strong_count(&waiting), 1);
        completion.complete(Ok(()));
        assert_eq!(waiting.woken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_last_task_that_asked_is_woken_and_a_lost_writer_is_no_success() {
        let (first, last) = (Arc::new(Waiting::default()), Arc::new(Waiting::default()));
        let (completion, mut receipt) = Receipt::pending();
        for asked in [&first, &last] {
            assert!(poll_with(&mut receipt, &Waker::from(Arc::clone(asked))).is_pending());
        }
        drop(completion);
        assert_eq!((first.woken.load(Ordering::Relaxed), last.woken.load(Ordering::Relaxed)), (0, 1));
        assert_eq!(receipt.now_or_never().unwrap().unwrap_err().kind(), StorageErrorKind::Poisoned);
    }
}
