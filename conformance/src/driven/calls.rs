//! A driver that is killed at every system call that changes the disk, and that has each of them fail.

use std::{collections::BTreeMap, path::Path};

use super::{
    Report, Subject,
    driver::{Driver, Said},
    is_long,
    judge::{Ended, Judge},
    points::{Effect, Point, Since, Tracer, hit, must_be_told, points},
    seed,
};
use crate::machine::{self, STRACE, skip};

/// Saves of a life, one at a time: several hundred system calls that change the disk.
const SAVES: u64 = 120;
/// Kills, and failed calls, of a short run.
const SAMPLE: usize = 45;
/// So many hundredths of a sample must have been hit, or the run is void.
const FLOOR_PERCENT: usize = 80;
/// How often a call is aimed at that was not met: an engine with threads of its own does not make the same ones in each life,
/// least of all on a machine that is busy.
const TRIES: usize = 2;
/// And so many times the sample is aimed at in all, where too few of it were met.
const MAX_SAMPLES: usize = 3;

/// How far the life of a driver got.
#[derive(Debug)]
struct Life {
    /// The first thing that failed, if anything did.
    failed: Option<String>,
    gone: bool,
}

/// Leads drivers through one life again and again: the store is created, saved to, and closed. Each time something befalls
/// one system call. Then the store must open, hold what was acknowledged, take more, and hold that. After a save that failed nothing may
/// be acknowledged, and a write or a file's sync that failed must have been told, unless the file is a [harmless](Subject::harmless)
/// one.
///
/// By default a sample of the calls, spread over the whole life; all with `ERAFT_LONG=1`. Skipped, by a line for `test`, where there is no `strace`.
pub fn every_call(test: &str, subject: &Subject) -> Option<Report> {
    if let Err(reason) = machine::can_trace() {
        skip(test, STRACE, &reason);
        return None;
    }
    let (points, out_of_reach) = recorded(subject);
    let kills: Vec<_> = points.iter().map(|point| (point, Effect::Kill)).collect();
    let faults: Vec<_> = points.iter().flat_map(|point| effects(point).map(move |effect| (point, effect))).collect();
    println!("{} calls change the disk, {out_of_reach} more are out of reach: {}", points.len(), by_name(&points));
    let mut report = Report { points: points.len() as u64, ..Report::default() };
    for jobs in [kills, faults] {
        let every = if is_long() { 1 } else { jobs.len().div_ceil(SAMPLE) };
        let offset = usize::try_from(seed()).unwrap() % every;
        let chosen = jobs.iter().skip(offset).step_by(every).count();
        // The sample, and then its neighbours.
        let in_turn = (0..every).flat_map(|shift| jobs.iter().skip((offset + shift) % every).step_by(every));
        let (mut hits, least) = (0, chosen * FLOOR_PERCENT / 100);
        for (aimed_at, (point, effect)) in in_turn.take(MAX_SAMPLES * chosen).enumerate() {
            if aimed_at >= chosen && hits >= least {
                break;
            }
            hits += usize::from((0..TRIES).any(|_| befall(subject, point, *effect, &mut report)));
        }
        assert!(hits >= least, "void: only {hits} calls were met again, of {chosen} and their neighbours");
    }
    assert!(report.kills >= 30 && report.faults >= 30, "void: {report}");
    println!("{report}");
    Some(report)
}

/// A life in which nothing happens.
fn recorded(subject: &Subject) -> (Vec<Point>, u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut judge = Judge::new(subject, dir.path().join("store"), seed(), false);
    let mut driver = judge.driver();
    let ready = driver.threads();
    // Beside the store: what is written there is none of its calls.
    let elsewhere = tempfile::tempdir().unwrap();
    let tracer = Tracer::record(&driver, elsewhere.path().join("record"));
    let mut opened = Vec::new();
    let life = live(&mut judge, &mut driver, |driver, _| opened = driver.threads());
    assert!(life.failed.is_none() && !life.gone, "a life in which nothing happened: {life:?}");
    drop(driver);
    points(&tracer.end(), &ready, &opened, dir.path())
}

/// One life; `at_open` is called once the store is open.
fn live(judge: &mut Judge, driver: &mut Driver, at_open: impl FnOnce(&Driver, &Path)) -> Life {
    let failed = |said: Said| match said {
        Said::Failed(_, text) => Life { failed: Some(text), gone: false },
        _ => Life { failed: None, gone: true },
    };
    let said = judge.create(driver);
    if said != Said::Done {
        return failed(said);
    }
    let said = judge.open(driver);
    if said != Said::Done {
        return failed(said);
    }
    at_open(driver, &judge.store);
    let mut life = Life { failed: None, gone: false };
    for _ in 0..SAVES {
        match judge.save(driver, 1, 1) {
            Ended::Done => {}
            // Nothing was submitted, so it goes on with the same save.
            Ended::Unstaged(text) => life.failed = life.failed.or(Some(text)),
            Ended::Failed(text) => {
                judge.see_that_it_is_poisoned(driver);
                return Life { failed: Some(text), gone: false };
            }
            Ended::Gone => return Life { gone: true, ..life },
        }
    }
    match driver.close() {
        Said::Done => life,
        said => failed(said),
    }
}

/// What can befall a call, beside a kill.
fn effects(point: &Point) -> impl Iterator<Item = Effect> + use<> {
    let full = point.writes().then_some(Effect::Fails("ENOSPC"));
    [Effect::Fails("EIO")].into_iter().chain(full)
}

/// Lets `effect` befall one life at `point`, and sees what is left; whether the call was met.
fn befall(subject: &Subject, point: &Point, effect: Effect, report: &mut Report) -> bool {
    println!("{effect:?} at {:?} {}", point.since, point.text);
    let [dir, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut judge = Judge::new(subject, dir.path().join("store"), seed(), false);
    let mut driver = judge.driver();
    let (ready, record) = (driver.threads(), elsewhere.path().join("record"));
    let mut tracer = None;
    if point.since == Since::Ready {
        tracer = point.arrange(&driver, &[], effect, record.clone());
    }
    let life = live(&mut judge, &mut driver, |driver, _| {
        if point.since == Since::Opened {
            tracer = point.arrange(driver, &ready, effect, record);
        }
    });
    driver.kill();
    judge.hear_the_last(&mut driver);
    let was_killed = driver.was_killed();
    let record = tracer.map(Tracer::end).unwrap_or_default();
    assert!(was_killed, "the driver ended by itself: {life:?}");
    // A process that is killed says nothing more, and the tracer not always that it did it.
    let hit = hit(&record);
    let met = life.gone || hit.is_some();
    match effect {
        Effect::Kill => report.kills += u64::from(met),
        Effect::Fails(_) => {
            report.faults += u64::from(met);
            assert!(!life.gone, "the driver did not survive a failed call");
            let untold = hit.filter(|call| life.failed.is_none() && must_be_told(call, dir.path(), subject.harmless));
            assert_eq!(untold, None, "nobody was told of the failed call");
        }
    }
    judge.see_that_it_lives();
    report.acknowledged += judge.report.acknowledged;
    report.untold += judge.report.untold;
    met
}

fn by_name(points: &[Point]) -> String {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    points.iter().for_each(|point| *counts.entry(&point.call).or_default() += 1);
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}
