//! How a node ends: once, with the first cause, whatever follows from it.
//!
//! Tasks report what the loop must know by [`Signals`]; only the loop's supervisor declares the end by [`Stop`]. A panic
//! is a report like any other: it must never end a node in silence.

use std::{
    any::Any,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
};

use eraft_core::LogIndex;
use futures_util::{FutureExt, task::AtomicWaker};
use tokio::sync::watch;

use crate::StopCause;

/// The end of a node, and its cause.
#[derive(Debug)]
pub(crate) struct Stop {
    cause: watch::Sender<Option<StopCause>>,
}

impl Stop {
    pub(crate) fn new() -> Stop {
        Stop { cause: watch::Sender::new(None) }
    }

    /// Declares the end; the first cause stands.
    pub(crate) fn declare(&self, cause: StopCause) {
        self.cause.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(cause);
            }
            first
        });
    }

    /// The cause, once it has ended.
    pub(crate) fn cause(&self) -> Option<StopCause> {
        self.cause.borrow().clone()
    }

    /// Resolves to the cause when it has ended.
    pub(crate) async fn ended(&self) -> StopCause {
        let mut watcher = self.cause.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let declared = watcher.wait_for(Option::is_some).await.map(|cause| cause.clone());
        declared.ok().flatten().unwrap_or(StopCause::RuntimeEnded)
    }
}

/// Declares [`StopCause::RuntimeEnded`] when the loop's task is dropped without having ended: nobody waits for ever.
#[derive(Debug)]
pub(crate) struct DeclareOnDrop<F: Fn()>(pub(crate) F);

impl<F: Fn()> Drop for DeclareOnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// What other tasks tell the loop: only the latest counts, so nothing queues.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    applied: AtomicU64,
    shutdown: AtomicBool,
    failed: OnceLock<StopCause>,
    waker: AtomicWaker,
}

impl Signals {
    /// The loop is to be woken through `waker` by whatever is signalled from now on.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// The state machine has applied everything up to `index`.
    pub(crate) fn set_applied(&self, index: LogIndex) {
        self.applied.store(index.0, Ordering::Release);
        self.waker.wake();
    }

    pub(crate) fn applied(&self) -> LogIndex {
        LogIndex(self.applied.load(Ordering::Acquire))
    }

    /// Somebody wants the node to end.
    pub(crate) fn request_shutdown(&self) {
        self.shutdown.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(crate) fn shutdown_requested(&self) -> bool {
        self.shutdown.load(Ordering::Acquire)
    }

    /// A task cannot go on, so the node must end; the first cause stands.
    pub(crate) fn fail(&self, cause: StopCause) {
        let _later_cause = self.failed.set(cause);
        self.waker.wake();
    }

    pub(crate) fn failure(&self) -> Option<&StopCause> {
        self.failed.get()
    }
}

/// Runs `work`; a panic in it becomes a cause that names `task`.
pub(crate) async fn catch_panic<T>(task: &'static str, work: impl Future<Output = T>) -> Result<T, StopCause> {
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .map_err(|panic| StopCause::Panicked { task, message: panic_message(&*panic) })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
