//! Torn or damaged: whatever happens to a byte, a sector or a file of the log, what was acknowledged is never cut, and
//! what comes back was saved.

use eraft_core::{Result, StorageErrorKind};
use eraft_storage_file::fs::sim::SimFs;

use crate::{model::Seen, support::*};

const SECTOR: usize = 512;

/// The path of a segment.
fn segment(number: u64) -> String {
    format!("{DIR}/state/{number:016x}.wal")
}

/// Six acknowledged saves in one segment; then the process is killed, or closes the store.
fn six_saves(closed: bool) -> (SimFs, Vec<Seen>) {
    let disk = created(5);
    let store = open(&disk);
    let mut prefixes = vec![Seen::of(&store).unwrap()];
    for index in 1..7 {
        append_each(&store, 1, index..index + 1, 60);
        prefixes.push(Seen::of(&store).unwrap());
    }
    if closed {
        close(&store);
    } else {
        disk.kill();
    }
    (disk, prefixes)
}

/// Everything that the store gives.
fn seen(disk: &SimFs) -> Result<Seen> {
    Seen::of(&try_open(disk)?)
}

/// Checks that damage is told, or did no harm; `kept` saves at least must be there.
fn told_or_harmless(disk: &SimFs, prefixes: &[Seen], kept: usize, context: &str) -> bool {
    match seen(disk) {
        Ok(seen) => {
            let found = prefixes.iter().rposition(|prefix| *prefix == seen);
            assert!(found.is_some_and(|found| found >= kept), "{context}: the state after {found:?} saves came back");
            false
        }
        Err(error) => {
            assert_eq!(error.kind(), StorageErrorKind::Corrupt, "{context}: {error}");
            assert!(error.to_string().contains(".wal"), "{context}: no file is named: {error}");
            true
        }
    }
}

/// Flips one bit in every byte that is not zero, and in some of the others.
fn flip_everywhere(disk: &SimFs, prefixes: &[Seen], kept: usize) -> usize {
    let bytes = disk.read_file(segment(1)).unwrap();
    let places = (0..bytes.len()).filter(|at| bytes[*at] != 0 || at % 61 == 0);
    let told = places.map(|at| {
        let damaged = disk.fork(at as u64);
        damaged.flip(segment(1), at as u64, 1 << (at % 8)).unwrap();
        told_or_harmless(&damaged, prefixes, kept, &format!("bit {} of byte {at}", at % 8))
    });
    told.filter(|told| *told).count()
}

#[test]
fn a_flipped_bit_in_a_closed_store_is_told_or_harmless() {
    let (disk, prefixes) = six_saves(true);
    let told = flip_everywhere(&disk, &prefixes, 6);
    assert!(told > 6 * 80, "only {told} flips were told");
}

#[test]
fn a_flipped_bit_after_a_kill_costs_the_last_save_at_most() {
    let (disk, prefixes) = six_saves(false);
    let told = flip_everywhere(&disk, &prefixes, 5);
    assert!(told > 5 * 80, "only {told} flips were told");
}

#[test]
fn a_lost_sector_is_told_unless_it_is_of_the_last_save() {
    for (closed, kept) in [(true, 6), (false, 5)] {
        let (disk, prefixes) = six_saves(closed);
        let bytes = disk.read_file(segment(1)).unwrap();
        for (at, fill) in (0..bytes.len()).step_by(SECTOR).flat_map(|at| [(at, 0), (at, 0xa5)]) {
            let damaged = disk.fork(at as u64);
            let mut bytes = bytes.clone();
            bytes[at..at + SECTOR].fill(fill);
            damaged.plant_file(segment(1), &bytes).unwrap();
            told_or_harmless(
                &damaged,
                &prefixes,
                kept,
                &format!("sector at {at} reads as {fill:02x}, closed: {closed}"),
            );
        }
    }
}

#[test]
fn a_bad_frame_that_a_later_frame_confirms_is_damage() {
    let (disk, _) = six_saves(false);
    // The frame of the third save, and the frames of the fourth to sixth behind it.
    disk.flip(segment(1), 4096 + 3 * 512 + 100, 1).unwrap();
    let error = seen(&disk).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Corrupt);
    assert!(error.to_string().contains("at offset 5632"), "{error}");
}

#[test]
fn a_bad_frame_that_a_closing_mark_confirms_is_damage() {
    let (disk, _) = six_saves(true);
    disk.flip(segment(1), 4096 + 6 * 512 + 100, 1).unwrap();
    assert_eq!(seen(&disk).unwrap_err().kind(), StorageErrorKind::Corrupt);
}

#[test]
fn a_bad_last_frame_that_nothing_confirms_is_dropped_and_zeroed() {
    let (disk, prefixes) = six_saves(false);
    disk.flip(segment(1), 4096 + 6 * 512 + 100, 1).unwrap();
    let store = open(&disk);
    assert_eq!(Seen::of(&store).unwrap(), prefixes[5]);
    let behind = &disk.read_file(segment(1)).unwrap()[4096 + 6 * 512..];
    assert!(behind.iter().all(|byte| *byte == 0), "the remains are gone before anything is written there");
    append_each(&store, 1, 6..8, 60);
    close(&store);
    assert_eq!(ids(&open(&disk)), run(1, 1..8));
}

#[test]
fn a_bad_frame_that_only_the_next_segment_confirms_is_damage() {
    let disk = created(5);
    let store = open(&disk);
    let last = (1..)
        .find(|index| {
            append_each(&store, 1, *index..*index + 1, 900);
            segments(&disk).len() == 2
        })
        .unwrap();
    drop(store);
    disk.kill();
    let first = disk.read_file(segment(1)).unwrap();
    let unsealed = [&first[..first.len() - 4096], &[0; 4096]].concat();
    let second = disk.read_file(segment(2)).unwrap();
    let only_opening = [&second[..4096 + 512], &vec![0; second.len() - 4096 - 512]].concat();
    disk.plant_file(segment(1), &unsealed).unwrap();
    disk.plant_file(segment(2), &only_opening).unwrap();
    assert_eq!(ids(&open(&disk.fork(1))), run(1, 1..last), "an interrupted rotation is completed");
    let end = unsealed.iter().rposition(|byte| *byte != 0).unwrap();
    disk.flip(segment(1), end as u64, 1).unwrap();
    let error = seen(&disk).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Corrupt);
    assert!(error.to_string().contains("0001.wal"), "{error}");
}

/// A store over several segments, closed.
fn many_segments() -> (SimFs, Seen) {
    let disk = created(5);
    let store = open(&disk);
    append_each(&store, 1, 1..25, 500);
    let seen = Seen::of(&store).unwrap();
    close(&store);
    assert!(segments(&disk).len() > 4);
    (disk, seen)
}

#[test]
fn a_missing_segment_is_damage_whichever_it_is() {
    let (disk, _) = many_segments();
    for name in segments(&disk) {
        let damaged = disk.fork(1);
        damaged.uproot(format!("{DIR}/state/{name}")).unwrap();
        let error = seen(&damaged).unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Corrupt, "{name} is missing: {error}");
    }
    for name in segments(&disk) {
        disk.uproot(format!("{DIR}/state/{name}")).unwrap();
    }
    assert_eq!(seen(&disk).unwrap_err().kind(), StorageErrorKind::Corrupt, "never a blank store where data was");
}

#[test]
fn a_segment_cut_short_is_damage_at_every_length() {
    let (disk, _) = many_segments();
    let newest = segments(&disk).len() as u64;
    for number in [1, newest] {
        let bytes = disk.read_file(segment(number)).unwrap();
        for length in (0..bytes.len()).step_by(97) {
            let damaged = disk.fork(1);
            damaged.plant_file(segment(number), &bytes[..length]).unwrap();
            let error = seen(&damaged).unwrap_err();
            assert_eq!(error.kind(), StorageErrorKind::Corrupt, "segment {number} cut to {length}: {error}");
        }
    }
}

#[test]
fn a_segment_in_another_ones_place_is_damage() {
    let (disk, _) = many_segments();
    let stale = {
        let disk = created(5);
        append_each(&open(&disk), 1, 1..3, 500);
        disk.read_file(segment(1)).unwrap()
    };
    let foreign = {
        let disk = created(6);
        append_each(&open(&disk), 1, 1..25, 500);
        disk.read_file(segment(2)).unwrap()
    };
    let second = disk.read_file(segment(2)).unwrap();
    for (what, number, bytes) in [("stale", 1, stale), ("swapped", 3, second), ("foreign", 2, foreign)] {
        let damaged = disk.fork(1);
        damaged.plant_file(segment(number), &bytes).unwrap();
        assert_eq!(seen(&damaged).unwrap_err().kind(), StorageErrorKind::Corrupt, "{what}");
    }
}

#[test]
fn a_lost_seal_is_damage_once_the_log_has_gone_on() {
    let (disk, _) = many_segments();
    let bytes = disk.read_file(segment(1)).unwrap();
    disk.plant_file(segment(1), &[&bytes[..bytes.len() - 4096], &[0; 4096]].concat()).unwrap();
    assert_eq!(seen(&disk).unwrap_err().kind(), StorageErrorKind::Corrupt);
}

#[test]
fn an_entry_that_rots_while_the_store_is_open_is_told_when_it_is_read() {
    let disk = created(5);
    let store = open(&disk);
    append_each(&store, 1, 1..3, 500);
    disk.flip(segment(1), 4096 + 512 + 300, 4).unwrap();
    let error = read_all(&store).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Corrupt);
    assert!(error.to_string().contains(".wal at offset"), "{error}");
}

#[test]
fn a_newer_version_is_refused_and_nothing_is_touched() {
    let (disk, _) = six_saves(false);
    let mut bytes = disk.read_file(segment(1)).unwrap();
    bytes[8] = 2;
    // The remains of a frame that an open of this version would zero.
    bytes[4096 + 7 * 512 + 3] = 1;
    let crc = {
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        digest.update(&[0; 16]);
        digest.update(&bytes[..4092]);
        (digest.finalize() as u32).to_le_bytes()
    };
    bytes[4092..4096].copy_from_slice(&crc);
    disk.plant_file(segment(1), &bytes).unwrap();
    assert_eq!(seen(&disk).unwrap_err().kind(), StorageErrorKind::Incompatible);
    assert_eq!(disk.read_file(segment(1)).unwrap(), bytes);
}
