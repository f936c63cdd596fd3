//! The storage port: what a backend promises, and the words it answers with.

mod error;
mod memory;
mod receipt;

use std::{fmt, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;

pub use error::{Result, StorageError, StorageErrorKind};
pub use memory::{MemoryDisk, MemoryEngine, MemoryStorage};
pub use receipt::{Completion, Receipt};

use crate::types::{Entry, LogIndex, RaftState, RaftStateUpdate, SnapshotMeta, SnapshotReader, StagedSnapshot};

/// Durable home of one Raft group's state, log and snapshots. (The ancestor's `Persister`.)
///
/// The contract, by number; the conformance suite tests each line:
///
/// 1. Saves take effect in call order, and receipts resolve in that order (an `Invalid` one at once).
/// 2. One save is atomic across a crash; a crash keeps a *prefix* of the saves.
/// 3. A resolved receipt survives any crash, power loss included. There is no weaker kind.
/// 4. `Append` replaces from its first index on. A gap, or an append at or below the base, is `Invalid`.
/// 5. `CompactTo(id)` drops entries up to and including `id`; reading below is `Compacted`. After every save
///    base <= snapshot <= last entry with agreeing terms (without a snapshot the base is 0), the snapshot that this very
///    save publishes counted; a save that would break this is `Invalid`.
/// 6. `Reset` empties the log and sets its base; it comes only with a snapshot whose last entry is that base. A
///    snapshot older than the published one is `Invalid`.
/// 7. A staged snapshot is invisible until saved; it goes at `discard_snapshot`, or at the next open. To save one that is
///    gone, or was saved before, is `Invalid`; so no id ever comes again, in a later opening either.
/// 8. State and snapshot switch together or not at all. An open reader outlives a newer snapshot.
/// 9. `Invalid` is found at submission, against what is already queued: nothing is written and nothing else suffers. Any
///    other failed save poisons the engine: every later save is `Poisoned` and names the first failure; a failed sync is
///    never retried. Reads may go on.
/// 10. `read_entries` returns at least one entry if there is one, and otherwise stays within `max_bytes`
///     ([`Entry::size_bytes`]). A read is one cut at a save boundary, holding at least every resolved save; racing a
///     compaction it gives the right bytes or `Compacted`.
/// 11. Damage is `Corrupt`, naming the file or key and the offset; never wrong data, never a panic, never a blank store
///     where data was. Only the torn tail of the *last, unacknowledged* batch is dropped silently.
/// 12. `create(location, cluster, node)` initialises atomically and draws a store id at random; a store that is there
///     already it refuses and leaves alone. `open(location, expected)` never initialises: nothing there is
///     `NotInitialised`, another cluster or node is `WrongIdentity`.
/// 13. One process at a time: a second opener gets `Locked` before it has read a byte, and so does whoever asks for a
///     second handle of a group. `close` completes what is queued and gives the group's handle back, as dropping it does;
///     the engine's own `close` unlocks, or the drop of all that has it open, and no failure does.
/// 14. A full disk is `Full`: the save fails whole, nothing written before is harmed, and the store opens again on the
///     full disk. `room_bytes` tells beforehand (net of overhead and of all that is queued): at zero, hard state, the no-op
///     that opens a term, publishing and compaction still succeed, from a reserve.
/// 15. What a read returns after `open` is *durable*: what only the page cache held is written again and synced before
///     open returns. Kill, reopen, acknowledge, power cut: nothing acknowledged is lost.
#[doc(alias = "Persister")]
#[async_trait]
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// Changes state and log. The order of saves is the order of calls; durable when the receipt resolves; never blocks
    /// on I/O.
    #[doc(alias = "SaveRaftState")]
    fn save_raft_state(&self, update: RaftStateUpdate) -> Receipt;

    /// The same, and publishes a staged snapshot in the same atomic step.
    #[doc(alias = "SaveStateAndSnapshot")]
    fn save_state_and_snapshot(&self, update: RaftStateUpdate, snapshot: StagedSnapshot) -> Receipt;

    /// Begins to stage a snapshot: streamed, slow, beside everything else, invisible until saved.
    async fn stage_snapshot(&self, meta: SnapshotMeta) -> Result<Box<dyn SnapshotWriter>>;

    /// Removes a staged snapshot that will not be saved.
    async fn discard_snapshot(&self, staged: StagedSnapshot) -> Result<()>;

    /// Everything but payloads; one cut that holds at least every resolved save.
    #[doc(alias = "ReadRaftState")]
    async fn read_raft_state(&self) -> Result<RaftState>;

    /// Entries of `range` (half-open) from its start on, as many as `max_bytes` allows, but at least one if there is one
    /// in it. A range that begins beyond the end gives an empty list.
    ///
    /// # Errors
    /// `Compacted` where the start lies at or below the base.
    async fn read_entries(&self, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Entry>>;

    /// The published snapshot, if any.
    #[doc(alias = "ReadSnapshot")]
    async fn read_snapshot(&self) -> Result<Option<SnapshotReader>>;

    /// Live bytes of state and log above the base, with what the backend needs around them: whoever keeps this bounded keeps
    /// the log's part of the disk bounded. Cheap; the snapshot policy reads it.
    #[doc(alias = "RaftStateSize")]
    fn raft_state_size(&self) -> u64;

    /// Live bytes of the published snapshot; 0 without one. Cheap.
    #[doc(alias = "SnapshotSize")]
    fn snapshot_size(&self) -> u64;

    /// Bytes that entries ([`Entry::size_bytes`]) may still take before `Full`, net of what is queued, the reserve not
    /// counted. Cheap; `u64::MAX` where unbounded.
    fn room_bytes(&self) -> u64;

    /// What the backend tells of itself beside its sizes, for people: names and values of one word each, in a stable order.
    /// Cheap; none is fine, and a wrapper hands on what it wraps has to tell.
    fn facts(&self) -> Vec<(&'static str, String)>;

    /// Completes what is queued and gives the group's handle back. Saves and reads after it are refused.
    async fn close(&self) -> Result<()>;
}

/// One snapshot on its way in.
#[async_trait]
pub trait SnapshotWriter: Send {
    /// Takes the next bytes; awaiting is the backpressure.
    async fn write(&mut self, chunk: Bytes) -> Result<()>;

    /// Makes all of it durable, still invisible.
    async fn finish(self: Box<Self>) -> Result<StagedSnapshot>;

    /// Removes it; dropping the writer forgets it too, lazily.
    async fn abort(self: Box<Self>) -> Result<()>;
}
