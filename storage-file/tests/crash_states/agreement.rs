//! Two makers of crashes, written apart, agree: what the simulated disk leaves by chance is exactly what the enumeration
//! says may be left.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use eraft_conformance::crash_states::{Disk, Fates, Filler, Image, Inode, LengthChange, OperationId};
use eraft_storage_file::fs::{Access, Fs, sim::SimFs, write_all_at};
use fastrand::Rng;

use crate::seam::{Seam, Skips};

/// Beyond so many outcomes chance does not meet all of them.
const ALL_ARE_MET_UP_TO: usize = 24;
const TRIES: u64 = 1000;
const MOST_TRIES: u64 = 100_000;

/// What a disk holds: each path, with its bytes if it is a file, as runs of equal ones.
type Content = Vec<(PathBuf, Option<Vec<(u8, usize)>>)>;

fn runs(bytes: &[u8]) -> Vec<(u8, usize)> {
    bytes.chunk_by(|one, next| one == next).map(|run| (run[0], run.len())).collect()
}

/// Gives every combination of answers, one after the other.
#[derive(Default)]
struct Odometer {
    /// The answer to each question, and how many there are.
    answers: Vec<(usize, usize)>,
    asked: usize,
}

impl Odometer {
    fn ask(&mut self, answers: usize) -> usize {
        if self.asked == self.answers.len() {
            self.answers.push((0, answers));
        }
        self.asked += 1;
        self.answers[self.asked - 1].0
    }

    /// The next combination; false after the last.
    fn turn(&mut self) -> bool {
        self.asked = 0;
        while let Some((answer, of)) = self.answers.pop() {
            if answer + 1 < of {
                self.answers.push((answer + 1, of));
                return true;
            }
        }
        false
    }
}

impl Fates for Odometer {
    fn keeps_name(&mut self, _: OperationId) -> bool {
        self.ask(2) == 1
    }

    fn keeps_sector(&mut self, _: OperationId, _: Inode, _: usize) -> bool {
        self.ask(2) == 1
    }

    fn length(&mut self, _: Inode, durable: u64, changes: &[(OperationId, LengthChange)]) -> u64 {
        let mut lengths: Vec<u64> = changes.iter().map(|(_, change)| change.len_bytes()).chain([durable]).collect();
        lengths.sort_unstable();
        lengths.dedup();
        lengths[self.ask(lengths.len())]
    }

    fn filler(&mut self, _: Inode, _: usize) -> Filler {
        Filler::Zeros
    }
}

/// Everything that a crash may leave of `image`, without noise.
fn all_outcomes(image: &Image) -> BTreeSet<Content> {
    let (mut found, mut odometer) = (BTreeSet::new(), Odometer::default());
    loop {
        let left = image.crash(&mut odometer);
        let listing = left.listing().into_iter();
        found.insert(listing.map(|(path, _)| (path.clone(), left.read_file(&path).as_deref().map(runs))).collect());
        if !odometer.turn() {
            return found;
        }
    }
}

/// What one crash leaves of `disk`; `None` where it left noise.
fn one_outcome(disk: &SimFs, seed: u64) -> Option<Content> {
    let crashed = disk.fork(seed);
    crashed.crash();
    let content = |path: PathBuf| (path.clone(), crashed.read_file(&path).ok().as_deref().map(runs));
    (crashed.reach().sectors_garbled == 0).then(|| crashed.paths().into_iter().map(content).collect())
}

/// One random step of a store's kind; what is impossible does nothing on either disk.
fn step(fs: &dyn Fs, random: &mut Rng) {
    let names = ["/a", "/b", "/d/a", "/d/b"];
    let mut name = || Path::new(names[random.usize(..names.len())]);
    let (one, other) = (name(), name());
    let _impossible_on_both = match random.u8(..10) {
        0..2 => fs.create_file(one).map(drop),
        2..6 => fs.open_file(one, Access::ReadWrite).and_then(|file| {
            let (offset, length) = (random.u64(..1200), random.usize(1..900));
            write_all_at(&*file, &vec![random.u8(1..); length], offset)
        }),
        6 => fs.rename(one, other),
        7 => fs.remove_file(one),
        8 => fs.open_file(one, Access::ReadWrite).and_then(|file| file.sync_data()),
        _ => fs.sync_dir(Path::new(["/", "/d"][random.usize(..2)])),
    };
}

#[test]
fn a_crash_of_the_simulated_disk_leaves_exactly_what_the_enumeration_allows() {
    let (mut compared, mut met_all) = (0, 0);
    for seed in 0..150 {
        let (sim, disk) = (SimFs::new(seed), Disk::new());
        let seam = Seam(disk.clone(), Skips::Nothing);
        for fs in [&sim as &dyn Fs, &seam] {
            fs.create_dir(Path::new("/d")).unwrap();
            let file = fs.create_file(Path::new("/a")).unwrap();
            write_all_at(&*file, &[7; 1300], 0).unwrap();
            file.sync_all().unwrap();
            fs.sync_dir(Path::new("/")).unwrap();
            let mut random = Rng::with_seed(seed);
            (0..random.u32(2..9)).for_each(|_| step(fs, &mut random));
        }
        let (journal, image) = disk.look();
        let allowed = all_outcomes(&image);
        let mut met = BTreeSet::new();
        for seed in 0..MOST_TRIES {
            if seed >= TRIES && (met.len() >= allowed.len() || allowed.len() > ALL_ARE_MET_UP_TO) {
                break;
            }
            met.extend(one_outcome(&sim, seed));
        }
        assert!(
            met.is_subset(&allowed),
            "seed {seed}: the simulated disk leaves more, after {:#?}",
            journal.operations
        );
        compared += met.len();
        if allowed.len() <= ALL_ARE_MET_UP_TO {
            assert_eq!(met, allowed, "seed {seed}: the simulated disk leaves less, after {:#?}", journal.operations);
            met_all += 1;
        }
    }
    assert!(compared > 1000 && met_all > 30, "{compared} outcomes compared, {met_all} scripts in full");
}
