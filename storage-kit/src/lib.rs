//! What local backends share: [`GroupCommit`], the one writer thread of an engine, and the [`Group`]s that it writes.
//!
//! A backend writes a [`BatchWriter`]: blocking, single-threaded code that makes a batch of [`Save`]s durable with one
//! sync. The kit gives it the order of calls, batches that grow by themselves while a sync runs, receipts, and the
//! poison that stops everything at the first failure.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//!
//! use eraft_core::{Entry, GroupId, HardState, LogChange, NodeId, RaftStateUpdate, Result, Term};
//! use eraft_storage_kit::{BatchWriter, GroupCommit, GroupCommitOptions, Save};
//!
//! /// A "disk" that counts its syncs.
//! struct Disk(Arc<Mutex<u32>>);
//!
//! impl BatchWriter for Disk {
//!     fn commit(&mut self, batch: &[Save]) -> Result<()> {
//!         assert!(!batch.is_empty());
//!         *self.0.lock().unwrap() += 1; // one sync, however many saves
//!         Ok(())
//!     }
//!     fn idle(&mut self) -> Result<()> {
//!         Ok(())
//!     }
//!     fn close(&mut self) -> Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! let syncs = Arc::new(Mutex::new(0));
//! let writer = GroupCommit::start("doc", NodeId(1), Disk(Arc::clone(&syncs)), GroupCommitOptions::default())?;
//! let save = |term| Save {
//!     group: GroupId::ZERO,
//!     update: RaftStateUpdate {
//!         hard_state: Some(HardState { term: Term(term), ..HardState::default() }),
//!         log: LogChange::Keep,
//!     },
//!     snapshot: None,
//! };
//! let receipts = [writer.submit(save(1)), writer.submit(save(2))]; // in order already, awaited or not
//! for receipt in receipts {
//!     futures_executor::block_on(receipt)?; // durable
//! }
//! assert!((1..=2).contains(&*syncs.lock().unwrap()));
//! writer.close_blocking()?;
//! # Ok::<(), eraft_core::StorageError>(())
//! ```

mod blocking;
pub mod error;
mod gather;
mod group;
mod group_commit;
mod metrics;
mod options;
mod queue;
mod randomness;
mod save;
mod stepped;
mod thread;

pub use blocking::blocking;
pub use group::{Group, Handle};
pub use group_commit::{GroupCommit, Queued, Stats};
pub use metrics::metrics;
pub use options::GroupCommitOptions;
pub use randomness::generator;
pub use save::{BatchWriter, MAX_SAVE_BYTES, Save};
pub use stepped::Steps;
