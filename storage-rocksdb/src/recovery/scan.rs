//! RocksDB's log format, read fragment by fragment: blocks of 32 KiB, each fragment with its length, its type and a masked
//! CRC-32C. Its log and its manifest share it.
//!
//! A scan finds where the good records end, and whether a good one stands behind that. It never trusts a length that it has
//! not verified: from a bad fragment on it looks at every byte of the block, and begins anew at the next block; what that takes
//! grows with the file alone, whatever stands in it. A good record
//! that stands within another's payload is taken for one that follows; that can refuse a store whose last record was torn,
//! and never loses anything.
//!
//! Of the manifest, the rest of a group of edits follows nothing: all of it was under one sync.

use crc_fast::{CrcAlgorithm, Digest};

use super::{
    edits::{self, Member},
    sums::Sums,
    tables::Tables,
};

pub(crate) const BLOCK_BYTES: usize = 32 << 10;

const HEADER_BYTES: usize = 7;
/// Where the type stands in it, with which what the checksum covers begins.
const TYPE_AT: usize = 6;
/// Sequence number and count, with which a record of the log begins.
const BATCH_HEADER_BYTES: usize = 12;
/// The longest edit of a manifest that is looked into: one that adds 100,000 tables at once.
const MAX_EDIT_BYTES: usize = 32 << 20;

/// What is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Batches, whose sequence numbers rise.
    Log,
    /// Edits of the manifest.
    Manifest,
}

/// What one file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Records that verify, up to the first that does not.
    pub(crate) records: u64,
    /// Where the last of them ends.
    pub(crate) end: u64,
    /// The first and the last sequence number in them.
    pub(crate) sequences: Option<(u64, u64)>,
    /// Where the first record begins that does not verify.
    pub(crate) bad: Option<u64>,
    /// Where a good record begins behind that.
    pub(crate) confirmed: Option<u64>,
    /// Where good edits do that are of a group which may have lost the bad one: the log that they make dispensable is all
    /// that is older than this.
    pub(crate) rest_of_group: Option<u64>,
    /// What the records up to the first bad one say of tables, if they are a manifest's.
    pub(crate) tables: Tables,
}

/// Takes a file in, block by block.
#[derive(Debug)]
pub(crate) struct Scanner {
    kind: Kind,
    offset: u64,
    found: Found,
    /// The record whose first fragment, but not its last, was read.
    open: Option<Open>,
    /// Behind a bad edit: the last one of the group that it may have been of.
    member: Option<Member>,
}

#[derive(Debug)]
struct Open {
    start: u64,
    /// As much of it as is looked at.
    head: Vec<u8>,
}

/// What may be a fragment.
struct Fragment<'a> {
    crc: u32,
    kind: u8,
    place: Place,
    payload: &'a [u8],
}

/// What a fragment is of its record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Full,
    First,
    Middle,
    Last,
    /// RocksDB's own word about the log.
    Aside,
}

impl Kind {
    /// How much of a record is looked at.
    fn head_bytes(self) -> usize {
        match self {
            Kind::Log => BATCH_HEADER_BYTES,
            Kind::Manifest => MAX_EDIT_BYTES,
        }
    }
}

impl Scanner {
    pub(crate) fn new(kind: Kind) -> Scanner {
        let found = Found {
            records: 0,
            end: 0,
            sequences: None,
            bad: None,
            confirmed: None,
            rest_of_group: None,
            tables: Tables::default(),
        };
        Scanner { kind, offset: 0, found, open: None, member: None }
    }

    /// The next block; only the last may be shorter.
    pub(crate) fn block(&mut self, block: &[u8]) {
        let (mut at, mut sums) = (0, None);
        while let Some(rest) = block.get(at..).filter(|rest| rest.len() >= HEADER_BYTES) {
            let offset = self.offset + at as u64;
            let good = |fragment: &Fragment<'_>| match self.found.bad {
                None => fragment.verifies(),
                Some(_) if !self.is_wanted(fragment) => false,
                Some(_) => {
                    let sums = sums.get_or_insert_with(|| Sums::of(block));
                    let end = at + HEADER_BYTES + fragment.payload.len();
                    sums.range(at + TYPE_AT, end).is_some_and(|sum| masked(sum) == fragment.crc)
                }
            };
            match fragment(rest).filter(good) {
                Some(fragment) => {
                    at += HEADER_BYTES + fragment.payload.len();
                    self.take(offset, self.offset + at as u64, &fragment);
                }
                None => {
                    self.bad(offset);
                    at += 1;
                }
            }
        }
        let cut_within_header = block.len() < BLOCK_BYTES && at < block.len();
        if cut_within_header {
            self.bad(self.offset + at as u64);
        }
        self.offset += block.len() as u64;
    }

    /// What was found, all in all.
    pub(crate) fn finish(mut self) -> Found {
        if self.open.is_some() {
            self.bad(self.offset);
        }
        self.found
    }

    fn take(&mut self, offset: u64, end: u64, fragment: &Fragment<'_>) {
        if self.found.bad.is_some() {
            self.look_behind(offset, fragment);
            return;
        }
        match (fragment.place, self.open.take()) {
            (Place::Aside, None) => self.found.end = end,
            (Place::Full, None) => self.complete(offset, end, fragment.payload),
            (Place::First, None) => {
                let mut open = Open { start: offset, head: Vec::new() };
                open.go_on(fragment.payload, self.kind.head_bytes());
                self.open = Some(open);
            }
            (Place::Middle, Some(mut open)) => {
                open.go_on(fragment.payload, self.kind.head_bytes());
                self.open = Some(open);
            }
            (Place::Last, Some(mut open)) => {
                open.go_on(fragment.payload, self.kind.head_bytes());
                self.complete(open.start, end, &open.head);
            }
            (_, open) => {
                self.open = open;
                self.bad(offset);
                self.look_behind(offset, fragment);
            }
        }
    }

    /// A record verifies. Does it follow the one before?
    fn complete(&mut self, start: u64, end: u64, payload: &[u8]) {
        match self.kind {
            Kind::Log => {
                let Some((first, last)) = sequences(payload).filter(|(first, _)| self.follows(*first)) else {
                    self.bad(start);
                    return;
                };
                self.found.sequences = Some((self.found.sequences.map_or(first, |(first, _)| first), last));
            }
            Kind::Manifest => self.found.tables.take(payload),
        }
        self.found.records += 1;
        self.found.end = end;
    }

    /// Whether it matters that a fragment behind a bad one verifies: only until a record is found that follows, and only of
    /// what can be one.
    fn is_wanted(&self, fragment: &Fragment<'_>) -> bool {
        self.found.confirmed.is_none() && self.begins_later(fragment)
    }

    fn look_behind(&mut self, offset: u64, fragment: &Fragment<'_>) {
        if self.begins_later(fragment) && !self.is_of_the_bad_one(fragment) {
            self.found.confirmed.get_or_insert(offset);
        }
    }

    /// Whether this may be an edit of the group that the bad one was of: then the same sync was to make both durable.
    fn is_of_the_bad_one(&mut self, fragment: &Fragment<'_>) -> bool {
        let whole = self.kind == Kind::Manifest && fragment.place == Place::Full;
        let Some(member) = edits::member(fragment.payload).filter(|_| whole) else { return false };
        let before = self.member.replace(member);
        self.found.rest_of_group = Some(member.log);
        before.is_none_or(|before| before.left.checked_sub(1) == Some(member.left) && before.log == member.log)
    }

    /// Whether a fragment behind a bad one begins a record of its own; the rest of the bad one does not.
    fn begins_later(&self, fragment: &Fragment<'_>) -> bool {
        let begins = matches!(fragment.place, Place::Full | Place::First);
        let later =
            self.kind == Kind::Manifest || sequences(fragment.payload).is_none_or(|(first, _)| self.follows(first));
        begins && later
    }

    fn follows(&self, sequence: u64) -> bool {
        self.found.sequences.is_none_or(|(_, last)| sequence > last)
    }

    fn bad(&mut self, offset: u64) {
        let start = self.open.take().map_or(offset, |open| open.start);
        self.found.bad.get_or_insert(start);
    }
}

impl Open {
    fn go_on(&mut self, payload: &[u8], head_bytes: usize) {
        let wanted = head_bytes - self.head.len();
        self.head.extend_from_slice(payload.get(..wanted).unwrap_or(payload));
    }
}

/// The first and the last sequence number of a batch.
fn sequences(payload: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = payload.split_first_chunk::<8>()?;
    let (count, _) = rest.split_first_chunk::<4>()?;
    let (first, count) = (u64::from_le_bytes(*first), u32::from_le_bytes(*count));
    Some((first, first.saturating_add(u64::from(count)).saturating_sub(1).max(first)))
}

/// What may be a fragment at the front of `bytes`.
fn fragment(bytes: &[u8]) -> Option<Fragment<'_>> {
    let (crc, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (kind, rest) = rest.split_first()?;
    let place = match kind {
        1 => Place::Full,
        2 => Place::First,
        3 => Place::Middle,
        4 => Place::Last,
        // Compression, time stamps, and the log before this one.
        9 | 10 | 130 => Place::Aside,
        // Recycled logs are never made here.
        _ => return None,
    };
    let payload = rest.get(..usize::from(u16::from_le_bytes(*length)))?;
    Some(Fragment { crc: u32::from_le_bytes(*crc), kind: *kind, place, payload })
}

impl Fragment<'_> {
    fn verifies(&self) -> bool {
        checksum(self.kind, self.payload) == self.crc
    }
}

/// A fragment's checksum, as it is stored.
pub(crate) fn checksum(kind: u8, payload: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&[kind]);
    digest.update(payload);
    let [a, b, c, d, ..] = digest.finalize().to_le_bytes();
    masked(u32::from_le_bytes([a, b, c, d]))
}

/// As RocksDB stores a checksum, so that one over bytes that contain one is no trivial number.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::append_record;

    /// A log of batches with these payload lengths, as RocksDB writes it; and where each record begins.
    fn log(lengths: &[usize]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for (nth, length) in lengths.iter().enumerate() {
            let mut payload = (nth as u64 + 1).to_le_bytes().to_vec();
            payload.extend(1_u32.to_le_bytes());
            payload.resize(12 + length, 7);
            append(&mut bytes, &mut starts, &payload);
        }
        (bytes, starts)
    }

    fn append(bytes: &mut Vec<u8>, starts: &mut Vec<usize>, payload: &[u8]) {
        let left = BLOCK_BYTES - bytes.len() % BLOCK_BYTES;
        starts.push(bytes.len() + if left < HEADER_BYTES { left } else { 0 });
        append_record(bytes, payload);
    }

    fn scan(bytes: &[u8]) -> Found {
        let mut scanner = Scanner::new(Kind::Log);
        bytes.chunks(BLOCK_BYTES).for_each(|block| scanner.block(block));
        scanner.finish()
    }

    const LENGTHS: [usize; 6] = [100, 0, 40_000, 7, 90_000, 3000];

    #[test]
    fn a_whole_log_is_whole() {
        let (bytes, _) = log(&LENGTHS);
        let whole = Found { records: 6, end: bytes.len() as u64, sequences: Some((1, 6)), ..scan(&[]) };
        assert_eq!(scan(&bytes), whole);
        assert_eq!(scan(&[]), Scanner::new(Kind::Log).finish());
    }

    #[test]
    fn a_log_cut_anywhere_is_torn_at_the_record_that_was_cut() {
        let (bytes, starts) = log(&LENGTHS);
        for cut in (0..bytes.len()).step_by(997).chain(starts.iter().copied()) {
            let found = scan(&bytes[..cut]);
            let begun = starts.iter().filter(|start| **start < cut).count() as u64;
            let torn = found.bad.is_some() && found.records + 1 == begun;
            assert!(torn || found.records == begun, "cut at {cut}: {begun} begun, {found:?}");
            assert_eq!(found.confirmed, None, "cut at {cut}");
        }
    }

    #[test]
    fn a_changed_byte_is_torn_in_the_last_record_and_damage_in_any_other() {
        let (bytes, starts) = log(&LENGTHS);
        let last = *starts.last().unwrap();
        for at in (0..bytes.len()).step_by(1009).chain(last..last + 12).chain(0..20) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            let found = scan(&damaged);
            let within_trailer = found.bad.is_none();
            assert!(within_trailer || found.bad.unwrap() <= at as u64, "byte {at}: {found:?}");
            assert_eq!(found.confirmed.is_some(), at < last && !within_trailer, "byte {at}: {found:?}");
            assert!(found.end <= found.bad.unwrap_or(u64::MAX), "byte {at}");
        }
    }

    #[test]
    fn a_page_lost_from_the_middle_of_the_last_record_is_torn() {
        let (bytes, starts) = log(&[100, 50_000]);
        for page in (starts[1] / 4096 + 1)..(bytes.len() / 4096) {
            let mut torn = bytes.clone();
            torn[page * 4096..(page + 1) * 4096].fill(0);
            let found = scan(&torn);
            assert_eq!((found.bad, found.confirmed), (Some(starts[1] as u64), None), "page {page}");
            assert_eq!(found.end, starts[1] as u64);
        }
    }

    /// Edits, each of which lets go of what is older than a log, and has so many of its group to come.
    fn manifest(edits: &[(u8, Option<u8>)]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for (log, left) in edits {
            let mut edit = vec![2, *log, 9, 0, 103];
            edit.resize(100, 7);
            edit.extend([0xc8, 1, 2]);
            edit.extend(left.iter().flat_map(|left| [0xac, 2, *left]));
            append(&mut bytes, &mut starts, &edit);
        }
        (bytes, starts)
    }

    /// What is said of an edit that has lost a byte: whether anything confirms it, and of which group it may be.
    fn behind(edits: &[(u8, Option<u8>)], bad: usize) -> (bool, Option<u64>) {
        let (mut bytes, starts) = manifest(edits);
        bytes[starts[bad] + 20] ^= 1;
        let mut scanner = Scanner::new(Kind::Manifest);
        bytes.chunks(BLOCK_BYTES).for_each(|block| scanner.block(block));
        let found = scanner.finish();
        assert_eq!((found.bad, found.records), (Some(starts[bad] as u64), bad as u64));
        (found.confirmed.is_some(), found.rest_of_group)
    }

    #[test]
    fn the_rest_of_a_group_confirms_no_edit_of_it_and_whatever_else_follows_does() {
        let (alone, group) = ((5, None), [(9, Some(2)), (9, Some(1)), (9, Some(0))]);
        let flushed = [&[alone][..], &group].concat();
        let rest = [Some(9), Some(9), Some(9), None];
        for (bad, log) in rest.into_iter().enumerate() {
            assert_eq!(behind(&flushed, bad), (false, log), "{bad}");
        }
        for more in [&[alone][..], &group] {
            let and_more = [&flushed[..], more].concat();
            assert!((0..3).all(|bad| behind(&and_more, bad).0), "{more:?} follows the group");
        }
        assert!(behind(&[alone, (9, Some(3)), (9, Some(2)), (9, Some(0))], 1).0, "the next does not go on");
        assert!(behind(&[alone, (9, Some(2)), (9, Some(1)), (8, Some(0))], 1).0, "the next is of another group");
    }

    /// At every second byte a record of half a block may begin: a checksum each would take 128 times as many bytes in a block
    /// as it has.
    #[test]
    fn a_torn_record_that_is_full_of_imitations_is_torn() {
        let (mut bytes, starts) = log(&[100, 256 << 10]);
        for (at, byte) in bytes.iter_mut().enumerate().skip(starts[1] + 100) {
            *byte = if at % 2 == 0 { 0x3f } else { 0x02 };
        }
        let found = scan(&bytes);
        assert_eq!((found.bad, found.confirmed), (Some(starts[1] as u64), None));
    }

    #[test]
    fn zeros_behind_the_last_record_are_torn_and_a_record_that_goes_back_is_bad() {
        let (mut bytes, starts) = log(&LENGTHS);
        let whole = bytes.len();
        bytes.resize(whole + 100_000, 0);
        assert_eq!((scan(&bytes).end, scan(&bytes).confirmed), (whole as u64, None));
        bytes.truncate(whole);
        let again = bytes[starts[3]..starts[4]].to_vec();
        bytes.extend(again);
        let found = scan(&bytes);
        assert_eq!((found.bad, found.confirmed, found.records), (Some(whole as u64), None, 6));
    }
}
