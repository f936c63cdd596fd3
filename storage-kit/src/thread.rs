//! The writer thread: takes a batch, commits it, completes its receipts, and stops for good at the first failure.
//!
//! It may assume that it alone calls the [`BatchWriter`]. It must never complete a receipt with success before the
//! commit of its batch has returned, never call the writer again after a failure, and never end with a receipt open.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering,
};

use eraft_core::{Result, StorageError, StorageErrorKind};
use eraft_metrics_kit::Stopwatch;

use crate::{
    BatchWriter, GroupCommitOptions, Save,
    group_commit::Shared,
    queue::{Batch, Next},
};

/// The life of the thread.
pub(crate) fn run<W: BatchWriter>(shared: &Shared, mut writer: W, options: &GroupCommitOptions) {
    // The outer guard is for a waker that panics: it must not leave the rest of the queue without an answer.
    let outcome = guarded("completing saves", || serve(shared, &mut writer, options));
    end(shared, writer, outcome);
}

/// The end of an engine: everything that waits is answered, the writer goes, and then it is told.
pub(crate) fn end<W>(shared: &Shared, writer: W, outcome: Result<()>) {
    let queue = &shared.queue;
    if let Err(error) = &outcome {
        queue.fail(error);
    }
    queue.end(&outcome);
    // Whatever the writer holds (files, a lock) is given back before the end is told.
    let dropped = guarded("dropping the writer", || {
        drop(writer);
        Ok(())
    });
    queue.tell_closers(&outcome.and(dropped));
}

/// Serves until the engine closes (`Ok`) or fails.
fn serve(shared: &Shared, writer: &mut dyn BatchWriter, options: &GroupCommitOptions) -> Result<()> {
    let queue = &shared.queue;
    loop {
        match queue.next(options) {
            Next::Batch(batch) => serve_batch(shared, writer, batch)?,
            Next::Idle => guarded("confirming the last batch", || writer.idle())?,
            Next::Close => return guarded("closing the writer", || writer.close()),
        }
    }
}

/// Commits a batch, and completes its receipts.
pub(crate) fn serve_batch(shared: &Shared, writer: &mut dyn BatchWriter, batch: Batch) -> Result<()> {
    let Batch { saves, completions } = batch;
    let outcome = commit(shared, writer, &saves);
    if let Err(error) = &outcome {
        shared.queue.fail(error);
    }
    // One tight loop: a woken task that runs meanwhile finds most of its receipts resolved already.
    for completion in completions {
        completion.complete(outcome.clone());
    }
    outcome
}

fn commit(shared: &Shared, writer: &mut dyn BatchWriter, saves: &[Save]) -> Result<()> {
    if saves.is_empty() {
        return Ok(());
    }
    let (count, bytes) = (saves.len() as u64, saves.iter().map(Save::size_bytes).sum());
    let begun = Stopwatch::start();
    let outcome = guarded("committing a batch", || writer.commit(saves));
    shared.queue.taken_off(count, bytes);
    if outcome.is_ok() {
        shared.batches.fetch_add(1, Ordering::Relaxed);
        shared.saves.fetch_add(count, Ordering::Relaxed);
        shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        shared.told.committed(count, bytes, begun, &shared.queue.take_called());
    }
    outcome
}

/// Turns a panic into an error. Nothing that panicked is used again, so a half-made change in it does no harm.
pub(crate) fn guarded(during: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let detail = format!("the writer panicked ({}): stop the node and report the bug", panic_text(panic.as_ref()));
        Err(StorageError::new(StorageErrorKind::Io, during, detail))
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a text")
}
