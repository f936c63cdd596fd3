//! A file in memory that forgets what was not synced: what stands under redb in place of a real one.
//!
//! It is no kinder than docs/TESTING.md says a disk may be: a power cut keeps, of each sector that was not synced, any of
//! the versions that it has had since; a failed sync makes some of them durable, counts all of them as clean, and no
//! later sync looks at them again.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eraft_conformance::{Crash, sweep};
use redb::StorageBackend;

const SECTOR_BYTES: usize = 512;

/// The calls of the seam.
const CALLS: [&str; 5] = ["len", "read", "set_len", "sync_data", "write"];

/// The file, as who plays fate sees it.
#[derive(Clone, Debug)]
pub(crate) struct SimFile(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    /// What reads see.
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Every sector written since the last sync, with all it has held since, oldest first.
    dirty: BTreeMap<usize, Vec<Vec<u8>>>,
    /// Counts the processes; a handle of an earlier one is dead.
    process: u64,
    locked: bool,
    /// How many calls of each kind there were.
    calls: BTreeMap<&'static str, u64>,
    /// Which call of a kind is to fail, counted from now on, and how.
    planned: BTreeMap<&'static str, (u64, sweep::Fault)>,
    full: bool,
    /// So many more changes, then the process is dead.
    dies_after: Option<u64>,
}

impl SimFile {
    pub(super) fn new(seed: u64) -> SimFile {
        SimFile(Arc::new(Mutex::new(State {
            random: fastrand::Rng::with_seed(seed),
            cached: Vec::new(),
            durable: Vec::new(),
            dirty: BTreeMap::new(),
            process: 0,
            locked: false,
            calls: CALLS.map(|call| (call, 0)).into(),
            planned: BTreeMap::new(),
            full: false,
            dies_after: None,
        })))
    }

    /// Opens the file under its lock; `None` where another opener has it.
    pub(super) fn open(&self) -> Option<SimHandle> {
        let mut state = self.state();
        let free = !std::mem::replace(&mut state.locked, true);
        free.then(|| SimHandle { file: self.clone(), process: state.process })
    }

    pub(super) fn kill(&self) {
        let mut state = self.state();
        state.process += 1;
        (state.locked, state.dies_after) = (false, None);
        state.planned.clear();
    }

    pub(super) fn cut_power(&self) {
        self.kill();
        let mut state = self.state();
        let State { random, durable, dirty, cached, .. } = &mut *state;
        // One cut in five loses all, one keeps all, the others decide sector by sector.
        let mood = random.u8(..5);
        let keep_length = [false, true, random.bool(), random.bool(), random.bool()][usize::from(mood)];
        if keep_length {
            durable.resize(cached.len(), 0);
        }
        for (sector, versions) in std::mem::take(dirty) {
            let kept = match mood {
                0 => None,
                1 => versions.last(),
                _ => versions.get(random.usize(..=versions.len())),
            };
            kept.into_iter().for_each(|bytes| put(durable, sector, bytes));
        }
        *cached = durable.clone();
    }

    pub(super) fn die_after(&self, changes: u64) {
        self.state().dies_after = Some(changes);
    }

    pub(super) fn fail_next_sync(&self) {
        sweep::Disk::fail_nth(self, "sync_data", 1, sweep::Fault::Io);
    }

    pub(super) fn fail_next_write(&self) {
        sweep::Disk::fail_nth(self, "write", 1, sweep::Fault::Io);
    }

    pub(super) fn fill(&self, full: bool) {
        self.state().full = full;
    }

    pub(super) fn len(&self) -> u64 {
        self.state().cached.len() as u64
    }

    /// Changes bytes behind everybody's back.
    pub(super) fn change(&self, offset: u64, count: u64, change: impl Fn(u8) -> u8) {
        let mut state = self.state();
        let (offset, count) = (offset as usize, usize::try_from(count).unwrap_or(usize::MAX));
        state.cached.iter_mut().skip(offset).take(count).for_each(|byte| *byte = change(*byte));
        state.durable = state.cached.clone();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl sweep::Disk for SimFile {
    fn calls(&self) -> Vec<(&'static str, u64)> {
        self.state().calls.iter().map(|(call, count)| (*call, *count)).collect()
    }

    /// Nothing is interrupted or half done above the seam: redb asks for whole calls.
    fn faults_of(&self, call: &'static str) -> &'static [sweep::Fault] {
        match call {
            "write" | "set_len" => &[sweep::Fault::Io, sweep::Fault::NoSpace],
            _ => &[sweep::Fault::Io],
        }
    }

    fn fail_nth(&self, call: &'static str, nth: u64, fault: sweep::Fault) {
        self.state().planned.insert(call, (nth, fault));
    }

    fn heal(&self) {
        self.state().planned.clear();
    }

    fn crash(&self, crash: Crash) {
        match crash {
            Crash::Kill => self.kill(),
            Crash::PowerLoss => self.cut_power(),
        }
    }
}

/// The file, as one opener sees it.
#[derive(Debug)]
pub(super) struct SimHandle {
    file: SimFile,
    process: u64,
}

impl SimHandle {
    /// Counts a call; what it is to fail with, if that was planned.
    fn begin(&self, call: &'static str) -> io::Result<(MutexGuard<'_, State>, Option<io::Error>)> {
        let mut state = self.file.state();
        if state.process != self.process || state.dies_after == Some(0) {
            return Err(io::Error::other("the process that this call comes from is gone"));
        }
        *state.calls.entry(call).or_default() += 1;
        if let Some((left, _)) = state.planned.get_mut(call) {
            *left -= 1;
        }
        let planned = state.planned.get(call).filter(|(left, _)| *left == 0).map(|(_, fault)| *fault);
        let error = planned.map(|fault| {
            state.planned.remove(call);
            match fault {
                sweep::Fault::NoSpace => io::ErrorKind::StorageFull.into(),
                _ => io::Error::other(format!("the {call} failed, as the test asked")),
            }
        });
        Ok((state, error))
    }

    fn begin_change(&self, call: &'static str) -> io::Result<(MutexGuard<'_, State>, Option<io::Error>)> {
        let (mut state, error) = self.begin(call)?;
        if let Some(left) = &mut state.dies_after {
            *left -= 1;
        }
        Ok((state, error))
    }

    /// The same for a call that does nothing where it fails.
    fn begin_whole(&self, call: &'static str) -> io::Result<MutexGuard<'_, State>> {
        let (state, error) = match call {
            "len" | "read" => self.begin(call)?,
            _ => self.begin_change(call)?,
        };
        error.map_or(Ok(state), Err)
    }
}

impl StorageBackend for SimHandle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.begin_whole("len")?.cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.begin_whole("read")?;
        let found = state.cached.get(offset as usize..).and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.begin_whole("set_len")?;
        let len = len as usize;
        if state.full && len > state.cached.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        // What is cut off reads as zeros where the file grows again, also after a crash.
        let cut = state.cached.get(len..).map_or(0, <[u8]>::len);
        state.write(len, &vec![0; cut]);
        state.cached.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mut state, error) = self.begin_change("sync_data")?;
        let fails = error.is_some();
        let State { random, durable, dirty, cached, .. } = &mut *state;
        if !fails || random.bool() {
            durable.resize(cached.len(), 0);
        }
        for (sector, versions) in std::mem::take(dirty) {
            if !fails || random.bool() {
                versions.last().into_iter().for_each(|bytes| put(durable, sector, bytes));
            }
        }
        error.map_or(Ok(()), Err)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.begin_whole("write")?.write(offset as usize, data);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        let mut state = self.file.state();
        if state.process == self.process {
            state.locked = false;
        }
        Ok(())
    }
}

impl State {
    fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if data.is_empty() {
            return;
        }
        self.cached.resize(self.cached.len().max(end), 0);
        self.cached[offset..end].copy_from_slice(data);
        for sector in offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            let start = sector * SECTOR_BYTES;
            let version = self.cached[start..self.cached.len().min(start + SECTOR_BYTES)].to_vec();
            self.dirty.entry(sector).or_default().push(version);
        }
    }
}

/// A sector becomes durable, as far as the file's length reaches.
fn put(durable: &mut [u8], sector: usize, bytes: &[u8]) {
    let there = durable.iter_mut().skip(sector * SECTOR_BYTES);
    there.zip(bytes).for_each(|(there, byte)| *there = *byte);
}
