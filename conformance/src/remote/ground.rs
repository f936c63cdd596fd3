//! Where the stores of an [`Env`](crate::Env) lie: on a loop disk whose power can be cut, or, where the machine offers
//! none, in a temporary directory.
//!
//! Making a disk costs more than a short case, so disks are lent from case to case: a case leaves nothing on it but names
//! that no other uses. They go when the test's process ends.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::fs::FallocateFlags;

use crate::{
    Damage,
    machine::{FileSystem, LoopDisk},
};

/// Room for the largest snapshot of the suite, twice over, and what a store needs around it; the image is sparse.
const DISK_MEBIBYTES: u64 = 384;
const SECTOR_BYTES: u64 = 512;

/// Disks that no case has at the moment.
static IDLE: Mutex<Vec<LoopDisk>> = Mutex::new(Vec::new());

/// Where stores lie.
pub(super) struct Ground {
    /// Back among the idle ones when this is dropped.
    disk: Option<LoopDisk>,
    directory: Option<tempfile::TempDir>,
    /// How many locations there have been.
    locations: u64,
    is_full: bool,
}

impl Ground {
    /// Ground of this kind, and what the machine lacks for it.
    pub(super) fn new(kind: FileSystem) -> (Ground, Option<String>) {
        let idle = {
            let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
            idle.iter().position(|disk| disk.kind() == kind).map(|at| idle.swap_remove(at))
        };
        let (disk, lacks) = match idle.map_or_else(|| LoopDisk::new(kind, DISK_MEBIBYTES), Ok) {
            Ok(disk) => (Some(disk), None),
            Err(reason) => (None, Some(reason)),
        };
        let directory = disk.is_none().then(|| tempfile::tempdir().expect("a temporary directory"));
        (Ground { disk, directory, locations: 0, is_full: false }, lacks)
    }

    /// Its root, which survives everything.
    fn root(&self) -> PathBuf {
        let directory = self.directory.as_ref().map(|directory| directory.path().to_owned());
        self.disk.as_ref().map(LoopDisk::path).or(directory).expect("a disk or a directory")
    }

    /// Where the store lies, or is to be created: a name in the root that does not exist until the backend makes it.
    pub(super) fn location(&self) -> PathBuf {
        self.root().join(format!("store-{}", self.locations))
    }

    /// Moves on; the old location goes, and the disk is no longer full.
    pub(super) fn move_on(&mut self) {
        self.free();
        remove(&self.location()).expect("removing the old location");
        self.locations += 1;
    }

    /// Nothing reaches the disk any more.
    pub(super) fn cut_power(&self) {
        self.disk.as_ref().expect("a disk").cut_power();
    }

    /// The power is back. A disk that was full still is: what fills it may have been lost like anything else.
    pub(super) fn restart(&mut self) {
        self.disk.as_mut().expect("a disk").restart();
        if self.is_full {
            self.fill();
        }
    }

    /// Takes all the room that is left. Nothing is synced: that might make the store's own changes durable.
    pub(super) fn fill(&mut self) {
        self.is_full = true;
        let filler =
            File::options().create(true).append(true).open(self.filler()).expect("the file that fills the disk");
        let mut end = filler.metadata().expect("its length").len();
        let mut step: u64 = 64 << 20;
        while step >= 1024 {
            match rustix::fs::fallocate(&filler, FallocateFlags::empty(), end, step) {
                Ok(()) => end += step,
                Err(error) if error == rustix::io::Errno::NOSPC => step /= 2,
                Err(error) => panic!("filling the disk: {error}"),
            }
        }
    }

    /// Gives it back.
    pub(super) fn free(&mut self) {
        if std::mem::take(&mut self.is_full) {
            remove(&self.filler()).expect("removing what fills the disk");
        }
    }

    fn filler(&self) -> PathBuf {
        self.root().join("filler")
    }

    /// Every file of the store.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        files(&self.location()).into_iter().map(|(path, _)| path).collect()
    }

    /// How many places of the store this damage could hit, in files that `holds_data` knows to hold something.
    pub(super) fn places(&self, damage: Damage, holds_data: impl Fn(&Path) -> bool) -> u64 {
        let files = files(&self.location()).into_iter().filter(|(path, _)| holds_data(path));
        files.map(|(_, length)| places_in(damage, length)).sum()
    }

    /// Hits one of them, and tells which. `bit` says which bit of a byte.
    pub(super) fn damage(&self, damage: Damage, mut place: u64, bit: u8, holds_data: impl Fn(&Path) -> bool) -> String {
        for (path, length) in files(&self.location()).into_iter().filter(|(path, _)| holds_data(path)) {
            let here = places_in(damage, length);
            if place < here {
                return hit(&path, damage, place, bit).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            }
            place -= here;
        }
        panic!("there is no such place");
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let Some(disk) = self.disk.take() else { return };
        // Names of the next case begin anew. What a failed case leaves is nobody's ground.
        let cleared = std::fs::read_dir(disk.path()).and_then(|entries| {
            entries
                .flatten()
                .filter(|entry| entry.file_name() != "lost+found")
                .try_for_each(|entry| remove(&entry.path()))
        });
        if cleared.is_ok() && !std::thread::panicking() {
            IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(disk);
        }
    }
}

/// Removes a file, or a directory with all that is in it, if it is there. A store that is just closing may add to it.
fn remove(path: &Path) -> io::Result<()> {
    const TRIES: usize = 1000;
    let once = || {
        let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
    };
    let again = |error: &io::Error| error.kind() == io::ErrorKind::DirectoryNotEmpty;
    (1..TRIES).map(|_| once()).find(|removed| !removed.as_ref().is_err_and(again)).unwrap_or_else(once)
}

/// Every file below `directory` with its length, in an order that is always the same.
fn files(directory: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            found.extend(files(&path));
        } else if let Ok(metadata) = path.metadata() {
            found.push((path, metadata.len()));
        }
    }
    found
}

fn places_in(damage: Damage, length: u64) -> u64 {
    match damage {
        Damage::FlipBit => length,
        Damage::ZeroSector => length.div_ceil(SECTOR_BYTES),
        Damage::LosePiece => 1,
    }
}

fn hit(path: &Path, damage: Damage, place: u64, bit: u8) -> io::Result<String> {
    let name = path.display();
    let file = File::options().read(true).write(true).open(path)?;
    match damage {
        Damage::FlipBit => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, place)?;
            file.write_all_at(&[byte[0] ^ (1 << bit)], place)?;
            Ok(format!("bit {bit} of byte {place} of {name} flipped"))
        }
        Damage::ZeroSector => {
            let start = place * SECTOR_BYTES;
            let length = (file.metadata()?.len() - start).min(SECTOR_BYTES);
            file.write_all_at(&vec![0; length as usize], start)?;
            Ok(format!("sector at byte {start} of {name} zeroed"))
        }
        Damage::LosePiece => {
            std::fs::remove_file(path)?;
            Ok(format!("{name} lost"))
        }
    }
}
