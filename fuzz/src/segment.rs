//! The log as recovery reads it: headers, frames and what they mean, in up to three segments.

use std::{path::Path, sync::Arc};

use eraft_core::{ClusterId, GroupId, Identity, NodeId, RaftState, StorageErrorKind, StoreId};
use eraft_storage_file::{
    fs::Fs,
    fuzzing::{Log, checksum, frame, segment_header, segment_path},
};

use super::{directory::Directory, input::Input, memory};

pub(crate) const DIR: &str = "/node";
pub(crate) const IDENTITY: Identity = Identity { cluster: ClusterId(7), node: NodeId(1), store: StoreId(11) };

/// The shortest segment, and how its parts lie; see docs/FORMAT.md.
const SEGMENT_BYTES: usize = 16 * 1024;
const BLOCK_BYTES: usize = 4096;
const SEAL_OFFSET: usize = SEGMENT_BYTES - BLOCK_BYTES;
const FRAME_ALIGN_BYTES: usize = 512;
const FRAME_HEADER_BYTES: usize = 40;
const MOST_SEGMENTS: u64 = 3;

/// What one step of a description says, by bit: the kind of a frame in the two lowest, and what is wrong with it.
pub(crate) const SAVES: u8 = 0;
pub(crate) const OPENING: u8 = 1;
pub(crate) const MARK: u8 = 2;
pub(crate) const SEAL: u8 = 3;
const WRONG_SEQUENCE: u8 = 1 << 3;
const WRONG_CHAIN: u8 = 1 << 4;
const SKIPPED_PLACE: u8 = 1 << 5;
const FLIPPED_BYTE: u8 = 1 << 6;

/// The first byte chooses: bytes that follow a segment's header as they are, the same with checksums that are true, or a
/// description of frames.
pub fn segment(input: &[u8]) -> bool {
    let mut input = Input(input);
    let mut directory = Directory::default();
    match input.byte() % 3 {
        0 => directory.put(segment_path(Path::new(DIR), 1), raw(input, false)),
        1 => directory.put(segment_path(Path::new(DIR), 1), raw(input, true)),
        _ => described(&mut directory, input),
    }
    recover(directory)
}

/// A header with the input's first bytes over it, then the rest.
fn raw(mut input: Input<'_>, mend: bool) -> Vec<u8> {
    let mut image = segment_header(IDENTITY, 1, incarnation(1), SEGMENT_BYTES as u64);
    image.resize(SEGMENT_BYTES, 0);
    for (place, byte) in image.iter_mut().zip(input.string()) {
        *place ^= byte;
    }
    for (place, byte) in image[BLOCK_BYTES..].iter_mut().zip(input.0) {
        *place = *byte;
    }
    if mend {
        let crc = checksum((0, 0), &image[..BLOCK_BYTES - 4]);
        image[BLOCK_BYTES - 4..BLOCK_BYTES].copy_from_slice(&crc.to_le_bytes());
        let incarnation = u64::from_le_bytes(image[40..48].try_into().unwrap());
        (BLOCK_BYTES..SEGMENT_BYTES).step_by(FRAME_ALIGN_BYTES).for_each(|at| mend_frame(&mut image, incarnation, at));
    }
    image
}

/// Gives what stands at `at` the checksums of a frame.
fn mend_frame(image: &mut [u8], incarnation: u64, at: usize) {
    let seed = (incarnation, at as u64);
    let length = u32::from_le_bytes(image[at + 8..at + 12].try_into().unwrap()) as usize;
    let body = at + FRAME_HEADER_BYTES;
    if let Some(body) = image.get(body..body.saturating_add(length)) {
        let crc = checksum(seed, body);
        image[at + 28..at + 32].copy_from_slice(&crc.to_le_bytes());
    }
    let crc = checksum(seed, &image[at..at + FRAME_HEADER_BYTES - 4]);
    image[at + FRAME_HEADER_BYTES - 4..at + FRAME_HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
}

fn incarnation(number: u64) -> u64 {
    0x1234_5678 + number
}

/// One segment that is being described.
struct Image {
    number: u64,
    bytes: Vec<u8>,
    /// Where the next frame goes.
    at: usize,
}

impl Image {
    fn new(number: u64) -> Image {
        let mut bytes = segment_header(IDENTITY, number, incarnation(number), SEGMENT_BYTES as u64);
        bytes.resize(SEGMENT_BYTES, 0);
        Image { number, bytes, at: BLOCK_BYTES }
    }
}

/// Segments of frames, each of which is in order unless its description says otherwise.
fn described(directory: &mut Directory, mut input: Input<'_>) {
    let mut image = Image::new(1);
    let (mut sequence, mut previous_crc) = (1_u64, 0_u32);
    while !input.is_empty() && image.number <= MOST_SEGMENTS {
        let step = input.byte();
        let sealed = step % 4 == SEAL;
        if step & SKIPPED_PLACE != 0 {
            image.at += FRAME_ALIGN_BYTES;
        }
        if step % 4 == MARK {
            image.at = image.at.next_multiple_of(BLOCK_BYTES);
        }
        let at = if sealed { SEAL_OFFSET } else { image.at };
        let claimed = if step & WRONG_SEQUENCE != 0 { u64::from(input.u16()) << 48 } else { sequence };
        let chained = if step & WRONG_CHAIN != 0 { u32::from(input.u16()) } else { previous_crc };
        let body = match step % 4 {
            SEAL => [image.number + 1, incarnation(image.number + 1)].map(u64::to_le_bytes).concat(),
            MARK => Vec::new(),
            _ => input.string().to_vec(),
        };
        let kind = [1, 2, 3, 4][usize::from(step % 4)];
        let (mut bytes, crc) = frame(kind, claimed, chained, (incarnation(image.number), at as u64), &body);
        if step & FLIPPED_BYTE != 0 {
            let place = usize::from(input.u16()) % bytes.len();
            bytes[place] ^= 1;
        }
        let Some(place) = image.bytes.get_mut(at..at + bytes.len()) else { break };
        place.copy_from_slice(&bytes);
        sequence += 1;
        if sealed {
            // The next opening follows the last frame before the seal.
            let next = Image::new(image.number + 1);
            let done = std::mem::replace(&mut image, next);
            directory.put(segment_path(Path::new(DIR), done.number), done.bytes);
        } else {
            previous_crc = crc;
            image.at += bytes.len();
            if step % 4 == MARK {
                image.at = image.at.next_multiple_of(BLOCK_BYTES);
            }
        }
    }
    if image.at > BLOCK_BYTES {
        directory.put(segment_path(Path::new(DIR), image.number), image.bytes);
    }
}

/// Whatever the log is, it is refused for its damage, or read; what was read is valid, and the same without its torn tail.
fn recover(mut directory: Directory) -> bool {
    let fs = directory.shared();
    let found = memory::within(8 << 20, || Log::recover(&fs, Path::new(DIR)));
    let log = match found {
        Ok(log) => log,
        Err(error) => {
            let expected = [StorageErrorKind::Corrupt, StorageErrorKind::Incompatible];
            assert!(expected.contains(&error.kind()), "{error}");
            return false;
        }
    };
    for (id, state) in &log.groups {
        assert!(state.outline.is_valid(), "{state:?}");
        check_entries(&log, *id, state);
    }
    if let Some((path, range)) = &log.torn {
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        directory.get_mut(path)[range].fill(0);
        let fs: Arc<dyn Fs> = directory.shared();
        let mended = Log::recover(&fs, Path::new(DIR)).unwrap();
        assert!(mended.torn.is_none());
        assert_eq!(mended.groups, log.groups);
    }
    true
}

/// Every entry that the outline knows is there, or damaged on its own.
fn check_entries(log: &Log, id: GroupId, state: &RaftState) {
    match log.entries(id) {
        Ok(entries) => {
            let outline = &state.outline;
            assert_eq!(entries.len() as u64, outline.last_index().0 - outline.base().index.0);
            assert!(entries.iter().all(|entry| outline.contains(entry.id())));
        }
        Err(error) => assert_eq!(error.kind(), StorageErrorKind::Corrupt, "{error}"),
    }
}
