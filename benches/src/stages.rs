//! Where a snapshot's bytes lie in RocksDB: a snapshot goes in, and replaces the last one, while saves go on. Through us, as tables
//! that are made beside the database and taken in; and as raw RocksDB takes the same chunks otherwise: through its log or
//! through its memory alone, into a family of their own or into blob files.
//!
//! The others neither verify nor check anything, and their appends are made by a thread that calls RocksDB itself.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use eraft_core::{ConfState, Entry, EntryId, LogChange, LogIndex, NodeId, RaftStateUpdate, SnapshotMeta, Term};
use eraft_storage_rocksdb::rocksdb::{Cache, ColumnFamily, DB, Env, Options, WriteBatch, WriteOptions};
use futures_executor::block_on;

use crate::{
    rounds::{self, Contender},
    store::{self, Backend, Log},
};

const CHUNK_BYTES: usize = 64 << 10;
/// As many chunks as one of our tables holds.
const BATCH_CHUNKS: usize = 64;
const ENTRY_BYTES: usize = 1024;

/// Which snapshots.
#[derive(Debug, clap::Args)]
pub(crate) struct Stages {
    /// Mebibytes of the snapshot.
    #[arg(long, default_value_t = 128)]
    mebibytes: usize,
}

/// Measures the ways in.
///
/// # Errors
/// A contender fails.
pub(crate) fn run(stages: &Stages, place: &Path, rounds: usize) -> anyhow::Result<()> {
    let chunks: Vec<Bytes> = chunks(stages.mebibytes);
    let ours = Ours::blank(&place.join("ours"), &chunks)?;
    let like = place.join("ours/db");
    let (mut figures, mut contenders) = (vec![Arc::clone(&ours.beside.figures)], Vec::<Box<dyn Contender + '_>>::new());
    contenders.push(Box::new(ours));
    for (number, (way, blobs)) in
        [(Way::Log, false), (Way::Log, true), (Way::Memory, false), (Way::Memory, true)].into_iter().enumerate()
    {
        let raw = Raw::blank(&place.join(format!("raw-{number}")), &like, (way, blobs), &chunks)?;
        figures.push(Arc::clone(&raw.beside.figures));
        contenders.push(Box::new(raw));
    }
    let outcome = rounds::play(&mut contenders, rounds, stages.mebibytes as f64)?;
    outcome.print(&format!("snapshots into RocksDB: MiB per second, {} a round", stages.mebibytes));
    rounds::print_pressure();
    println!(
        "\n{:<34} {:>13} {:>16} {:>14} {:>14}",
        "meanwhile", "appends/s", "longest append", "bytes written", "of the disk"
    );
    for (figures, contender) in figures.iter().zip(&contenders) {
        let figures = figures.lock().map_err(|_| anyhow::anyhow!("a writer panicked"))?;
        println!("{:<34} {}", contender.name(), figures.told());
    }
    println!("(medians; bytes written and of the disk are told in snapshots, the appends' own included)");
    Ok(())
}

/// Noise, a chunk at a time.
fn chunks(mebibytes: usize) -> Vec<Bytes> {
    let mut random = fastrand::Rng::with_seed(7);
    let chunk = |_| {
        let mut bytes = vec![0; CHUNK_BYTES];
        random.fill(&mut bytes);
        bytes.into()
    };
    (0..mebibytes * (1 << 20) / CHUNK_BYTES).map(chunk).collect()
}

/// What was seen beside the snapshot, round by round.
#[derive(Debug, Default)]
struct Figures {
    appends: Vec<f64>,
    longest: Vec<f64>,
    written: Vec<f64>,
    disk: Vec<f64>,
}

impl Figures {
    /// Without the first round, which does not count.
    fn told(&self) -> String {
        let of = |values: &[f64]| rounds::median(values.get(1..).unwrap_or_default().to_vec());
        format!(
            "{:>13.0} {:>13.1} ms {:>14.2} {:>14.2}",
            of(&self.appends),
            of(&self.longest),
            of(&self.written),
            of(&self.disk)
        )
    }
}

/// Appends that go on while a snapshot goes in.
struct Beside {
    dir: PathBuf,
    snapshot_bytes: f64,
    figures: Arc<std::sync::Mutex<Figures>>,
}

impl Beside {
    fn new(dir: &Path, chunks: &[Bytes]) -> Beside {
        let snapshot_bytes = chunks.iter().map(Bytes::len).sum::<usize>() as f64;
        Beside { dir: dir.to_owned(), snapshot_bytes, figures: Arc::default() }
    }

    /// Has `work` done while `append` is called again and again; how long it took.
    fn measure(
        &self,
        append: impl Fn() -> anyhow::Result<()> + Sync,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Duration> {
        let (done, written) = (AtomicBool::new(false), written_bytes()?);
        let appends = || {
            let (mut count, mut longest) = (0_u64, Duration::ZERO);
            while !done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                append()?;
                longest = longest.max(begun.elapsed());
                count += 1;
            }
            anyhow::Ok((count, longest))
        };
        std::thread::scope(|scope| {
            let appending = scope.spawn(appends);
            let begun = Instant::now();
            let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            let took = begun.elapsed();
            // Also where it panicked: nobody else would end the appends.
            done.store(true, Ordering::Relaxed);
            let appended = appending.join().map_err(|_| anyhow::anyhow!("the appending thread panicked"))?;
            worked.map_err(|_| anyhow::anyhow!("staging panicked"))??;
            let (count, longest) = appended?;
            let mut figures = self.figures.lock().map_err(|_| anyhow::anyhow!("a writer panicked"))?;
            figures.appends.push(count as f64 / took.as_secs_f64());
            figures.longest.push(longest.as_secs_f64() * 1e3);
            figures.written.push((written_bytes()? - written) as f64 / self.snapshot_bytes);
            figures.disk.push(disk_bytes(&self.dir)? as f64 / self.snapshot_bytes);
            Ok(took)
        })
    }
}

/// What this process has had written to disks.
fn written_bytes() -> anyhow::Result<u64> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line =
        io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).context("no write_bytes in /proc/self/io")?;
    Ok(line.parse()?)
}

/// What the files below take; one that goes meanwhile takes nothing.
fn disk_bytes(dir: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(found) if found.is_dir() => disk_bytes(&entry.path())?,
            // What is kept back for a full disk is no snapshot's.
            Ok(found) if entry.file_name() != "RESERVE" => found.blocks() * 512,
            _ => 0,
        };
    }
    Ok(bytes)
}

/// Through us.
struct Ours<'a> {
    log: Log,
    last: AtomicU64,
    chunks: &'a [Bytes],
    beside: Beside,
}

impl<'a> Ours<'a> {
    fn blank(dir: &Path, chunks: &'a [Bytes]) -> anyhow::Result<Ours<'a>> {
        let mut log = Log::blank(Backend::RocksDb, dir, ENTRY_BYTES)?;
        log.fill(1)?;
        Ok(Ours { log, last: AtomicU64::new(1), chunks, beside: Beside::new(dir, chunks) })
    }

    fn append(&self) -> anyhow::Result<()> {
        let index = self.last.load(Ordering::Relaxed) + 1;
        let entry = Entry::command(Term(1), LogIndex(index), self.log.payload.clone());
        block_on(
            self.log.storage.save_raft_state(RaftStateUpdate { hard_state: None, log: LogChange::Append(vec![entry]) }),
        )?;
        self.last.store(index, Ordering::Relaxed);
        Ok(())
    }

    fn publish(&self) -> anyhow::Result<()> {
        let last = EntryId::new(1, self.last.load(Ordering::Relaxed));
        let conf_state = ConfState::of_voters([(NodeId(1), Bytes::new())]);
        let staged = block_on(async {
            let mut writer = self.log.storage.stage_snapshot(SnapshotMeta { last, conf_state }).await?;
            for chunk in self.chunks {
                writer.write(chunk.clone()).await?;
            }
            writer.finish().await
        })?;
        let update = RaftStateUpdate { hard_state: None, log: LogChange::CompactTo(last) };
        Ok(block_on(self.log.storage.save_state_and_snapshot(update, staged))?)
    }
}

impl Contender for Ours<'_> {
    fn name(&self) -> String {
        "eraft: tables that are taken in".to_owned()
    }

    fn round(&mut self) -> anyhow::Result<Duration> {
        self.beside.measure(|| self.append(), || self.publish())
    }
}

/// What a chunk passes on its way into a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// RocksDB's log, as a save does: the save that publishes it is synced, and all before it.
    Log,
    /// RocksDB's memory alone, which is written to tables before the save that publishes it.
    Memory,
}

/// Raw RocksDB, with the options of ours.
struct Raw<'a> {
    db: DB,
    way: Way,
    blobs: bool,
    payload: Bytes,
    last: AtomicU64,
    snapshot: u64,
    chunks: &'a [Bytes],
    beside: Beside,
}

impl<'a> Raw<'a> {
    fn blank(dir: &Path, like: &Path, (way, blobs): (Way, bool), chunks: &'a [Bytes]) -> anyhow::Result<Raw<'a>> {
        let cache = Cache::new_lru_cache(32 << 20);
        let (mut options, families) = Options::load_latest(like, Env::new()?, true, cache)
            .with_context(|| format!("cannot read the options of {}", like.display()))?;
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let db = DB::open_cf_descriptors(&options, dir, families)?;
        let raw = Raw {
            db,
            way,
            blobs,
            payload: store::payload(ENTRY_BYTES),
            last: AtomicU64::new(0),
            snapshot: 0,
            chunks,
            beside: Beside::new(dir, chunks),
        };
        raw.db.set_options_cf(raw.family("snapshot")?, &[("disable_auto_compactions", "false")])?;
        if blobs {
            let blobs =
                [("enable_blob_files", "true"), ("min_blob_size", "4096"), ("enable_blob_garbage_collection", "true")];
            raw.db.set_options_cf(raw.family("snapshot")?, &blobs)?;
        }
        Ok(raw)
    }

    fn family(&self, name: &str) -> anyhow::Result<&ColumnFamily> {
        self.db.cf_handle(name).with_context(|| format!("no column family {name}"))
    }

    fn append(&self) -> anyhow::Result<()> {
        let index = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family("log")?, u128::from(index).to_be_bytes(), &self.payload);
        self.write(batch, true, true)
    }

    fn write(&self, batch: WriteBatch, sync: bool, log: bool) -> anyhow::Result<()> {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        options.disable_wal(!log);
        Ok(self.db.write_opt(batch, &options)?)
    }

    /// Everything but what the round is about: a row that names it, and the end of the one before.
    fn publish(&self) -> anyhow::Result<()> {
        let snapshots = self.family("snapshot")?;
        for (number, chunks) in self.chunks.chunks(BATCH_CHUNKS).enumerate() {
            let mut batch = WriteBatch::default();
            for (place, chunk) in chunks.iter().enumerate() {
                batch.put_cf(snapshots, key(self.snapshot, number * BATCH_CHUNKS + place), chunk);
            }
            self.write(batch, false, self.way == Way::Log)?;
        }
        if self.way == Way::Memory {
            self.db.flush_cf(snapshots)?;
        }
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family("state")?, b"published", self.snapshot.to_be_bytes());
        self.write(batch, true, true)?;
        if let Some(before) = self.snapshot.checked_sub(1) {
            self.db.delete_file_in_range_cf(snapshots, key(before, 0), key(self.snapshot, 0))?;
            self.db.delete_range_cf(snapshots, key(before, 0), key(self.snapshot, 0))?;
        }
        Ok(())
    }
}

/// The key of a chunk.
fn key(snapshot: u64, nth: usize) -> [u8; 16] {
    (u128::from(snapshot) << 64 | nth as u128).to_be_bytes()
}

impl Contender for Raw<'_> {
    fn name(&self) -> String {
        let way = match self.way {
            Way::Log => "through the log",
            Way::Memory => "through memory",
        };
        format!("raw RocksDB: {way}{}", if self.blobs { ", blobs" } else { "" })
    }

    fn round(&mut self) -> anyhow::Result<Duration> {
        let took = self.beside.measure(|| self.append(), || self.publish())?;
        self.snapshot += 1;
        Ok(took)
    }
}
