//! What a save costs: bytes written and time for one synced append of 100 bytes, to a log of 100 entries and to one of
//! 1,000,000. The two take turns, round by round, on this machine's disk; a save costs O(new entries) when the ratio of
//! the medians is about 1. Then both are opened again.
//!
//! `cargo run --release -p eraft-storage-file --example save_cost [DIR]`
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement reads the clock, and prints what it saw"
)]

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use eraft_core::{ClusterId, Entry, Expected, LogChange, LogIndex, NodeId, RaftStateUpdate, Storage, Term};
use eraft_storage_file::{
    FileOptions, FileStorage,
    fs::{Access, DirEntry, Fs, FsFile, FsLock, Metadata, real::RealFs},
};
use futures_executor::block_on;

const ROUNDS: usize = 9;
const APPENDS: u64 = 300;
const PAYLOAD_BYTES: usize = 100;

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> AnyResult<()> {
    let parent = match std::env::args_os().nth(1) {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir_in(".")?,
    };
    let small = Log::with_entries(parent.path().join("small"), 100)?;
    let large = Log::with_entries(parent.path().join("large"), 1_000_000)?;
    let mut logs = [small, large];
    println!("{APPENDS} appends of {PAYLOAD_BYTES} bytes per round, each synced before the next; medians of a round");
    println!("{:>5}  {:>22}  {:>22}", "round", "100 entries", "1,000,000 entries");
    let mut rounds: [Vec<Cost>; 2] = Default::default();
    for round in 1..=ROUNDS {
        for (log, costs) in logs.iter_mut().zip(&mut rounds) {
            costs.push(log.round()?);
        }
        let texts: Vec<_> = rounds.iter().filter_map(|costs| costs.last()).map(Cost::to_string).collect();
        println!("{round:>5}  {:>22}  {:>22}", texts.first().map_or("", |s| s), texts.last().map_or("", |s| s));
    }
    let [small, large] =
        rounds.map(|costs| (median(costs.iter().map(|cost| cost.micros)), median(costs.iter().map(|cost| cost.bytes))));
    println!("ratio of medians: time {:.3}, bytes written {:.3}", large.0 / small.0, large.1 / small.1);
    if let Ok(pressure) = std::fs::read_to_string("/proc/pressure/cpu") {
        print!("cpu pressure meanwhile: {pressure}");
    }
    for (log, name) in logs.into_iter().zip(["small", "large"]) {
        block_on(log.storage.close())?;
        drop(log);
        let start = Instant::now();
        let storage = FileStorage::open(parent.path().join(name), Expected::any())?;
        let opened = start.elapsed();
        let entries = block_on(storage.read_raft_state())?.outline.last_index();
        println!("opening the {name} log again, {entries} entries: {:.0} ms", opened.as_secs_f64() * 1e3);
    }
    Ok(())
}

/// One log, and what was written to its disk.
struct Log {
    storage: FileStorage,
    written_bytes: Arc<AtomicU64>,
    next: u64,
}

/// The medians of one round.
struct Cost {
    micros: f64,
    bytes: f64,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} us, {:.0} bytes", self.micros, self.bytes)
    }
}

impl Log {
    fn with_entries(dir: PathBuf, count: u64) -> AnyResult<Log> {
        let written_bytes = Arc::new(AtomicU64::new(0));
        let fs: Arc<dyn Fs> = Arc::new(Counting { written_bytes: Arc::clone(&written_bytes) });
        let options = FileOptions::default();
        FileStorage::create_with(Arc::clone(&fs), &dir, ClusterId(1), NodeId(1), options)?;
        let storage = FileStorage::open_with(fs, &dir, Expected::any(), options)?;
        let mut log = Log { storage, written_bytes, next: 1 };
        while log.next <= count {
            log.append((count + 1 - log.next).min(10_000))?;
        }
        Ok(log)
    }

    fn append(&mut self, count: u64) -> AnyResult<()> {
        let entries = (self.next..self.next + count)
            .map(|index| Entry::command(Term(1), LogIndex(index), vec![7_u8; PAYLOAD_BYTES]))
            .collect();
        let update = RaftStateUpdate { hard_state: None, log: LogChange::Append(entries) };
        block_on(self.storage.save_raft_state(update))?;
        self.next += count;
        Ok(())
    }

    fn round(&mut self) -> AnyResult<Cost> {
        let (mut micros, mut bytes) = (Vec::new(), Vec::new());
        for _ in 0..APPENDS {
            let (before, start) = (self.written_bytes.load(Ordering::Relaxed), Instant::now());
            self.append(1)?;
            micros.push(start.elapsed().as_secs_f64() * 1e6);
            bytes.push((self.written_bytes.load(Ordering::Relaxed) - before) as f64);
        }
        Ok(Cost { micros: median(micros), bytes: median(bytes) })
    }
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// This machine's disk, with every byte written to it counted.
#[derive(Debug)]
struct Counting {
    written_bytes: Arc<AtomicU64>,
}

#[derive(Debug)]
struct CountingFile {
    file: Box<dyn FsFile>,
    written_bytes: Arc<AtomicU64>,
}

impl Counting {
    fn counted(&self, file: Box<dyn FsFile>) -> Box<dyn FsFile> {
        Box::new(CountingFile { file, written_bytes: Arc::clone(&self.written_bytes) })
    }
}

impl Fs for Counting {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealFs.create_dir(path)
    }
    fn create_file(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        Ok(self.counted(RealFs.create_file(path)?))
    }
    fn open_file(&self, path: &Path, access: Access) -> io::Result<Box<dyn FsFile>> {
        Ok(self.counted(RealFs.open_file(path, access)?))
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        RealFs.read_dir(path)
    }
    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        RealFs.metadata(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealFs.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealFs.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealFs.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        RealFs.lock(path)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealFs.free_bytes(path)
    }
}

impl FsFile for CountingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let written = self.file.write_at(buf, offset)?;
        self.written_bytes.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }
    fn len_bytes(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}
