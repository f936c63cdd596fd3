//! Frames: what is written and synced in one piece. One batch of saves is one frame.
//!
//! A frame verifies alone: its checksums are seeded with the segment's random incarnation and the frame's own offset, so
//! neither an older segment's frame under a recycled name, nor a frame from elsewhere in the file, nor a payload that
//! imitates one is ever taken for one. The header has a checksum of its own, so its length is believed only when it is
//! true, and looking for frames behind damage costs one step per place where one may begin.

use super::{
    FRAME_ALIGN_BYTES, MAX_COUNT, align_up,
    bytes::{Fields, Seed, checksum},
};

/// Length of a frame's header.
pub(crate) const FRAME_HEADER_BYTES: usize = 40;

/// The most a frame's body may hold. A save is refused long before.
pub(crate) const MAX_BODY_BYTES: u32 = 1 << 30;

const MAGIC: u32 = u32::from_le_bytes(*b"eRfr");

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// One batch of saves.
    Saves = 1,
    /// The first frame of a segment: the state of every group as of there.
    Opening = 2,
    /// Empty, in a block of its own: confirms the frame before it.
    Mark = 3,
    /// In a segment's last block: the segment is complete, and this is the next one.
    Seal = 4,
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) kind: FrameKind,
    /// Length of the body as stored.
    pub(crate) body_bytes: u32,
    /// Rises by one from frame to frame, over all segments.
    pub(crate) sequence: u64,
    /// The checksum in the header of the frame before: with the sequence, it makes the log a chain.
    pub(crate) previous_crc: u32,
    pub(crate) body_crc: u32,
}

/// What stands where a frame's header may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFound {
    /// A header, and its checksum.
    Valid(FrameHeader, u32),
    /// An honest header with a kind, a compression or a sequence that this build does not know.
    Unknown,
    /// No header.
    None,
}

impl FrameHeader {
    /// The header's bytes and their checksum, for a frame at `seed`'s place.
    pub(crate) fn encode(&self, seed: Seed) -> ([u8; FRAME_HEADER_BYTES], u32) {
        let mut bytes = Vec::with_capacity(FRAME_HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        // Kind, then compression (0: none), then two reserved bytes.
        bytes.extend_from_slice(&[self.kind as u8, 0, 0, 0]);
        bytes.extend_from_slice(&self.body_bytes.to_le_bytes());
        // The length of the body before compression.
        bytes.extend_from_slice(&self.body_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.previous_crc.to_le_bytes());
        bytes.extend_from_slice(&self.body_crc.to_le_bytes());
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        let crc = checksum(seed, &[&bytes]);
        bytes.extend_from_slice(&crc.to_le_bytes());
        let mut header = [0; FRAME_HEADER_BYTES];
        header.copy_from_slice(&bytes);
        (header, crc)
    }

    /// What `bytes` hold at `seed`'s place.
    pub(crate) fn decode(bytes: &[u8], seed: Seed) -> HeaderFound {
        FrameHeader::try_decode(bytes, seed).unwrap_or(HeaderFound::None)
    }

    fn try_decode(bytes: &[u8], seed: Seed) -> Option<HeaderFound> {
        let covered = bytes.get(..FRAME_HEADER_BYTES - 4)?;
        let mut fields = Fields(bytes);
        if fields.u32()? != MAGIC {
            return None;
        }
        let (kind, compression, reserved) = (fields.u8()?, fields.u8()?, fields.u16()?);
        let (body_bytes, plain_bytes) = (fields.u32()?, fields.u32()?);
        let (sequence, previous_crc, body_crc) = (fields.u64()?, fields.u32()?, fields.u32()?);
        let flags = fields.u32()?;
        let crc = fields.u32()?;
        if crc != checksum(seed, &[covered]) {
            return None;
        }
        let kind = match kind {
            1 => FrameKind::Saves,
            2 => FrameKind::Opening,
            3 => FrameKind::Mark,
            4 => FrameKind::Seal,
            _ => return Some(HeaderFound::Unknown),
        };
        let plain = compression == 0 && reserved == 0 && flags == 0 && plain_bytes == body_bytes;
        if !plain || body_bytes > MAX_BODY_BYTES || sequence > MAX_COUNT {
            return Some(HeaderFound::Unknown);
        }
        Some(HeaderFound::Valid(FrameHeader { kind, body_bytes, sequence, previous_crc, body_crc }, crc))
    }

    /// What the frame takes in its segment: header, body, and zeros up to where the next one may begin.
    pub(crate) fn padded_bytes(&self) -> u64 {
        padded_bytes(self.body_bytes as usize)
    }
}

/// What a frame with a body of `body_bytes` takes in its segment.
pub(crate) fn padded_bytes(body_bytes: usize) -> u64 {
    align_up((FRAME_HEADER_BYTES + body_bytes) as u64, FRAME_ALIGN_BYTES)
}

/// Completes the frame in `buffer` (room for the header, then the body): pads it, and fills in the header.
pub(crate) fn seal_frame(buffer: &mut Vec<u8>, kind: FrameKind, sequence: u64, previous_crc: u32, seed: Seed) -> u32 {
    let body = buffer.get(FRAME_HEADER_BYTES..).unwrap_or_default();
    // Bounded by the caller: a save is refused at a quarter of `MAX_BODY_BYTES`.
    let body_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let header = FrameHeader { kind, body_bytes, sequence, previous_crc, body_crc: checksum(seed, &[body]) };
    let (bytes, crc) = header.encode(seed);
    let padded = align_up(buffer.len() as u64, FRAME_ALIGN_BYTES);
    buffer.resize(usize::try_from(padded).unwrap_or(buffer.len()), 0);
    if let Some(place) = buffer.get_mut(..FRAME_HEADER_BYTES) {
        place.copy_from_slice(&bytes);
    }
    crc
}
