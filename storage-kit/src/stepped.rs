//! An engine without a thread: whoever holds its [`Steps`] decides when a batch is committed, and how large it is.
//!
//! For simulators, where one seed must give one history. What callers see is the same as with the thread, but for two
//! things: a receipt resolves inside the call that commits its save, so nobody may wait for one where nobody steps; and
//! the writer goes with the [`Steps`], not with the handle.

use std::{fmt, sync::Arc};

use eraft_core::{Result, StorageError, StorageErrorKind};

use crate::{BatchWriter, GroupCommitOptions, group_commit::Shared, thread};

/// The writer's side of [`GroupCommit::stepped`](crate::GroupCommit::stepped).
///
/// Dropped, it commits nothing more: what is queued is answered with an error, as if the process had ended there.
pub struct Steps {
    shared: Arc<Shared>,
    /// Gone with the end; never called again after the first failure.
    writer: Option<Box<dyn BatchWriter>>,
}

impl Steps {
    pub(crate) fn new(shared: Arc<Shared>, writer: Box<dyn BatchWriter>) -> Steps {
        Steps { shared, writer: Some(writer) }
    }

    /// Commits the first `saves` of what is queued, or all there is, as one batch; their receipts have resolved then.
    ///
    /// # Errors
    /// What the writer said: the engine has ended by that, and this is what every later call says too.
    pub fn commit(&mut self, saves: usize) -> Result<()> {
        if saves == 0 {
            return self.shared.queue.failure().map_or(Ok(()), Err);
        }
        let bounds = GroupCommitOptions { max_batch_saves: saves, max_batch_bytes: u64::MAX, idle_after: None };
        let batch = self.shared.queue.take_batch(&bounds);
        self.step(|shared, writer| thread::serve_batch(shared, writer, batch))
    }

    /// The moment to confirm the last batch ([`BatchWriter::idle`]).
    ///
    /// # Errors
    /// As [`Steps::commit`].
    pub fn idle(&mut self) -> Result<()> {
        self.step(|_, writer| thread::guarded("confirming the last batch", || writer.idle()))
    }

    /// Lets nothing more in, commits what is queued, and closes the writer.
    ///
    /// # Errors
    /// The first failure of the engine.
    pub fn close(mut self) -> Result<()> {
        drop(self.shared.queue.close());
        self.commit(usize::MAX)?;
        self.step(|_, writer| thread::guarded("closing the writer", || writer.close()))?;
        self.end(Ok(()));
        Ok(())
    }

    fn step(&mut self, work: impl FnOnce(&Shared, &mut dyn BatchWriter) -> Result<()>) -> Result<()> {
        let failed = self.shared.queue.failure();
        let (Some(writer), None) = (&mut self.writer, &failed) else { return failed.map_or(Ok(()), Err) };
        let outcome = work(&self.shared, writer.as_mut());
        if outcome.is_err() {
            thread::answer(&self.shared, &outcome);
        }
        outcome
    }

    fn end(&mut self, outcome: Result<()>) {
        if let Some(writer) = self.writer.take() {
            thread::answer(&self.shared, &outcome);
            thread::let_go(&self.shared, writer, outcome);
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        let lost = || {
            StorageError::new(
                StorageErrorKind::Poisoned,
                "waiting for a save",
                "whoever stepped the engine has let go of it, so the save may or may not be durable: reopen the store",
            )
        };
        self.end(Err(self.shared.queue.failure().unwrap_or_else(lost)));
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps").field("ended", &self.writer.is_none()).finish_non_exhaustive()
    }
}
