//! A contender that is a store of ours, with a number of saves outstanding, as a node has them.

use std::{
    collections::VecDeque,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use eraft_core::{
    ClusterId, ConfState, Entry, EntryId, Expected, HardState, LogChange, LogIndex, NodeId, RaftStateUpdate,
    SnapshotMeta, Storage, Term,
};
use eraft_storage_file::FileStorage;
use eraft_storage_rocksdb::RocksStorage;
use futures_executor::block_on;

use crate::rounds::Contender;

/// Bytes of entries that one save of [`Log::fill`] holds.
const FILL_BYTES: u64 = 1 << 20;

/// A backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    RocksDb,
    Files,
}

impl Backend {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Backend::RocksDb => "eraft on RocksDB",
            Backend::Files => "eraft on plain files",
        }
    }

    fn blank(self, dir: &Path) -> eraft_core::Result<Arc<dyn Storage>> {
        let (cluster, node) = (ClusterId(1), NodeId(1));
        Ok(match self {
            Backend::RocksDb => {
                RocksStorage::create(dir, cluster, node)?;
                Arc::new(RocksStorage::open(dir, Expected::any())?)
            }
            Backend::Files => {
                FileStorage::create(dir, cluster, node)?;
                Arc::new(FileStorage::open(dir, Expected::any())?)
            }
        })
    }
}

/// Bytes that no compression makes shorter.
pub(crate) fn payload(bytes: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(bytes).collect()
}

/// A log in a store.
pub(crate) struct Log {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) term: u64,
    pub(crate) last: u64,
    pub(crate) payload: Bytes,
}

impl Log {
    pub(crate) fn blank(backend: Backend, dir: &Path, payload_bytes: usize) -> anyhow::Result<Log> {
        let log = Log { storage: backend.blank(dir)?, term: 1, last: 0, payload: payload(payload_bytes) };
        let hard_state = HardState { term: Term(1), vote: Some(NodeId(1)), commit: LogIndex(0) };
        let update = RaftStateUpdate { hard_state: Some(hard_state), log: LogChange::Keep };
        block_on(log.storage.save_raft_state(update))?;
        Ok(log)
    }

    fn entry(&self, index: u64) -> Entry {
        Entry::command(Term(self.term), LogIndex(index), self.payload.clone())
    }

    /// Appends entries up to `last`, many to a save.
    pub(crate) fn fill(&mut self, last: u64) -> anyhow::Result<()> {
        let batch = (FILL_BYTES / self.entry(1).size_bytes()).max(1);
        while self.last < last {
            let upto = last.min(self.last + batch);
            let entries = (self.last + 1..=upto).map(|index| self.entry(index)).collect();
            let update = RaftStateUpdate { hard_state: None, log: LogChange::Append(entries) };
            block_on(self.storage.save_raft_state(update))?;
            self.last = upto;
        }
        Ok(())
    }

    /// Replaces the last `entries` by as many of a newer term.
    pub(crate) fn replace_tail(&mut self, entries: u64) -> anyhow::Result<()> {
        let last = self.last;
        self.term += 1;
        self.last -= entries;
        self.fill(last)
    }

    /// Publishes a small snapshot up to `index`, an entry of `term`, and drops the log to there.
    pub(crate) fn compact(&self, index: u64, term: u64) -> anyhow::Result<()> {
        let last = EntryId::new(term, index);
        let conf_state = ConfState::of_voters([(NodeId(1), Bytes::new())]);
        let staged = block_on(async {
            let mut writer = self.storage.stage_snapshot(SnapshotMeta { last, conf_state }).await?;
            writer.write(self.payload.clone()).await?;
            writer.finish().await
        })?;
        let update = RaftStateUpdate { hard_state: None, log: LogChange::CompactTo(last) };
        Ok(block_on(self.storage.save_state_and_snapshot(update, staged))?)
    }
}

/// Appends one entry a save, with `writers` saves outstanding.
pub(crate) struct Appends {
    pub(crate) name: String,
    pub(crate) log: Log,
    pub(crate) writers: usize,
    pub(crate) per_round: u64,
}

impl Contender for Appends {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn round(&mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let last = self.log.last + self.per_round;
        let mut outstanding = VecDeque::with_capacity(self.writers);
        loop {
            while outstanding.len() < self.writers && self.log.last < last {
                self.log.last += 1;
                let log = LogChange::Append(vec![self.log.entry(self.log.last)]);
                outstanding.push_back(self.log.storage.save_raft_state(RaftStateUpdate { hard_state: None, log }));
            }
            let Some(receipt) = outstanding.pop_front() else { return Ok(begun.elapsed()) };
            block_on(receipt)?;
        }
    }
}
