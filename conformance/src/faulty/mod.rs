//! A store that fails, delays and tears by plan: [`Faulty`], a wrapper over any store, and [`Faults`], its strings.
//!
//! It is for the tests of whoever stands on a store: a node, a service, a wrapper of stores. A backend's own faults lie
//! deeper, at its system calls, where the suite's [`Env`](crate::Env) puts them. The wrapper keeps the contract
//! wherever the plan does not break it on purpose: receipts resolve in order, and after a failed save every later one is
//! `Poisoned` and reaches nothing. It may assume a tokio runtime, under which it delays (a paused clock included), and must
//! never change what is saved or read.
//!
//! ```
//! use std::sync::Arc;
//!
//! use eraft_conformance::faulty::{Fault, Faulty, Method};
//! use eraft_conformance::make::{append, entries};
//! use eraft_core::*;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let disk = MemoryDisk::new(1);
//! MemoryStorage::create(&disk, ClusterId(7), NodeId(1))?;
//! let (storage, faults) = Faulty::over(Arc::new(MemoryStorage::open(&disk, Expected::any())?));
//!
//! // The second save from now on is torn: the entry is there, and its receipt says that it may not be.
//! let gone = StorageError::new(StorageErrorKind::Io, "syncing", "the device is gone");
//! faults.fail_nth(Method::Save, 2, Fault::FailDone(gone));
//! storage.save_raft_state(append(entries(1, 1, 1))).await?;
//! let torn = storage.save_raft_state(append(entries(1, 2, 2))).await.unwrap_err();
//! assert_eq!(torn.kind(), StorageErrorKind::Io);
//! assert_eq!(storage.read_raft_state().await?.outline.last_index(), LogIndex(2));
//!
//! // From then on it is poisoned, as the contract has it.
//! let later = storage.save_raft_state(append(entries(1, 3, 3))).await.unwrap_err();
//! assert_eq!(later.kind(), StorageErrorKind::Poisoned);
//! assert_eq!(faults.calls(Method::Save), 3);
//! # Ok(())
//! # }
//! ```

mod plan;
mod receipts;
mod snapshot;

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use eraft_core::{
    Entry, LogIndex, RaftState, RaftStateUpdate, Receipt, Result, SnapshotMeta, SnapshotReader, SnapshotWriter,
    StagedSnapshot, Storage, StorageErrorKind,
};
use futures_util::FutureExt as _;

pub use plan::{Fault, Faults, Method};

use self::{
    plan::Met,
    receipts::{Outcome, Receipts},
};

/// Hands everything on to another store, under a plan of faults.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Storage>,
    faults: Faults,
    receipts: Receipts,
}

impl Faulty {
    /// Wraps a store; nothing fails before the [`Faults`] say so. To be called within a tokio runtime.
    pub fn over(inner: Arc<dyn Storage>) -> (Arc<Faulty>, Faults) {
        let faults = Faults::default();
        let receipts = Receipts::start(faults.clone());
        (Arc::new(Faulty { inner, faults: faults.clone(), receipts }), faults)
    }

    fn save(&self, save: impl FnOnce(&dyn Storage) -> Receipt) -> Receipt {
        let met = self.faults.meet(Method::Save);
        if let Some(first) = self.faults.poison() {
            return self.receipts.queue(None, met.delay, Outcome::Told(Err(first.poisoned())));
        }
        match met.fault {
            None | Some(Fault::Delay(_)) => {
                let mut receipt = save(&*self.inner);
                match (&mut receipt).now_or_never() {
                    // Nothing was queued, so it resolves at once.
                    Some(Err(error)) if error.kind() == StorageErrorKind::Invalid => Receipt::resolved(Err(error)),
                    Some(outcome) => self.receipts.queue(None, met.delay, Outcome::Told(outcome)),
                    None => self.receipts.queue(Some(receipt), met.delay, Outcome::AsItWas),
                }
            }
            Some(Fault::Fail(error)) => {
                self.faults.poison_with(&error);
                self.receipts.queue(None, met.delay, Outcome::Told(Err(error)))
            }
            Some(Fault::FailDone(error)) => {
                self.faults.poison_with(&error);
                self.receipts.queue(Some(save(&*self.inner)), met.delay, Outcome::Told(Err(error)))
            }
            Some(Fault::Lie) => self.receipts.queue(None, met.delay, Outcome::Told(Ok(()))),
        }
    }
}

#[async_trait]
impl Storage for Faulty {
    fn save_raft_state(&self, update: RaftStateUpdate) -> Receipt {
        self.save(|inner| inner.save_raft_state(update))
    }

    fn save_state_and_snapshot(&self, update: RaftStateUpdate, snapshot: StagedSnapshot) -> Receipt {
        self.faults.stage_ends();
        self.save(|inner| inner.save_state_and_snapshot(update, snapshot))
    }

    async fn stage_snapshot(&self, meta: SnapshotMeta) -> Result<Box<dyn SnapshotWriter>> {
        let met = self.faults.pass(Method::Stage).await?;
        let writer = snapshot::Writer::over(self.inner.stage_snapshot(meta).await?, self.faults.clone());
        met.done(Box::new(writer) as Box<dyn SnapshotWriter>)
    }

    async fn discard_snapshot(&self, staged: StagedSnapshot) -> Result<()> {
        let met = self.faults.pass(Method::Discard).await?;
        self.faults.stage_ends();
        self.inner.discard_snapshot(staged).await.and_then(|()| met.done(()))
    }

    async fn read_raft_state(&self) -> Result<RaftState> {
        let met = self.faults.pass(Method::ReadState).await?;
        self.inner.read_raft_state().await.and_then(|state| met.done(state))
    }

    async fn read_entries(&self, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Entry>> {
        let met = self.faults.pass(Method::ReadEntries).await?;
        self.inner.read_entries(range, max_bytes).await.and_then(|entries| met.done(entries))
    }

    async fn read_snapshot(&self) -> Result<Option<SnapshotReader>> {
        let met = self.faults.pass(Method::ReadSnapshot).await?;
        let reader = self.inner.read_snapshot().await?;
        met.done(reader.map(|reader| snapshot::read(reader, self.faults.clone())))
    }

    fn raft_state_size(&self) -> u64 {
        self.inner.raft_state_size()
    }

    fn snapshot_size(&self) -> u64 {
        self.inner.snapshot_size()
    }

    fn room_bytes(&self) -> u64 {
        self.faults.room_bytes().unwrap_or_else(|| self.inner.room_bytes())
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        self.inner.facts()
    }

    async fn close(&self) -> Result<()> {
        let met = self.faults.pass(Method::Close).await?;
        self.inner.close().await.and_then(|()| met.done(()))
    }
}

impl Met {
    /// What a call that was done gives.
    fn done<T>(self, given: T) -> Result<T> {
        match self.fault {
            Some(Fault::FailDone(error)) => Err(error),
            _ => Ok(given),
        }
    }
}
