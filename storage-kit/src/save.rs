//! What is saved, and what makes it durable.

use eraft_core::{GroupId, LogChange, RaftStateUpdate, Result, StagedSnapshot, codec};

/// The most that the entries of one save may count for: it must fit into memory, four times over, and into one record of a log.
/// A batch of messages is a hundred times smaller.
pub const MAX_SAVE_BYTES: u64 = 256 << 20;

/// One save of one group: takes effect whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Save {
    /// Whose state it is.
    pub group: GroupId,
    /// What changes in state and log.
    pub update: RaftStateUpdate,
    /// The staged snapshot that the same atomic step publishes.
    pub snapshot: Option<StagedSnapshot>,
}

impl Save {
    /// What it counts for in every bound that is given in bytes: its entries
    /// ([`Entry::size_bytes`](eraft_core::Entry::size_bytes)), what its snapshot says of the members, and a fixed 64 for
    /// the rest.
    pub fn size_bytes(&self) -> u64 {
        let entries = match &self.update.log {
            LogChange::Append(entries) => entries.iter().map(eraft_core::Entry::size_bytes).sum(),
            LogChange::Keep | LogChange::CompactTo(_) | LogChange::Reset { .. } => 0,
        };
        let meta = self.snapshot.as_ref().map_or(0, |snapshot| codec::encode(&snapshot.meta).len() as u64);
        64 + entries + meta
    }
}

/// The disk side of an engine: blocking, single-threaded, nothing async to learn.
///
/// It is called by one thread, and never again after it has returned an error or panicked: a failed sync is not
/// retried, by construction.
pub trait BatchWriter: Send + 'static {
    /// Makes all saves of the batch durable, in order, with one sync; `batch` is never empty. They may belong to
    /// different groups. A crash in the middle must leave a prefix of all saves ever made.
    ///
    /// # Errors
    /// Whatever stopped it. The saves of the batch may or may not be durable then, and the engine is poisoned.
    fn commit(&mut self, batch: &[Save]) -> Result<()>;

    /// Called once when nothing was saved for a while after a commit: the moment to confirm the last batch on disk.
    ///
    /// # Errors
    /// As for [`BatchWriter::commit`]: poisons the engine.
    fn idle(&mut self) -> Result<()>;

    /// Called once, last, when everything that was queued has been committed.
    ///
    /// # Errors
    /// Whatever stopped it; everything committed before stays durable.
    fn close(&mut self) -> Result<()>;
}
