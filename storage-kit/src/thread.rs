//! The writer thread: takes a batch, commits it, completes its receipts, and stops for good at the first failure.
//!
//! It may assume that it alone calls the [`BatchWriter`]. It must never complete a receipt with success before the
//! commit of its batch has returned, never call the writer again after a failure, never end with a receipt open, and
//! never let go of the writer while somebody may still use the store.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering,
};

use eraft_core::{Completion, Result, StorageError, StorageErrorKind};
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
    answer(shared, &outcome);
    // A store that has failed is not free: its handles still read it, and stages still write beside the log. Whoever
    // opened it now would change files under them.
    shared.queue.wait_for_closer();
    let_go(shared, writer, outcome);
}

/// The last save of an engine: everything that waits is answered, and nothing more is let in.
pub(crate) fn answer(shared: &Shared, outcome: &Result<()>) {
    if let Err(error) = outcome {
        shared.queue.fail(error);
    }
    shared.queue.end(outcome);
}

/// The end of an engine: the writer goes, and then it is told.
pub(crate) fn let_go<W>(shared: &Shared, writer: W, outcome: Result<()>) {
    // Whatever the writer holds (files, a lock) is given back before the end is told.
    let dropped = guarded("dropping the writer", || {
        drop(writer);
        Ok(())
    });
    shared.queue.tell_closers(&outcome.and(dropped));
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
    Completion::complete_all(completions, &outcome);
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
        shared.told.committed(count, bytes, begun, &shared.queue.committed(saves.len()));
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
