//! Power cuts on real file systems: a driver saves as fast as it can into a file system on a loop device, which is shut
//! down under it with its journal unflushed, taken off and put back. What was not synced is gone.

use std::time::Duration;

use fastrand::Rng;

use super::{
    Report, Subject,
    driver::Said,
    is_long,
    judge::{Ended, Judge},
    points::Tracer,
    seed,
};
use crate::machine::{self, FileSystem, LoopDisk, STRACE, skip};

/// Saves that wait for their receipts at a time.
const WINDOW: usize = 16;
/// The store's share of the disk that is made for it.
const DISK_MIB: u64 = 128;

/// What the cuts are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Any moment of saving and of opening.
    AnyMoment,
    /// A process that is killed between writing a batch and syncing it, and a cut after the next one has opened the store:
    /// what that one found stood in the page cache alone. Rounds in which nothing stood there are void, and repeated.
    TheCache,
}

/// How a driver ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It is killed once so many saves were acknowledged.
    Killed(u64),
    /// Its power is cut once so many saves were acknowledged.
    CutAfter(u64),
    /// Its power is cut this long after it was told to open: mostly while it recovers.
    CutDuringOpen(Duration),
    /// It is killed as a thread enters its n-th data sync, which does not take place.
    KilledAtSync(u64),
    /// Its power is cut once it has opened the store, before it saves anything.
    CutOnceOpened,
}

/// Cuts the power of a `file_system` with the store on it again and again, ten times, or a hundred with `ERAFT_LONG=1`; after each cut
/// the store must open, hold what was acknowledged, and take more. Skipped, by a line for `test`, where the machine has not what it takes.
pub fn cut_power(test: &str, subject: &Subject, file_system: FileSystem, about: About) -> Option<Report> {
    let mut disk = match LoopDisk::new(file_system, DISK_MIB) {
        Ok(disk) => disk,
        Err(reason) => {
            skip(test, file_system.probe(), &reason);
            return None;
        }
    };
    if about == About::TheCache
        && let Err(reason) = machine::can_trace()
    {
        skip(test, STRACE, &format!("it kills a process as it enters a system call: {reason}"));
        return None;
    }
    let cuts = if is_long() { 100 } else { 10 };
    let mut judge = Judge::new(subject, disk.path().join("store"), seed(), false);
    assert_eq!(judge.create(&mut judge.driver()), Said::Done);
    let mut rng = Rng::with_seed(seed());
    let (mut rounds, mut kills) = (0, 0);
    println!("seed {}", seed());
    while judge.report.cuts < cuts {
        assert!(rounds < 10 * cuts, "nine rounds of ten were void: no process found anything that stood in the cache");
        let (ends, untold) = (ends(&mut rng, about, rounds), judge.report.untold);
        kills += ends.len() as u64 - 1;
        for end in ends {
            play(&mut judge, &disk, end);
        }
        disk.restart();
        rounds += 1;
        // The sync that did not take place may have had nothing new to make durable.
        judge.report.cuts += u64::from(about == About::AnyMoment || judge.report.untold > untold);
    }
    judge.see_that_it_lives();
    judge.report.kills = kills;
    println!("{file_system:?}, {rounds} rounds: {}", judge.report);
    assert!(judge.report.acknowledged > 10 * cuts, "void: {}", judge.report);
    Some(judge.report)
}

/// The drivers up to the next cut: only the last ends by it.
fn ends(rng: &mut Rng, about: About, round: u64) -> Vec<End> {
    match about {
        About::TheCache => vec![End::KilledAtSync(rng.u64(8..80)), End::CutOnceOpened],
        // Hardly started again, and what it found in the page cache must already be safe.
        About::AnyMoment if round == 0 || rng.bool() => vec![End::Killed(rng.u64(1..400)), End::CutAfter(rng.u64(..3))],
        About::AnyMoment if rng.u8(..4) == 0 => vec![End::CutDuringOpen(Duration::from_millis(rng.u64(..20)))],
        About::AnyMoment => vec![End::CutAfter(rng.u64(1..400))],
    }
}

/// One driver, from its start to its end.
fn play(judge: &mut Judge, disk: &LoopDisk, end: End) {
    let mut driver = judge.driver();
    if let End::CutDuringOpen(moment) = end {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(moment);
                disk.cut_power();
            });
            // It may be done before, and then it is judged.
            let _it_may_fail = judge.look(&mut driver);
        });
    } else {
        assert_eq!(judge.look(&mut driver), Ok(()), "{end:?}: on a healthy disk");
        match end {
            End::Killed(saves) => assert_eq!(judge.save(&mut driver, saves, WINDOW), Ended::Done, "on a healthy disk"),
            End::CutAfter(saves) => {
                assert_eq!(judge.save(&mut driver, saves, WINDOW), Ended::Done, "on a healthy disk");
                disk.cut_power();
            }
            End::KilledAtSync(nth) => {
                let elsewhere = tempfile::tempdir().unwrap();
                let _tracer = Tracer::kill_at_sync(&driver, nth, elsewhere.path().join("record"));
                assert_eq!(judge.save(&mut driver, u64::from(u32::MAX), WINDOW), Ended::Gone, "on a healthy disk");
            }
            _ => disk.cut_power(),
        }
    }
    driver.kill();
    match end {
        End::Killed(_) | End::KilledAtSync(_) => judge.hear_the_last(&mut driver),
        End::CutAfter(_) | End::CutDuringOpen(_) | End::CutOnceOpened => judge.forget_the_last(&mut driver),
    }
    driver.was_killed();
}
