//! Bytes that look like frames and are none: those of another file, and those in a payload. And the bytes of the format
//! as they are promised.

use eraft_core::{
    Entry, EntryId, GroupId, HardState, LogChange, LogIndex, LogOutline, RaftStateUpdate, StorageErrorKind, Term,
};
use eraft_storage_file::{FileEngine, FileOptions, fs::sim::SimFs};

use crate::support::*;

const FIRST: &str = "/node/state/0000000000000001.wal";

/// A store with this many one-entry frames of 512 bytes behind the opening, killed.
fn with_frames(seed: u64, count: u64) -> SimFs {
    let disk = created(seed);
    append_each(&open(&disk), 1, 1..count + 1, 60);
    disk.kill();
    disk
}

/// The frame number `nth` of the first segment; 0 is the opening.
fn frame(disk: &SimFs, nth: usize) -> Vec<u8> {
    disk.read_file(FIRST).unwrap()[4096 + nth * 512..][..512].to_vec()
}

fn unmarked(disk: SimFs) -> SimFs {
    // `append_each` dropped its store, which closed it and wrote a mark: take that away.
    let mut bytes = disk.read_file(FIRST).unwrap();
    bytes[8192..].fill(0);
    disk.plant_file(FIRST, &bytes).unwrap();
    disk
}

#[test]
fn frames_of_another_incarnation_are_the_remains_of_another_file() {
    let (ours, others) = (unmarked(with_frames(5, 3)), unmarked(with_frames(6, 6)));
    let mut bytes = ours.read_file(FIRST).unwrap();
    for nth in 4..7 {
        bytes[4096 + nth * 512..][..512].copy_from_slice(&frame(&others, nth));
    }
    ours.plant_file(FIRST, &bytes).unwrap();
    assert_eq!(ids(&open(&ours)), run(1, 1..4));
}

#[test]
fn a_payload_that_holds_a_whole_frame_confirms_nothing() {
    // One segment with room for all of it, so that nothing but its place tells the copy from the frame.
    let wide = FileOptions { segment_bytes: 1 << 20, ..options(5) };
    let disk = SimFs::new(5);
    FileEngine::create_with(seam(&disk), DIR, CLUSTER, NODE, wide).unwrap();
    append_each(&open(&disk), 1, 1..3, 60);
    let copied = frame(&disk, 2);
    let disk = unmarked(disk);
    let store = open(&disk);
    // Wherever the payload begins, one of these copies begins at a multiple of 512.
    let payload: Vec<u8> = (0..512).flat_map(|shift| [vec![0; shift], copied.clone()].concat()).collect();
    let entry = Entry::command(Term(1), LogIndex(3), payload);
    let update = RaftStateUpdate { hard_state: None, log: LogChange::Append(vec![entry]) };
    save(&store, update).unwrap();
    std::mem::forget(store);
    disk.kill();
    let bytes = disk.read_file(FIRST).unwrap();
    let third = 4096 + 3 * 512;
    let mut behind = (third + 512..bytes.len() - 4096).step_by(512);
    assert!(behind.any(|at| bytes[at..].starts_with(&copied[..40])), "no copy is where a frame may be");
    disk.flip(FIRST, third as u64 + 20, 1).unwrap();
    assert_eq!(ids(&open(&disk)), run(1, 1..3), "the last frame is torn, and nothing in it says otherwise");
}

#[test]
fn a_removal_that_a_later_version_writes_is_understood() {
    let disk = with_groups();
    let bytes = disk.read_file(FIRST).unwrap();
    let (at, crc) = last_frame(&bytes);
    // A record of kind 3 for group 9, in a frame behind the last one.
    let record = [&[3, 0, 0, 0, 0, 0, 0, 0][..], &9_u64.to_le_bytes(), &[0; 16]].concat();
    disk.plant_file(FIRST, &with_frame(&bytes, at + 512, 1, (sequence(&bytes, at) + 1, crc), &record)).unwrap();
    assert_eq!(try_engine(&disk).unwrap().groups(), [GroupId(0), GroupId(1)]);
}

#[test]
fn a_record_of_an_unknown_kind_is_refused_untouched() {
    let disk = with_groups();
    let bytes = disk.read_file(FIRST).unwrap();
    let (at, crc) = last_frame(&bytes);
    let record = [&[77, 0, 0, 0][..], &[0; 28]].concat();
    let bytes = with_frame(&bytes, at + 512, 1, (sequence(&bytes, at) + 1, crc), &record);
    disk.plant_file(FIRST, &bytes).unwrap();
    assert_eq!(try_engine(&disk).unwrap_err().kind(), StorageErrorKind::Incompatible);
    assert_eq!(disk.read_file(FIRST).unwrap(), bytes);
}

#[test]
fn no_body_of_a_frame_that_verifies_makes_recovery_panic_or_invent_entries() {
    let disk = with_groups();
    let bytes = disk.read_file(FIRST).unwrap();
    let (at, crc) = last_frame(&bytes);
    let length = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
    let body = bytes[at + 40..at + 40 + length].to_vec();
    let mut random = fastrand::Rng::with_seed(11);
    let (mut opened, mut refused) = (0, 0);
    for round in 0..3000 {
        let mut body = body.clone();
        for _ in 0..random.usize(1..4) {
            let place = random.usize(..body.len());
            body[place] = [0, 1, 0x7f, 0x80, 0xff, random.u8(..)][random.usize(..6)];
        }
        body.truncate(random.usize(..2 * body.len()).max(1));
        let disk = disk.fork(round);
        disk.plant_file(FIRST, &with_frame(&bytes, at + 512, 1, (sequence(&bytes, at) + 1, crc), &body)).unwrap();
        match try_engine(&disk) {
            Ok(engine) => {
                opened += 1;
                for group in engine.groups() {
                    // What the mutation made of an entry may be refused when it is read, and is bounded by the body.
                    let store = engine.group(group).unwrap();
                    assert!(read_all(&store).map_or(0, |entries| entries.len()) <= 3, "round {round}");
                }
            }
            Err(error) => {
                refused += 1;
                let kind = error.kind();
                let told = matches!(kind, StorageErrorKind::Corrupt | StorageErrorKind::Incompatible);
                assert!(told, "round {round}: {error}");
            }
        }
    }
    assert!(opened > 50 && refused > 500, "opened {opened}, refused {refused}");
}

#[test]
fn a_frame_of_an_unknown_kind_confirms_what_stands_before_it() {
    let disk = unmarked(with_frames(5, 3));
    let bytes = disk.read_file(FIRST).unwrap();
    let (at, crc) = last_frame(&bytes);
    let bytes = with_frame(&bytes, at + 512, 9, (sequence(&bytes, at) + 1, crc), b"");
    disk.plant_file(FIRST, &bytes).unwrap();
    disk.flip(FIRST, at as u64 + 100, 1).unwrap();
    let bytes = disk.read_file(FIRST).unwrap();
    assert_eq!(try_open(&disk).unwrap_err().kind(), StorageErrorKind::Incompatible);
    assert_eq!(disk.read_file(FIRST).unwrap(), bytes, "the third save was acknowledged, and is not cut");
}

#[test]
fn an_opening_whose_state_cannot_be_is_refused() {
    let disk = created(5);
    let bytes = disk.read_file(FIRST).unwrap();
    // A log that was compacted to entry 5, and no snapshot that holds what was dropped.
    let outline = LogOutline::new(EntryId::new(1, 5));
    let meta = eraft_core::codec::encode(&(HardState::default(), outline, None::<u8>));
    let length = (meta.len() as u32).to_le_bytes();
    let record = [&[2, 0, 0, 0][..], &length, &[0; 24], &meta].concat();
    disk.plant_file(FIRST, &with_frame(&bytes, 4096, 2, (1, 0), &record)).unwrap();
    assert_eq!(try_open(&disk).unwrap_err().kind(), StorageErrorKind::Corrupt);
}

#[test]
fn numbers_that_leave_no_next_one_are_refused() {
    let disk = created(5);
    let bytes = disk.read_file(FIRST).unwrap();
    disk.plant_file(FIRST, &with_frame(&bytes, 4096, 2, (u64::MAX, 0), b"")).unwrap();
    assert_eq!(try_open(&disk).unwrap_err().kind(), StorageErrorKind::Incompatible);
    let mut bytes = bytes;
    bytes[48..56].fill(0xff);
    let crc = crc32c((0, 0), &bytes[..4092]).to_le_bytes();
    bytes[4092..4096].copy_from_slice(&crc);
    disk.uproot(FIRST).unwrap();
    disk.plant_file("/node/state/ffffffffffffffff.wal", &bytes).unwrap();
    assert_eq!(try_open(&disk).unwrap_err().kind(), StorageErrorKind::Corrupt);
}

fn with_groups() -> SimFs {
    let disk = created(5);
    let engine = try_engine(&disk).unwrap();
    for group in GROUPS {
        append_each(&engine.group(group).unwrap(), 1, 1..2, 60);
    }
    std::mem::forget(engine);
    disk.kill();
    disk
}

fn crc32c(seed: (u64, u64), bytes: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&seed.0.to_le_bytes());
    digest.update(&seed.1.to_le_bytes());
    digest.update(bytes);
    digest.finalize() as u32
}

fn sequence(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at + 16..at + 24].try_into().unwrap())
}

/// Where the last frame of a segment begins, and the checksum of its header: read as docs/FORMAT.md says.
fn last_frame(bytes: &[u8]) -> (usize, u32) {
    let at = (4096..bytes.len() - 4096).step_by(512).rfind(|at| bytes[*at..].starts_with(b"eRfr")).unwrap();
    let stored = u32::from_le_bytes(bytes[at + 36..at + 40].try_into().unwrap());
    let incarnation = u64::from_le_bytes(bytes[40..48].try_into().unwrap());
    assert_eq!(stored, crc32c((incarnation, at as u64), &bytes[at..at + 36]), "as docs/FORMAT.md says");
    (at, stored)
}

/// The segment with one frame more, or another one, written as docs/FORMAT.md says.
fn with_frame(bytes: &[u8], at: usize, kind: u8, (sequence, previous_crc): (u64, u32), body: &[u8]) -> Vec<u8> {
    let seed = (u64::from_le_bytes(bytes[40..48].try_into().unwrap()), at as u64);
    let length = (body.len() as u32).to_le_bytes();
    let body_crc = crc32c(seed, body).to_le_bytes();
    let mut frame = [&b"eRfr"[..], &[kind, 0, 0, 0], &length, &length, &sequence.to_le_bytes()].concat();
    frame.extend([&previous_crc.to_le_bytes()[..], &body_crc, &[0; 4]].concat());
    frame.extend(crc32c(seed, &frame).to_le_bytes());
    frame.extend(body);
    let mut bytes = bytes.to_vec();
    bytes[at..at + frame.len()].copy_from_slice(&frame);
    bytes
}
