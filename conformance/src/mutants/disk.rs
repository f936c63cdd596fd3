//! A disk that forgets: what was written and not synced may be gone after a power cut, or unreadable.
//!
//! It keeps whole lines and whole files instead of bytes, since the bugs that are put on it are bugs of order. What
//! cannot be read (a torn line, a flipped bit) reads as `None`: its checksum does not hold.

use std::collections::BTreeMap;

use bytes::Bytes;
use eraft_core::{Entry, GroupId, Identity, RaftState, RaftStateUpdate, SnapshotMeta, StorageError, StorageErrorKind};

/// Whether something would survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Written, not yet synced.
    Dirty,
    /// Durable.
    Synced,
    /// A failed sync covered it: it may be on the disk or not, and no later sync will see to it.
    Forgotten,
}

/// Something on the disk; without a value it cannot be read.
#[derive(Clone, Debug)]
pub(super) struct Kept<T> {
    pub(super) value: Option<T>,
    pub(super) fate: Fate,
}

impl<T> Kept<T> {
    pub(super) fn dirty(value: T) -> Kept<T> {
        Kept { value: Some(value), fate: Fate::Dirty }
    }

    /// What a sync, or a failed one, makes of it.
    pub(super) fn sync(&mut self, failed: bool) {
        if self.fate == Fate::Dirty {
            self.fate = if failed { Fate::Forgotten } else { Fate::Synced };
        }
    }
}

/// Which snapshot a save publishes, and what its file must hold.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) id: String,
    pub(super) meta: SnapshotMeta,
    pub(super) size_bytes: u64,
    pub(super) digest: u64,
}

/// One save of one group.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) group: GroupId,
    pub(super) update: RaftStateUpdate,
    pub(super) publish: Option<Published>,
}

/// Everything that one group's saves have come to.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) state: RaftState,
    pub(super) entries: Vec<Entry>,
    pub(super) published: Option<Published>,
}

/// What is written at once, and synced before the next is written.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// A batch of saves.
    Saves(Vec<Record>),
    /// All groups, in place of every line before.
    Checkpoint(BTreeMap<GroupId, Image>),
}

/// A snapshot's file: its bytes and its name are durable, or not, each by itself.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) bytes: Kept<Bytes>,
    pub(super) name: Fate,
}

/// What outlives a process.
#[derive(Debug)]
pub(super) struct Disk {
    random: fastrand::Rng,
    /// Counts crashes: a process of an earlier epoch reaches nothing.
    pub(super) epoch: u64,
    pub(super) locked: bool,
    pub(super) identity: Option<Kept<Identity>>,
    pub(super) journal: Option<Vec<Kept<Line>>>,
    /// Closed in good order: nothing at the journal's end was under way.
    pub(super) sealed: bool,
    pub(super) files: BTreeMap<String, File>,
    pub(super) fail_next_sync: bool,
    pub(super) fail_next_write: bool,
    /// Whether a committer is at work, and how many steps there have been.
    pub(super) at_work: bool,
    steps: u64,
    /// The step at which the committer stops, for a crash that comes there.
    stop_at: Option<u64>,
}

impl Disk {
    pub(super) fn new(seed: u64) -> Disk {
        Disk {
            random: fastrand::Rng::with_seed(seed),
            epoch: 0,
            locked: false,
            identity: None,
            journal: None,
            sealed: false,
            files: BTreeMap::new(),
            fail_next_sync: false,
            fail_next_write: false,
            at_work: false,
            steps: 0,
            stop_at: None,
        }
    }

    pub(super) fn random_id(&mut self) -> u64 {
        self.random.u64(..)
    }

    /// A write is about to happen.
    pub(super) fn write(&mut self) -> Result<(), StorageError> {
        match std::mem::take(&mut self.fail_next_write) {
            true => Err(StorageError::new(StorageErrorKind::Io, "writing", "the disk refused, at sector 7")),
            false => Ok(()),
        }
    }

    /// A sync is about to happen: whether it fails.
    pub(super) fn sync_fails(&mut self) -> bool {
        std::mem::take(&mut self.fail_next_sync)
    }

    /// Makes the journal durable, all of it.
    pub(super) fn sync_journal(&mut self) -> Result<(), StorageError> {
        let failed = self.sync_fails();
        self.journal.iter_mut().flatten().for_each(|line| line.sync(failed));
        sync_outcome(failed)
    }

    /// Has the committer stop after so many steps, or when it has nothing left to do.
    pub(super) fn stop_after(&mut self, steps: u64) {
        self.stop_at = Some(self.steps + steps);
    }

    pub(super) fn step(&mut self) {
        self.steps += 1;
    }

    /// Whether the committer stands where it was to stop.
    pub(super) fn has_stopped(&self) -> bool {
        self.stop_at.is_some_and(|step| self.steps >= step)
    }

    /// The process is gone; what it wrote is not.
    pub(super) fn kill(&mut self) {
        self.epoch += 1;
        self.at_work = false;
        self.stop_at = None;
        self.locked = false;
        self.fail_next_sync = false;
        self.fail_next_write = false;
    }

    /// The power is cut: whatever was not synced is gone, unreadable or there, each by itself.
    pub(super) fn cut_power(&mut self) {
        self.kill();
        let random = &mut self.random;
        if self.identity.as_ref().is_some_and(|identity| identity.fate != Fate::Synced) && random.u8(..4) > 0 {
            self.identity = None;
        }
        for line in self.journal.iter_mut().flatten() {
            if line.fate != Fate::Synced && random.bool() {
                line.value = None;
            }
            line.fate = Fate::Synced;
        }
        // What is gone at the end left no trace; what is gone before something else leaves a hole.
        if let Some(journal) = &mut self.journal {
            while journal.last().is_some_and(|line| line.value.is_none()) && random.bool() {
                journal.pop();
            }
        }
        self.files.retain(|_, file| file.name == Fate::Synced || random.u8(..4) == 0);
        for file in self.files.values_mut() {
            if file.bytes.fate != Fate::Synced
                && let Some(bytes) = &mut file.bytes.value
            {
                bytes.truncate(random.usize(..=bytes.len()));
            }
            file.bytes.fate = Fate::Synced;
            file.name = Fate::Synced;
        }
        if let Some(identity) = &mut self.identity {
            identity.fate = Fate::Synced;
        }
    }

    /// How many things there are that can be damaged: the identity, each line, each file.
    pub(super) fn places(&self) -> u64 {
        (usize::from(self.identity.is_some()) + self.journal.iter().flatten().count() + self.files.len()) as u64
    }

    /// Makes one of them unreadable.
    pub(super) fn damage(&mut self, place: u64) -> String {
        let place = place as usize;
        let lines = self.journal.as_ref().map_or(0, Vec::len);
        if place == 0 {
            self.identity.iter_mut().for_each(|identity| identity.value = None);
            return "the identity".to_owned();
        }
        if place <= lines {
            self.journal.iter_mut().for_each(|journal| journal[place - 1].value = None);
            return format!("line {} of {lines}", place - 1);
        }
        let (name, file) = self.files.iter_mut().nth(place - 1 - lines).expect("a place that there is");
        file.bytes.value = None;
        format!("file {name}")
    }

    /// How many things can go as a whole: the identity, the journal, each file.
    pub(super) fn pieces(&self) -> u64 {
        2 + self.files.len() as u64
    }

    /// Removes one of them.
    pub(super) fn lose(&mut self, piece: u64) -> String {
        match piece {
            0 => {
                self.identity = None;
                "the identity".to_owned()
            }
            1 => {
                self.journal = None;
                "the journal".to_owned()
            }
            _ => {
                let name = self.files.keys().nth(piece as usize - 2).expect("a piece that there is").clone();
                self.files.remove(&name);
                format!("file {name}")
            }
        }
    }
}

pub(super) fn sync_outcome(failed: bool) -> Result<(), StorageError> {
    match failed {
        true => Err(StorageError::new(StorageErrorKind::Io, "syncing", "the disk failed, at sector 7")),
        false => Ok(()),
    }
}
