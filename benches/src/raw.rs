//! Raw RocksDB doing what our backend does with it: the same options, rows, bytes and syncs, and nothing of what makes it a
//! store, neither checksums nor checks. It is as fast as a log on RocksDB can be, and the peer that ours is measured by.

use std::{
    path::Path,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use eraft_storage_rocksdb::rocksdb::{Cache, DB, Env, Options, WriteBatch, WriteOptions};

use crate::{rounds::Contender, store};

/// What our backend puts before an entry's payload, and what it writes with every batch: the head of the group.
const ENTRY_HEADER_BYTES: usize = 22;
const HEAD_KEY_BYTES: usize = 17;
const HEAD_BYTES: usize = 48;

/// How threads share the work of making writes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tuning {
    /// Each writer is a thread that writes without a sync, and then syncs RocksDB's log.
    ThreadsSync,
    /// One thread takes what is queued as one batch, and syncs it; a writer waits for its word.
    OneThreadBatches,
    /// Each writer is a thread whose write is synced: RocksDB lets one of them write for all.
    WriteGroup,
}

impl Tuning {
    fn name(self, writers: usize) -> &'static str {
        match (self, writers) {
            (Tuning::ThreadsSync, _) => "raw RocksDB, threads sync",
            (Tuning::OneThreadBatches, 1) => "raw RocksDB, behind a hand-off",
            (Tuning::OneThreadBatches, _) => "raw RocksDB, one thread batches",
            (Tuning::WriteGroup, 1) => "raw RocksDB, called directly",
            (Tuning::WriteGroup, _) => "raw RocksDB, its write group",
        }
    }
}

/// A database of its own, and how it is written to.
pub(crate) struct Raw {
    db: DB,
    tuning: Tuning,
    writers: usize,
    per_round: u64,
    last: u64,
    payload: Bytes,
}

impl Raw {
    /// A blank database in `dir` with the options of the one that a store of ours keeps in `like`.
    pub(crate) fn blank(
        dir: &Path,
        like: &Path,
        tuning: Tuning,
        (writers, per_round, payload_bytes): (usize, u64, usize),
    ) -> anyhow::Result<Raw> {
        let cache = Cache::new_lru_cache(32 << 20);
        let (mut options, families) = Options::load_latest(like, Env::new()?, true, cache)
            .with_context(|| format!("cannot read the options of {}", like.display()))?;
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        // The one option of ours that is not told in the file.
        options.enable_statistics();
        let db = DB::open_cf_descriptors(&options, dir, families)?;
        Ok(Raw { db, tuning, writers, per_round, last: 0, payload: store::payload(payload_bytes) })
    }

    /// The rows of one batch of ours: its entries, and the head.
    fn rows(&self, entries: impl IntoIterator<Item = u64>) -> anyhow::Result<WriteBatch> {
        let family = |name: &str| self.db.cf_handle(name).with_context(|| format!("no column family {name}"));
        let (log, state) = (family("log")?, family("state")?);
        let mut batch = WriteBatch::default();
        let mut value = Vec::with_capacity(ENTRY_HEADER_BYTES + self.payload.len());
        for index in entries {
            value.clear();
            value.resize(ENTRY_HEADER_BYTES, 1);
            value.extend_from_slice(&self.payload);
            batch.put_cf(log, u128::from(index).to_be_bytes(), &value);
        }
        batch.put_cf(state, [2; HEAD_KEY_BYTES], [3; HEAD_BYTES]);
        Ok(batch)
    }

    fn write(&self, batch: WriteBatch, sync: bool) -> anyhow::Result<()> {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        Ok(self.db.write_opt(batch, &options)?)
    }

    /// Every writer is a thread that writes until the round's work is done.
    fn in_threads(&self, write: impl Fn(u64) -> anyhow::Result<()> + Sync) -> anyhow::Result<()> {
        let (next, last) = (AtomicU64::new(self.last + 1), self.last + self.per_round);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index > last {
                    return anyhow::Ok(());
                }
                write(index)?;
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.writers).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a writer panicked"))?)
        })
    }

    /// One thread writes; this one keeps `writers` entries outstanding with it.
    fn handed_over(&self) -> anyhow::Result<()> {
        let (hand_over, queue) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let write_what_is_queued = move || {
            while let Ok(first) = queue.recv() {
                let entries: Vec<u64> = std::iter::once(first).chain(queue.try_iter()).collect();
                self.write(self.rows(entries.iter().copied())?, true)?;
                if tell.send(entries.len()).is_err() {
                    break;
                }
            }
            anyhow::Ok(())
        };
        std::thread::scope(|scope| {
            let writer = scope.spawn(write_what_is_queued);
            let (mut outstanding, mut done) = (0, 0);
            let mut entries = self.last + 1..=self.last + self.per_round;
            while done < self.per_round {
                for index in entries.by_ref().take(self.writers - outstanding) {
                    hand_over.send(index)?;
                    outstanding += 1;
                }
                let Ok(durable) = told.recv() else { break };
                outstanding -= durable;
                done += durable as u64;
            }
            drop(hand_over);
            writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
            ensure!(done == self.per_round, "the writer ended early");
            Ok(())
        })
    }
}

impl Contender for Raw {
    fn name(&self) -> String {
        self.tuning.name(self.writers).to_owned()
    }

    fn round(&mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        match self.tuning {
            Tuning::OneThreadBatches => self.handed_over()?,
            Tuning::WriteGroup => self.in_threads(|index| self.write(self.rows([index])?, true))?,
            Tuning::ThreadsSync => self.in_threads(|index| {
                self.write(self.rows([index])?, false)?;
                Ok(self.db.flush_wal(true)?)
            })?,
        }
        self.last += self.per_round;
        Ok(begun.elapsed())
    }
}
