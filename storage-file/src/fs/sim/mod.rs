//! A disk in memory that forgets what was not synced.
//!
//! It is the disk that the store is built for, no kinder: whatever [`Fs`](super::Fs) does not promise, a crash here may
//! take away, in any mix, under one seed.
//!
//! | Event | What happens |
//! |---|---|
//! | [`crash`](SimFs::crash) | The power goes. Each sector (512 bytes) written since its last sync keeps any of its versions or falls back to what was synced; a sector that holds nothing synced may read as zeros, as noise, or as another file's old bytes. Each unsynced length, creation, rename and removal is kept or undone, each by itself. Handles go stale, locks are free. |
//! | [`kill`](SimFs::kill) | The process dies. Nothing is lost, but nothing has become durable either: a crash later may still take it. |
//! | a failed sync | Each dirty sector has reached the disk or not; all of them count as clean. Reads still see them until [`drop_caches`](SimFs::drop_caches) or a crash; no later sync makes them durable, only writing them again does. |
//! | a failed [`sync_dir`](super::Fs::sync_dir) | The operations stay unsynced; a later one that succeeds makes them durable (journals do all of it or stop for good). |
//! | a full disk | A write takes what still fits, then fails. |
//!
//! Order among directory operations is kept only where file systems agree on it: a file with a durable name always has
//! its old or its new one after a crash, never none.
//!
//! ```
//! use std::path::Path;
//!
//! use eraft_storage_file::fs::{Fs, sim::SimFs, write_all_at};
//!
//! let disk = SimFs::new(1);
//! let file = disk.create_file(Path::new("/log"))?;
//! disk.sync_dir(Path::new("/"))?;
//! write_all_at(&*file, b"acknowledged", 0)?;
//! file.sync_data()?;
//! write_all_at(&*file, b"not synced", 12)?;
//! disk.crash();
//! assert!(disk.read_file("/log")?.starts_with(b"acknowledged"));
//! assert!(file.len_bytes().is_err(), "the handle went with the machine");
//! # Ok::<(), std::io::Error>(())
//! ```

mod contents;
mod counters;
mod damage;
mod disk;
mod faults;
mod names;
mod seam;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use counters::{Counters, Reach};
pub use faults::{Call, Fault};

use disk::Disk;

/// A simulated disk; clones are handles of the same one.
#[derive(Clone)]
pub struct SimFs {
    disk: Arc<Mutex<Disk>>,
}

/// What a crash does to what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is lost.
    Lost,
    /// It survives, the newest version.
    Kept,
    /// Each single thing by the seed.
    Random,
}

/// What a crash does to each kind of unsynced change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Sectors of files.
    pub data: Fate,
    /// Lengths of files.
    pub lengths: Fate,
    /// Names: creations, renames, removals.
    pub names: Fate,
}

impl Policy {
    /// Nothing unsynced survives.
    pub const LOSE: Policy = Policy { data: Fate::Lost, lengths: Fate::Lost, names: Fate::Lost };
    /// Everything survives, as if it had been synced.
    pub const KEEP: Policy = Policy { data: Fate::Kept, lengths: Fate::Kept, names: Fate::Kept };
    /// Each single change by the seed.
    pub const RANDOM: Policy = Policy { data: Fate::Random, lengths: Fate::Random, names: Fate::Random };
    /// Names and lengths survive and the bytes do not: what a journal of metadata alone leaves.
    pub const LOSE_DATA: Policy = Policy { data: Fate::Lost, lengths: Fate::Kept, names: Fate::Kept };
}

impl SimFs {
    /// An empty disk: nothing but the root directory `/`. Everything random comes from `seed`.
    pub fn new(seed: u64) -> SimFs {
        SimFs { disk: Arc::new(Mutex::new(Disk::new(seed))) }
    }

    /// Another disk in the same state, unsynced changes included, with a seed of its own: to try one crash many times.
    /// Handles and locks stay with the first.
    pub fn fork(&self, seed: u64) -> SimFs {
        SimFs { disk: Arc::new(Mutex::new(self.lock().fork(seed))) }
    }

    /// The power goes, and comes back: each unsynced change is kept or lost by the seed.
    pub fn crash(&self) {
        self.crash_with(Policy::RANDOM);
    }

    /// The same, with a say in what survives.
    pub fn crash_with(&self, policy: Policy) {
        self.lock().crash(policy);
    }

    /// The process is killed: handles go stale and locks are free; what was written stays readable, and unsynced.
    pub fn kill(&self) {
        self.lock().kill();
    }

    /// Clean pages are read from the disk again: what a failed sync lost is gone from sight too.
    pub fn drop_caches(&self) {
        self.lock().drop_caches();
    }

    /// Makes the `nth` call of this kind from now on (1 is the next) meet a fault.
    pub fn fail_nth(&self, call: Call, nth: u64, fault: Fault) {
        self.lock().plan.fail(call, nth, fault, false);
    }

    /// Makes the `nth` call of this kind from now on, and all after it, meet a fault.
    pub fn fail_from(&self, call: Call, nth: u64, fault: Fault) {
        self.lock().plan.fail(call, nth, fault, true);
    }

    /// Takes every planned fault back.
    pub fn heal(&self) {
        self.lock().plan.heal();
    }

    /// Lets this many mutating calls ([`Call::is_mutating`]) through; from the next one on every call fails, until
    /// [`SimFs::crash`] says what is left. With [`SimFs::kill`] instead, it was the process alone that ended there.
    pub fn cut_power_after(&self, mutating_calls: u64) {
        self.lock().plan.cut_power_after(mutating_calls);
    }

    /// Whether [`SimFs::cut_power_after`] has struck.
    pub fn power_is_off(&self) -> bool {
        self.lock().plan.power_is_off()
    }

    /// Bounds the lengths of all files together; `None`: no bound. Files that are longer already stay.
    pub fn set_capacity_bytes(&self, capacity_bytes: Option<u64>) {
        self.lock().capacity_bytes = capacity_bytes;
    }

    /// The lengths of all files together, removed ones counted while they are open.
    pub fn used_bytes(&self) -> u64 {
        self.lock().used_bytes()
    }

    /// Calls and bytes so far.
    pub fn counters(&self) -> Counters {
        self.lock().counters()
    }

    /// How often a crash has really done what it may do.
    pub fn reach(&self) -> Reach {
        self.lock().reach
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disk = self.lock();
        f.debug_struct("SimFs").field("seed", &disk.seed).field("files", &disk.paths()).finish()
    }
}
