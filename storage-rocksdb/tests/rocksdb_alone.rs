//! What RocksDB's own recovery makes of a torn log and of damage: why `recovery` judges before it may open. Each figure is
//! printed; where one is no longer as it was, a part of the judgement may go, or is missing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests on real files"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use eraft_storage_rocksdb::rocksdb::{DB, DBRecoveryMode, Options, WriteOptions};

/// Values of so many bytes, so that one record spans several pages.
const VALUE_BYTES: usize = 20_000;
const RECORDS: usize = 8;

fn options(mode: DBRecoveryMode) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_wal_recovery_mode(mode);
    options.set_track_and_verify_wals_in_manifest(true);
    options
}

/// A database whose process was killed with `RECORDS` synced records in its log, as a copy of its files.
fn killed(dir: &Path) -> PathBuf {
    let (live, copy) = (dir.join("live"), dir.join("killed"));
    let db = DB::open(&options(DBRecoveryMode::AbsoluteConsistency), &live).unwrap();
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    for nth in 0..RECORDS {
        db.put_opt([nth as u8], vec![nth as u8; VALUE_BYTES], &synced).unwrap();
    }
    copy_dir(&live, &copy);
    copy
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        // RocksDB may remove one meanwhile that says nothing of the data.
        let passing = name.starts_with("OPTIONS-") || name.starts_with("LOG") || name.ends_with(".dbtmp");
        assert!(fs::copy(&path, to.join(name)).is_ok() || passing, "{name}");
    }
}

/// The one file whose name `ours` knows.
fn file(dir: &Path, ours: fn(&str) -> bool) -> PathBuf {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().rfind(|path| ours(path.file_name().unwrap().to_str().unwrap())).unwrap()
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// How many records are found, or that the database is refused.
fn found(dir: &Path, mode: DBRecoveryMode) -> Option<usize> {
    let db = DB::open(&options(mode), dir).ok()?;
    Some((0..RECORDS).filter(|nth| matches!(db.get([*nth as u8]), Ok(Some(_)))).count())
}

/// What each mode makes of a log that `damage` was done to.
fn table(what: &str, damage: fn(&mut Vec<u8>)) -> [Option<usize>; 3] {
    let modes = [
        DBRecoveryMode::TolerateCorruptedTailRecords,
        DBRecoveryMode::PointInTime,
        DBRecoveryMode::AbsoluteConsistency,
    ];
    let table = modes.map(|mode| {
        let dir = tempfile::tempdir().unwrap();
        let copy = killed(dir.path());
        change(&file(&copy, |name| name.ends_with(".log")), damage);
        found(&copy, mode)
    });
    println!(
        "{what}: of {RECORDS} records, tolerant {:?}, point in time {:?}, absolute {:?}",
        table[0], table[1], table[2]
    );
    table
}

#[test]
fn each_mode_of_recovery_draws_the_line_elsewhere() {
    let whole = table("whole", |_| {});
    assert_eq!(whole, [Some(RECORDS); 3]);
    // What an honest power cut leaves of a record that was in flight.
    let cut = table("the last record cut off", |log| log.truncate(log.len() - 5000));
    assert_eq!(cut, [Some(RECORDS - 1), Some(RECORDS - 1), None]);
    let torn = table("the last record lost a middle page", |log| {
        let page = (log.len() - VALUE_BYTES / 2) / 4096;
        log[page * 4096..(page + 1) * 4096].fill(0);
    });
    assert_eq!(torn, [None, Some(RECORDS - 1), None]);
    // What no power cut does.
    let damaged = table("the second record lost a middle page", |log| {
        let page = (VALUE_BYTES + VALUE_BYTES / 2) / 4096;
        log[page * 4096..(page + 1) * 4096].fill(0);
    });
    assert_eq!(damaged, [None, Some(1), None]);
    let length = table("the length of the first record in the last block grew", |log| {
        // A fragment begins at each block; its length follows its checksum.
        let block = (log.len() - 1) / 32_768 * 32_768;
        log[block + 5] = 0xff;
    });
    assert_eq!(length, [Some(RECORDS - 2), Some(RECORDS - 2), None]);
}

#[test]
fn a_changed_manifest_may_open_with_less_than_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("closed");
    {
        let db = DB::open(&options(DBRecoveryMode::AbsoluteConsistency), &base).unwrap();
        (0..RECORDS).for_each(|nth| db.put([nth as u8], [nth as u8; 100]).unwrap());
        db.flush().unwrap();
    }
    let manifest = file(&base, |name| name.starts_with("MANIFEST-"));
    let length = fs::metadata(&manifest).unwrap().len() as usize;
    let (mut refused, mut harmless, mut lost) = (0, 0, 0);
    let step = if std::env::var("ERAFT_LONG").is_ok_and(|long| long == "1") { 1 } else { 7 };
    for at in (0..length).step_by(step) {
        let copy = dir.path().join("changed");
        copy_dir(&base, &copy);
        change(&copy.join(manifest.file_name().unwrap()), |bytes| bytes[at] ^= 0xff);
        match found(&copy, DBRecoveryMode::AbsoluteConsistency) {
            None => refused += 1,
            Some(RECORDS) => harmless += 1,
            Some(_) => lost += 1,
        }
        fs::remove_dir_all(&copy).unwrap();
    }
    println!(
        "of {} changed bytes of a closed manifest: {refused} refused, {harmless} harmless, {lost} opened with records lost",
        refused + harmless + lost
    );
    assert!(refused > 0, "RocksDB verifies nothing any more");
}
