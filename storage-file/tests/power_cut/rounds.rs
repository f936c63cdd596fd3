//! The judge: starts the saving process, kills it or cuts its power, and holds what the next one finds against the model.

use std::{
    io::{BufRead, BufReader},
    process::{ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use eraft_core::{Expected, Storage};
use eraft_storage_file::{FileEngine, FileStorage, fs::real::RealFs};
use fastrand::Rng;
use futures_executor::block_on;

use crate::{
    loop_disk::{FileSystem, LoopDisk},
    saver::{self, CLUSTER, NODE},
    script::{Model, Script},
};

const DIRECTORY: &str = "ERAFT_POWER_CUT_DIRECTORY";
const RUN: &str = "ERAFT_POWER_CUT_RUN";
const HOLD: &str = "ERAFT_POWER_CUT_HOLD";

/// What the cuts of a test are about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About {
    /// Any moment of saving and of starting.
    AnyMoment,
    /// A process that is killed between writing a batch and syncing it, and a cut after the next one has opened the store:
    /// what that one found stood in the page cache alone.
    TheCache,
}

/// How a saving process ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It is killed once it has told this many saves.
    Killed(u64),
    /// Its power is cut once it has told this many saves.
    CutAfter(u64),
    /// Its power is cut this long after its start: mostly while it recovers.
    CutDuringStart(Duration),
    /// It is killed as it enters this data sync, which does not take place.
    KilledAtSync(u64),
    /// Its power is cut once it has opened the store, before it saves anything.
    CutOnceOpened,
}

/// What is known of the store.
struct Judge {
    /// The last state that was found and agreed with what had been saved.
    found: Model,
    /// The process that has saved since, if one got so far.
    since: Option<Script>,
    /// The highest save that was acknowledged.
    acknowledged: u64,
    told: u64,
    /// Saves that were found though nobody had been told.
    untold: u64,
}

/// The test of one file system, or the saving process where the environment says so.
pub(crate) fn run(test: &str, file_system: FileSystem, about: About) {
    let seed = std::env::var("ERAFT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    if let Ok(directory) = std::env::var(DIRECTORY) {
        let run = std::env::var(RUN).unwrap().parse().unwrap();
        return saver::run(directory.as_ref(), Script { seed, run }, std::env::var(HOLD).is_ok());
    }
    let mut disk = match LoopDisk::new(file_system) {
        Ok(disk) => disk,
        Err(reason) => return skip(test, file_system.probe(), &reason),
    };
    if matches!(about, About::TheCache) && Command::new("strace").arg("-V").output().is_err() {
        return skip(test, "strace", "it kills a process as it enters a system call");
    }
    let cuts = if std::env::var("ERAFT_LONG").is_ok_and(|long| long == "1") { 20 } else { 3 };
    let directory = disk.path().join("store");
    let identity = FileEngine::create_with(Arc::new(RealFs), &directory, CLUSTER, NODE, saver::options()).unwrap();
    let mut judge = Judge { found: Model::blank(identity), since: None, acknowledged: 0, told: 0, untold: 0 };
    let mut rng = Rng::with_seed(seed);
    let (mut runs, mut kills, mut rounds, mut counted) = (0, 0, 0, 0);
    println!("seed {seed}");
    while counted < cuts {
        assert!(rounds < 10 * cuts, "nine rounds of ten were void: no process found anything that stood in the cache");
        let (ends, untold) = (ends(&mut rng, about, rounds), judge.untold);
        kills += ends.len() - 1;
        for end in ends {
            runs += 1;
            let script = Script { seed, run: runs };
            judge.hear(script, &saving_process(test, &disk, script, end), end);
        }
        disk.restart();
        rounds += 1;
        // The sync that did not take place may have had nothing new to make durable; such a round shows nothing.
        counted += u64::from(matches!(about, About::AnyMoment) || judge.untold > untold);
    }
    let store = FileStorage::open_with(Arc::new(RealFs), &directory, Expected::any(), saver::options()).unwrap();
    let last = block_on(saver::read(&store)).unwrap();
    judge.judge(last.number(), last.digest(), &last.outline());
    block_on(store.close()).unwrap();
    drop(store);
    println!(
        "{file_system:?}: {rounds} power cuts ({counted} that count), {kills} kills, {} saves acknowledged and none lost, {} found that were not",
        judge.told, judge.untold
    );
    assert!(judge.told > 0, "nothing was acknowledged, so nothing was shown");
}

/// The processes up to the next cut: each ends as told, and only the last by the cut.
fn ends(rng: &mut Rng, about: About, round: u64) -> Vec<End> {
    match about {
        About::TheCache => vec![End::KilledAtSync(rng.u64(8..80)), End::CutOnceOpened],
        // Hardly started again, and what it found in the page cache must already be safe.
        About::AnyMoment if round == 0 || rng.bool() => vec![End::Killed(rng.u64(1..400)), End::CutAfter(rng.u64(..3))],
        About::AnyMoment if rng.u8(..4) == 0 => vec![End::CutDuringStart(Duration::from_millis(rng.u64(..60)))],
        About::AnyMoment => vec![End::CutAfter(rng.u64(1..400))],
    }
}

/// Starts the process, ends it as told, and gives back every line that it managed to say.
fn saving_process(test: &str, disk: &LoopDisk, script: Script, end: End) -> Vec<String> {
    let program = std::env::current_exe().unwrap();
    let mut command = match end {
        End::KilledAtSync(nth) => {
            // The error keeps the sync from taking place; the signal keeps the process from hearing of it.
            let inject = format!("inject=fdatasync:error=EIO:signal=KILL:when={nth}");
            let mut command = Command::new("strace");
            command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject]).arg(program);
            command
        }
        _ => Command::new(program),
    };
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(DIRECTORY, disk.path().join("store")).env(RUN, script.run.to_string());
    command.env("ERAFT_SEED", script.seed.to_string());
    if matches!(end, End::CutOnceOpened) {
        command.env(HOLD, "1");
    }
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    match end {
        End::Killed(saves) => listen(&mut lines, &mut said, saves),
        End::KilledAtSync(_) => listen(&mut lines, &mut said, u64::MAX),
        End::CutAfter(_) | End::CutOnceOpened | End::CutDuringStart(_) => {
            match end {
                End::CutDuringStart(moment) => std::thread::sleep(moment),
                End::CutAfter(saves) => listen(&mut lines, &mut said, saves),
                _ => listen(&mut lines, &mut said, 0),
            }
            disk.cut_power();
        }
    }
    process.kill().unwrap();
    process.wait().unwrap();
    said.extend(lines.map_while(Result::ok));
    said
}

/// Reads on until the process has opened its store and told so many saves, or has ended.
fn listen(lines: &mut std::io::Lines<BufReader<ChildStdout>>, said: &mut Vec<String>, saves: u64) {
    let (mut opened, mut left) = (false, saves);
    while !opened || left > 0 {
        let Some(Ok(line)) = lines.next() else { return };
        opened |= line.starts_with("@opened ");
        left -= u64::from(line.starts_with("@saved "));
        said.push(line);
    }
}

impl Judge {
    /// Takes in what a process said.
    fn hear(&mut self, script: Script, said: &[String], end: End) {
        let (mut acknowledged, mut opened, told_before) = (self.acknowledged, false, self.told);
        for line in said {
            let mut words = line.splitn(4, ' ');
            match (words.next(), words.next(), words.next(), words.next()) {
                (Some("@opened"), Some(number), Some(digest), Some(outline)) => {
                    self.judge(number.parse().unwrap(), digest.parse().unwrap(), outline);
                    (self.since, opened) = (Some(script), true);
                    acknowledged = self.found.number();
                }
                (Some("@saved"), Some(number), ..) => {
                    let number = number.parse().unwrap();
                    assert_eq!(number, acknowledged + 1, "receipts out of order");
                    acknowledged = number;
                    self.told += 1;
                }
                // Before its power is cut, nothing may fail.
                (Some("@failed"), ..) => assert!(
                    match end {
                        End::CutDuringStart(_) => true,
                        End::CutAfter(saves) => opened && self.told - told_before >= saves,
                        End::Killed(_) | End::KilledAtSync(_) | End::CutOnceOpened => false,
                    },
                    "{script:?} {end:?} failed on a healthy disk: {line}"
                ),
                _ => {}
            }
        }
        assert!(opened || matches!(end, End::CutDuringStart(_)), "{script:?} {end:?} did not open the store: {said:?}");
        self.acknowledged = acknowledged;
    }

    /// What was found must be what the saves so far, and no others, had made, up to one that is not before the last
    /// acknowledged.
    fn judge(&mut self, number: u64, digest: u64, outline: &str) {
        assert!(
            number >= self.acknowledged,
            "save {} was acknowledged, and {number} is the last there",
            self.acknowledged
        );
        let mut expected = self.found.clone();
        while expected.number() < number {
            let since = self.since.expect("nobody has saved since the last look");
            expected.advance(since);
        }
        assert_eq!(outline, expected.outline(), "after save {number}");
        assert_eq!(digest, expected.digest(), "the bytes after save {number} are others");
        self.untold += number - self.acknowledged;
        (self.found, self.acknowledged) = (expected, number);
    }
}

/// Says what is missing; where it is required, that is a failure.
fn skip(test: &str, probe: &str, reason: &str) {
    let required = std::env::var("ERAFT_REQUIRE").is_ok_and(|list| list.split(',').any(|name| name.trim() == probe));
    assert!(!required, "{probe} is required, and not here: {reason}");
    println!("SKIPPED {test}: no {probe} ({})", reason.trim());
}
