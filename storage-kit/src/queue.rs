//! What waits for the writer thread, and how an engine ends.
//!
//! The queue has no bound of its own, because a save must never block its caller: the caller bounds it by the bytes
//! that [`Queue::queued_bytes`] tells. Receipts are never completed while the lock is held, since that runs a waker,
//! which is foreign code.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use eraft_core::{Completion, Receipt, Result, StorageError};
use eraft_metrics_kit::Stopwatch;

use crate::{GroupCommitOptions, Save, gather::Gather, metrics::Told};

/// One call that waits for its turn.
#[derive(Debug)]
struct Call {
    /// What to make durable; a call without it only wants to know when all before it is done.
    save: Option<Save>,
    called: Stopwatch,
    completion: Completion,
}

/// Calls to be served together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// To commit; none where all calls were flushes.
    pub(crate) saves: Vec<Save>,
    /// To complete then, in this order.
    pub(crate) completions: Vec<Completion>,
}

/// What the writer thread does next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Commit these.
    Batch(Batch),
    /// Nothing came for a while.
    Idle,
    /// Everything is done and the engine closes.
    Close,
}

/// Invariants:
///
/// 1. A call is in `calls`, or in the thread's hands, or its receipt is completed; none is ever lost.
/// 2. Nothing enters `calls` once `phase` is not `Open`.
/// 3. `phase` becomes `Ended` only while `calls` is empty, so no receipt overtakes another.
/// 4. `queued_*` counts saves that entered and whose commit has not returned.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    queued_bytes: AtomicU64,
    queued_saves: AtomicU64,
    /// The first failure, known before any receipt tells it.
    failure: OnceLock<StorageError>,
    told: Arc<Told>,
}

#[derive(Debug)]
struct State {
    calls: VecDeque<Call>,
    /// When the saves of the last batch were called for.
    called: Vec<Stopwatch>,
    /// The saves of the last batch, and those that waited when it was done: so many callers are about.
    about: usize,
    phase: Phase,
    /// The thread sleeps: only then does a call cost a system call to wake it.
    sleeping: bool,
    /// A commit was handed out since the last idle moment.
    unconfirmed: bool,
    /// Who waits for the end.
    closers: Vec<Completion>,
    /// What they were told, once the writer is gone.
    told: Option<Result<()>>,
}

#[derive(Debug)]
enum Phase {
    Open,
    Closing,
    /// How it ended: an error is the first failure.
    Ended(Result<()>),
}

impl Queue {
    pub(crate) fn new(told: Arc<Told>) -> Queue {
        Queue {
            state: Mutex::new(State {
                calls: VecDeque::new(),
                called: Vec::new(),
                about: 0,
                phase: Phase::Open,
                sleeping: false,
                unconfirmed: false,
                closers: Vec::new(),
                told: None,
            }),
            changed: Condvar::new(),
            queued_bytes: AtomicU64::new(0),
            queued_saves: AtomicU64::new(0),
            failure: OnceLock::new(),
            told,
        }
    }

    /// The error that a save would meet now without being queued.
    pub(crate) fn refusal(&self) -> Option<StorageError> {
        self.lock().phase.refusal()
    }

    pub(crate) fn push_save(&self, save: Save) -> Receipt {
        let bytes = save.size_bytes();
        // Counted first: the thread must not take off what was not yet added.
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.queued_saves.fetch_add(1, Ordering::Relaxed);
        self.told.queued(1, bytes);
        self.push(Some(save)).unwrap_or_else(|refusal| {
            self.taken_off(1, bytes);
            Receipt::resolved(Err(refusal))
        })
    }

    pub(crate) fn push_flush(&self) -> Receipt {
        self.push(None).unwrap_or_else(|refusal| Receipt::resolved(Err(refusal)))
    }

    /// Lets nothing more in; the receipt resolves when the thread has finished.
    pub(crate) fn close(&self) -> Receipt {
        let mut state = self.lock();
        // That the engine has ended is not enough: a failed writer holds its files and its lock until somebody closes.
        if let Some(told) = &state.told {
            return Receipt::resolved(told.clone());
        }
        if matches!(state.phase, Phase::Open) {
            state.phase = Phase::Closing;
        }
        let (completion, receipt) = Receipt::pending();
        state.closers.push(completion);
        self.wake(state);
        receipt
    }

    /// Waits for the next thing to do.
    pub(crate) fn next(&self, options: &GroupCommitOptions) -> Next {
        let mut state = self.lock();
        loop {
            if !state.calls.is_empty() {
                state = self.gather(state, options);
                let batch = state.take_batch(options);
                state.unconfirmed |= !batch.saves.is_empty();
                return Next::Batch(batch);
            }
            if matches!(state.phase, Phase::Closing) {
                return Next::Close;
            }
            state.sleeping = true;
            let idle_after = options.idle_after.filter(|_| state.unconfirmed);
            state = match idle_after {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(idle_after) => {
                    let (mut state, waited) =
                        self.changed.wait_timeout(state, idle_after).unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() && state.calls.is_empty() && matches!(state.phase, Phase::Open) {
                        (state.sleeping, state.unconfirmed) = (false, false);
                        return Next::Idle;
                    }
                    state
                }
            };
            state.sleeping = false;
        }
    }

    /// Lets more come in, as long as it is worth it.
    fn gather<'a>(&'a self, mut state: MutexGuard<'a, State>, options: &GroupCommitOptions) -> MutexGuard<'a, State> {
        let mut gather = Gather::of(state.about.min(options.max_batch_saves));
        while matches!(state.phase, Phase::Open) && gather.goes_on(state.calls.len()) {
            drop(state);
            Gather::pause();
            state = self.lock();
        }
        state
    }

    /// The next batch, empty where nothing waits.
    pub(crate) fn take_batch(&self, options: &GroupCommitOptions) -> Batch {
        self.lock().take_batch(options)
    }

    /// Records the first failure, before anyone is told of it.
    pub(crate) fn fail(&self, error: &StorageError) {
        let _only_the_first_counts = self.failure.set(error.clone());
        self.told.poisoned();
    }

    pub(crate) fn failure(&self) -> Option<StorageError> {
        self.failure.get().cloned()
    }

    /// Answers everything that waits, in order, and lets nothing more in.
    pub(crate) fn end(&self, outcome: &Result<()>) {
        loop {
            let mut state = self.lock();
            if state.calls.is_empty() {
                state.phase = Phase::Ended(outcome.clone());
                return;
            }
            let calls = std::mem::take(&mut state.calls);
            drop(state);
            for save in calls.iter().filter_map(|call| call.save.as_ref()) {
                self.taken_off(1, save.size_bytes());
            }
            complete(calls.into_iter().map(|call| call.completion), &Err(refusal(outcome)));
        }
    }

    /// Waits until somebody wants the engine to end; only after [`Queue::end`].
    pub(crate) fn wait_for_closer(&self) {
        let mut state = self.lock();
        while state.closers.is_empty() {
            state.sleeping = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.sleeping = false;
    }

    /// Tells those who wait for the end; only after [`Queue::end`].
    pub(crate) fn tell_closers(&self, outcome: &Result<()>) {
        let mut state = self.lock();
        state.told = Some(outcome.clone());
        let closers = std::mem::take(&mut state.closers);
        drop(state);
        complete(closers, outcome);
    }

    /// A batch of so many saves is durable, and its receipts are about to tell: when its saves were called for; told once.
    pub(crate) fn committed(&self, saves: usize) -> Vec<Stopwatch> {
        let mut state = self.lock();
        state.about = saves + state.calls.len();
        std::mem::take(&mut state.called)
    }

    pub(crate) fn taken_off(&self, saves: u64, bytes: u64) {
        // Whoever sees these gone sees what their commit has told.
        self.queued_bytes.fetch_sub(bytes, Ordering::Release);
        self.queued_saves.fetch_sub(saves, Ordering::Release);
        self.told.taken_off(saves, bytes);
    }

    pub(crate) fn queued_bytes(&self) -> u64 {
        self.queued_bytes.load(Ordering::Acquire)
    }

    pub(crate) fn queued_saves(&self) -> u64 {
        self.queued_saves.load(Ordering::Acquire)
    }

    fn push(&self, save: Option<Save>) -> Result<Receipt> {
        let called = Stopwatch::start();
        let mut state = self.lock();
        if let Some(refusal) = state.phase.refusal() {
            return Err(refusal);
        }
        let (completion, receipt) = Receipt::pending();
        state.calls.push_back(Call { save, called, completion });
        self.wake(state);
        Ok(receipt)
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let sleeping = std::mem::take(&mut state.sleeping);
        drop(state);
        if sleeping {
            self.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No foreign code runs under this lock, so a poisoned one still holds a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// One save, and those behind it that fit.
    fn take_batch(&mut self, options: &GroupCommitOptions) -> Batch {
        let (Batch { mut saves, mut completions }, mut bytes) = (Batch::default(), 0_u64);
        self.called.clear();
        while let Some(call) = self.calls.front() {
            if let Some(save) = &call.save {
                let more_bytes = bytes.saturating_add(save.size_bytes());
                let full = saves.len() >= options.max_batch_saves.max(1) || more_bytes > options.max_batch_bytes;
                if full && !saves.is_empty() {
                    break;
                }
                bytes = more_bytes;
            }
            let Some(Call { save, called, completion }) = self.calls.pop_front() else { break };
            self.called.extend(save.as_ref().map(|_| called));
            saves.extend(save);
            completions.push(completion);
        }
        Batch { saves, completions }
    }
}

impl Phase {
    fn refusal(&self) -> Option<StorageError> {
        match self {
            Phase::Open => None,
            Phase::Closing => Some(refusal(&Ok(()))),
            Phase::Ended(outcome) => Some(refusal(outcome)),
        }
    }
}

/// The end is told to everybody, whatever panics of theirs meet it.
fn complete(completions: impl IntoIterator<Item = Completion>, outcome: &Result<()>) {
    let _panics_of_wakers = catch_unwind(AssertUnwindSafe(|| Completion::complete_all(completions, outcome)));
}

/// What a save is told that comes after the end.
fn refusal(outcome: &Result<()>) -> StorageError {
    match outcome {
        Ok(()) => StorageError::invalid("the store was closed before this call: open it again"),
        Err(first) => first.poisoned(),
    }
}
