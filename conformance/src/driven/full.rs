//! A store on a disk that is really full: a small tmpfs.

use super::{
    Report, Subject,
    driver::Said,
    judge::{Ended, Judge},
    seed,
};
use crate::machine::{SMALL_TMPFS, SmallDisk, skip};

/// The whole disk, and what is taken of it by a file that is not the store's.
const DISK_MIB: u64 = 12;
const TAKEN_BYTES: u64 = 6 << 20;
/// Times that the disk fills.
const ROUNDS: u64 = 2;

/// Fills the disk under a store until a save is `Full`; then nothing more is acknowledged, it opens on the full disk and holds what
/// was acknowledged, and goes on once there is room. Skipped, by a line for `test`, where nothing can be mounted.
pub fn fill(test: &str, subject: &Subject) -> Option<Report> {
    let disk = match SmallDisk::new(DISK_MIB) {
        Ok(disk) => disk,
        Err(reason) => {
            skip(test, SMALL_TMPFS, &reason);
            return None;
        }
    };
    let mut report = Report::default();
    for round in 0..ROUNDS {
        let filler = disk.path().join("filler");
        std::fs::write(&filler, vec![0; usize::try_from(TAKEN_BYTES).unwrap()]).unwrap();
        let store = disk.path().join(format!("store-{round}"));
        let mut judge = Judge::new(subject, store.clone(), seed() + round, true);
        let mut driver = judge.driver();
        assert_eq!(judge.create(&mut driver), Said::Done);
        assert_eq!(judge.look(&mut driver), Ok(()));
        let ended = judge.save(&mut driver, u64::MAX / 2, 4);
        assert!(matches!(&ended, Ended::Failed(text) if text.starts_with("Full")), "a full disk was told as {ended:?}");
        report.faults += 1;
        judge.see_that_it_is_poisoned(&mut driver);
        driver.kill();
        judge.hear_the_last(&mut driver);
        let told = judge.report.acknowledged;
        assert!(told >= 20, "void: {told} saves were acknowledged before the disk was full");

        let mut driver = judge.driver();
        assert_eq!(judge.look(&mut driver), Ok(()), "on the full disk");
        drop(driver);
        std::fs::remove_file(&filler).unwrap();
        judge.see_that_it_lives();
        report.acknowledged += judge.report.acknowledged;
        report.untold += judge.report.untold;
        std::fs::remove_dir_all(store).unwrap();
    }
    println!("{report}");
    Some(report)
}
