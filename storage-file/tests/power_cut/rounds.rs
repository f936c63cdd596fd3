//! The judge: starts the saving process, kills it or cuts its power, and holds what the next one finds against the model.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use eraft_core::Storage;
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

/// How a saving process ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It is killed once it has told this many saves.
    Killed(u64),
    /// Its power is cut once it has told this many saves.
    CutAfter(u64),
    /// Its power is cut this long after its start: mostly while it recovers.
    CutDuringStart(Duration),
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
pub(crate) fn run(test: &str, file_system: FileSystem) {
    let seed = std::env::var("ERAFT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    if let Ok(directory) = std::env::var(DIRECTORY) {
        let run = std::env::var(RUN).unwrap().parse().unwrap();
        return saver::run(directory.as_ref(), Script { seed, run });
    }
    let mut disk = match LoopDisk::new(file_system) {
        Ok(disk) => disk,
        Err(reason) => return skip(test, file_system.probe(), &reason),
    };
    let cuts = if std::env::var("ERAFT_LONG").is_ok_and(|long| long == "1") { 20 } else { 3 };
    let directory = disk.path().join("store");
    let identity = FileEngine::create_with(Arc::new(RealFs), &directory, CLUSTER, NODE, saver::options()).unwrap();
    let mut judge = Judge { found: Model::blank(identity), since: None, acknowledged: 0, told: 0, untold: 0 };
    let mut rng = Rng::with_seed(seed);
    let (mut runs, mut kills) = (0, 0);
    println!("seed {seed}");
    for cut in 0..cuts {
        let mut ends = vec![match rng.u8(..4) {
            0 => End::CutDuringStart(Duration::from_millis(rng.u64(..60))),
            _ => End::CutAfter(rng.u64(1..400)),
        }];
        if cut == 0 || rng.bool() {
            // Hardly started again, and what it found in the page cache must already be safe.
            kills += 1;
            ends = vec![End::Killed(rng.u64(1..400)), End::CutAfter(rng.u64(..3))];
        }
        for end in ends {
            runs += 1;
            let script = Script { seed, run: runs };
            judge.hear(script, &saving_process(test, &disk, script, end), end);
        }
        disk.restart();
    }
    let store =
        FileStorage::open_with(Arc::new(RealFs), &directory, eraft_core::Expected::any(), saver::options()).unwrap();
    let last = block_on(saver::read(&store)).unwrap();
    judge.judge(last.number(), last.digest(), &last.outline());
    block_on(store.close()).unwrap();
    drop(store);
    println!(
        "{file_system:?}: {cuts} power cuts, {kills} kills, {} saves acknowledged and none lost, {} found that were not",
        judge.told, judge.untold
    );
    assert!(judge.told > 0, "nothing was acknowledged, so nothing was shown");
}

/// Starts the process, ends it as told, and gives back every line that it managed to say.
fn saving_process(test: &str, disk: &LoopDisk, script: Script, end: End) -> Vec<String> {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, disk.path().join("store"))
        .env(RUN, script.run.to_string())
        .env("ERAFT_SEED", script.seed.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    match end {
        End::Killed(saves) => listen(&mut lines, &mut said, saves),
        End::CutAfter(saves) => {
            listen(&mut lines, &mut said, saves);
            disk.cut_power();
        }
        End::CutDuringStart(moment) => {
            std::thread::sleep(moment);
            disk.cut_power();
        }
    }
    end_process(&mut process);
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

fn end_process(process: &mut Child) {
    process.kill().unwrap();
    process.wait().unwrap();
}

impl Judge {
    /// Takes in what a process said.
    fn hear(&mut self, script: Script, said: &[String], end: End) {
        let mut acknowledged = self.acknowledged;
        for line in said {
            let mut words = line.splitn(4, ' ');
            match (words.next(), words.next(), words.next(), words.next()) {
                (Some("@opened"), Some(number), Some(digest), Some(outline)) => {
                    self.judge(number.parse().unwrap(), digest.parse().unwrap(), outline);
                    self.since = Some(script);
                    acknowledged = self.found.number();
                }
                (Some("@saved"), Some(number), ..) => {
                    let number = number.parse().unwrap();
                    assert_eq!(number, acknowledged + 1, "receipts out of order");
                    acknowledged = number;
                    self.told += 1;
                }
                (Some("@failed"), ..) => {
                    assert!(!matches!(end, End::Killed(_)), "{script:?} failed on a healthy disk: {line}")
                }
                _ => {}
            }
        }
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
