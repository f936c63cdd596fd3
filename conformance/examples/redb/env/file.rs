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

use redb::StorageBackend;

const SECTOR_BYTES: usize = 512;

/// The file, as who plays fate sees it.
#[derive(Clone, Debug)]
pub(super) struct SimFile(Arc<Mutex<State>>);

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
    fail_sync: bool,
    fail_write: bool,
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
            fail_sync: false,
            fail_write: false,
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
        (state.locked, state.fail_sync, state.fail_write, state.dies_after) = (false, false, false, None);
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
        self.state().fail_sync = true;
    }

    pub(super) fn fail_next_write(&self) {
        self.state().fail_write = true;
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

/// The file, as one opener sees it.
#[derive(Debug)]
pub(super) struct SimHandle {
    file: SimFile,
    process: u64,
}

impl SimHandle {
    fn begin(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.file.state();
        if state.process == self.process && state.dies_after != Some(0) {
            return Ok(state);
        }
        Err(io::Error::other("the process that this call comes from is gone"))
    }

    fn begin_change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.begin()?;
        if let Some(left) = &mut state.dies_after {
            *left -= 1;
        }
        Ok(state)
    }
}

impl StorageBackend for SimHandle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.begin()?.cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.begin()?;
        let found = state.cached.get(offset as usize..).and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.begin_change()?;
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
        let mut state = self.begin_change()?;
        let fails = std::mem::take(&mut state.fail_sync);
        let State { random, durable, dirty, cached, .. } = &mut *state;
        if !fails || random.bool() {
            durable.resize(cached.len(), 0);
        }
        for (sector, versions) in std::mem::take(dirty) {
            if !fails || random.bool() {
                versions.last().into_iter().for_each(|bytes| put(durable, sector, bytes));
            }
        }
        if fails { Err(io::Error::other("the sync failed, as the test asked")) } else { Ok(()) }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.begin_change()?;
        if std::mem::take(&mut state.fail_write) {
            return Err(io::Error::other("the write failed, as the test asked"));
        }
        state.write(offset as usize, data);
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
