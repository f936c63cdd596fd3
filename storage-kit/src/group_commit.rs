//! The handle of the writer thread: many callers put saves in, one thread makes them durable.

#![expect(
    clippy::disallowed_methods,
    reason = "this is where the one writer thread of an engine is started and joined"
)]

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use eraft_core::{NodeId, Receipt, Result, StorageError, StorageErrorKind};

use crate::{BatchWriter, GroupCommitOptions, Save, Steps, metrics::Told, queue::Queue, thread};

/// One writer thread, and the queue before it.
///
/// 1. The order of calls is the order of saves and of receipts.
/// 2. A receipt resolves with success only after the commit of its batch has returned success.
/// 3. At the first failure the receipts of that batch get it, and every later one gets it
///    [`poisoned`](StorageError::poisoned); the writer is not called again. A panic of the writer is a failure.
/// 4. The writer, and with it whatever it holds (files, a lock), is dropped by [`GroupCommit::close`] or with the handle,
///    never by a failure alone.
/// 5. No call but [`GroupCommit::close_blocking`] and the drop ever waits for I/O.
///
/// Dropping it closes it and waits for the thread.
pub struct GroupCommit {
    shared: Arc<Shared>,
    /// Held while a save is checked and queued, so that no other comes between.
    submission: Mutex<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What callers and thread share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) batches: AtomicU64,
    pub(crate) saves: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) told: Arc<Told>,
}

impl Shared {
    fn new(node: NodeId) -> Shared {
        let told = Arc::new(Told::new(node));
        Shared {
            queue: Queue::new(Arc::clone(&told)),
            batches: AtomicU64::new(0),
            saves: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            told,
        }
    }
}

/// What is queued or being committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// How many saves.
    pub saves: u64,
    /// Their bytes ([`Save::size_bytes`]).
    pub bytes: u64,
}

/// What has been committed since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Batches: one sync each.
    pub batches: u64,
    /// Saves.
    pub saves: u64,
    /// Their bytes ([`Save::size_bytes`]).
    pub bytes: u64,
}

impl GroupCommit {
    /// Starts the thread; `name` is what debuggers show, `node` whose metrics these are.
    ///
    /// # Errors
    /// `Unavailable` where the system gives no thread.
    pub fn start(
        name: &str,
        node: NodeId,
        writer: impl BatchWriter,
        options: GroupCommitOptions,
    ) -> Result<GroupCommit> {
        let shared = Arc::new(Shared::new(node));
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(format!("eraft-{name}"))
            .spawn(move || thread::run(&for_thread, writer, &options))
            .map_err(|source| {
                StorageError::with_source(
                    StorageErrorKind::Unavailable,
                    "starting the writer thread",
                    "the system gives no thread: raise its limit, or stop other processes",
                    source,
                )
            })?;
        Ok(GroupCommit { shared, submission: Mutex::new(()), thread: Mutex::new(Some(thread)) })
    }

    /// The same without a thread: what is queued is committed when the [`Steps`] are told to. For simulators.
    pub fn stepped(node: NodeId, writer: impl BatchWriter) -> (GroupCommit, Steps) {
        let shared = Arc::new(Shared::new(node));
        let steps = Steps::new(Arc::clone(&shared), Box::new(writer));
        (GroupCommit { shared, submission: Mutex::new(()), thread: Mutex::new(None) }, steps)
    }

    /// Queues a save. Never blocks on I/O; durable when the receipt resolves.
    pub fn submit(&self, save: Save) -> Receipt {
        self.submit_with(|| Ok(save))
    }

    /// Checks and queues a save in one step that no other submission can divide: `check` sees exactly the saves queued
    /// before it, and what it answers `Err` resolves the receipt at once, with nothing queued.
    ///
    /// `check` is not called once the engine has failed or closes, must be quick, and must not submit.
    pub fn submit_with(&self, check: impl FnOnce() -> Result<Save>) -> Receipt {
        let _one_at_a_time = self.submission.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(refusal) = self.shared.queue.refusal() {
            return Receipt::resolved(Err(refusal));
        }
        match check() {
            Ok(save) => self.shared.queue.push_save(save),
            Err(error) => Receipt::resolved(Err(error)),
        }
    }

    /// Resolves when every save submitted before it has been answered; an error is the failure that poisoned the engine.
    pub fn flush(&self) -> Receipt {
        self.shared.queue.push_flush()
    }

    /// What is queued or being committed. Cheap, takes no lock.
    pub fn queued(&self) -> Queued {
        Queued { saves: self.shared.queue.queued_saves(), bytes: self.shared.queue.queued_bytes() }
    }

    /// What has been committed. Cheap, takes no lock.
    pub fn stats(&self) -> Stats {
        Stats {
            batches: self.shared.batches.load(Ordering::Relaxed),
            saves: self.shared.saves.load(Ordering::Relaxed),
            bytes: self.shared.bytes.load(Ordering::Relaxed),
        }
    }

    /// The first failure, which poisoned the engine. Cheap, takes no lock.
    pub fn failure(&self) -> Option<StorageError> {
        self.shared.queue.failure()
    }

    /// Lets no further save in, completes what is queued, closes the writer and drops it. The receipt resolves after
    /// all that; an error is the first failure. Any number of calls, the same answer.
    pub fn close(&self) -> Receipt {
        self.shared.queue.close()
    }

    /// The same for callers that may block: waits until the thread is gone.
    ///
    /// # Errors
    /// The first failure of the engine.
    pub fn close_blocking(&self) -> Result<()> {
        drop(self.close());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            // The last handle may die on the writer thread itself, inside a waker that it calls.
            && thread.thread().id() != std::thread::current().id()
        {
            let _answers_are_in_the_queue = thread.join();
        }
        self.failure().map_or(Ok(()), Err)
    }
}

impl Drop for GroupCommit {
    fn drop(&mut self) {
        let _told_to_nobody = self.close_blocking();
    }
}

impl fmt::Debug for GroupCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCommit")
            .field("queued", &self.queued())
            .field("stats", &self.stats())
            .field("failure", &self.failure())
            .finish()
    }
}
