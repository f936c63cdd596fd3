//! Walking the frames of one segment: which of its bytes are frames, and where they end.
//!
//! Nothing here decides between torn and damaged; `engine::recovery` does, which sees all segments.

use bytes::Bytes;
use eraft_core::{Result, StorageError};

use crate::{
    error,
    segment::{
        BLOCK_BYTES, FIRST_FRAME, FRAME_ALIGN_BYTES, align_up,
        file::{FrameRef, Segment},
        frame::{FRAME_HEADER_BYTES, FrameHeader, FrameKind, HeaderFound},
    },
};

/// How much is read at once when a whole segment is read.
const WINDOW_BYTES: u64 = 1 << 20;

/// What stands at a place where a frame may begin.
#[derive(Debug)]
pub(crate) enum Found {
    /// A whole frame, and its body.
    Frame(FrameRef, FrameHeader, Bytes),
    /// No frame, and why not.
    Bad(String),
}

/// A segment that is read from front to back, a window at a time.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    pub(crate) segment: &'a Segment,
    window: Vec<u8>,
    window_offset: u64,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(segment: &'a Segment) -> Scan<'a> {
        Scan { segment, window: Vec::new(), window_offset: 0 }
    }

    /// The frame at `offset`, the end of its segment's frames at `end`.
    ///
    /// # Errors
    /// `Incompatible` for an honest header of a kind that this build does not know, or what reading meets.
    pub(crate) fn frame(&mut self, offset: u64, end: u64) -> Result<Found> {
        let (header, crc) = match self.header(offset, end)? {
            HeaderFound::Valid(header, crc) => (header, crc),
            HeaderFound::None => return Ok(Found::Bad("there is no valid frame header".to_owned())),
            HeaderFound::Unknown => return Err(self.unknown(offset)),
        };
        if offset + header.padded_bytes() > end {
            return Ok(Found::Bad(format!("a frame of {} bytes does not fit here", header.padded_bytes())));
        }
        let body_bytes = header.body_bytes as usize;
        let body = Bytes::copy_from_slice(self.bytes(offset + FRAME_HEADER_BYTES as u64, body_bytes)?);
        let expected = crate::segment::bytes::checksum(self.segment.seed(offset), &[&body]);
        if expected != header.body_crc {
            return Ok(Found::Bad(format!(
                "the checksum of the frame's body is {expected:08x}, expected {:08x}",
                header.body_crc
            )));
        }
        let padded_bytes = header.padded_bytes();
        let frame = FrameRef { kind: header.kind, offset, padded_bytes, sequence: header.sequence, crc };
        Ok(Found::Frame(frame, header, body))
    }

    /// The frame that follows `last`: at its end, or, if it is a mark, at the next block.
    pub(crate) fn next_frame(&mut self, last: &FrameRef) -> Result<Found> {
        let end = self.segment.seal_offset();
        let found = self.frame(last.end(), end)?;
        let mark_at = align_up(last.end(), BLOCK_BYTES);
        if matches!(found, Found::Frame(..)) || mark_at == last.end() {
            return Ok(found);
        }
        match self.frame(mark_at, end)? {
            Found::Frame(frame, header, body)
                if frame.kind == FrameKind::Mark && follows(&header, last.sequence + 1, last.crc) =>
            {
                Ok(Found::Frame(frame, header, body))
            }
            _ => Ok(found),
        }
    }

    /// The frame in the segment's last block, if it is a seal.
    pub(crate) fn seal(&mut self) -> Result<Option<(FrameHeader, Bytes)>> {
        match self.frame(self.segment.seal_offset(), self.segment.len_bytes)? {
            Found::Frame(frame, header, body) if frame.kind == FrameKind::Seal => Ok(Some((header, body))),
            _ => Ok(None),
        }
    }

    /// The first place after `offset` where a frame's header is valid. One step for each place, whatever stands there.
    ///
    /// # Errors
    /// `Incompatible` for an honest header of a kind that this build does not know: it confirms what stands before it as
    /// any other does.
    pub(crate) fn header_after(&mut self, offset: u64) -> Result<Option<(u64, FrameHeader)>> {
        let end = self.segment.len_bytes;
        let mut at = align_up(offset + 1, FRAME_ALIGN_BYTES).max(FIRST_FRAME);
        while at < end {
            match self.header(at, end)? {
                HeaderFound::Valid(header, _) => return Ok(Some((at, header))),
                HeaderFound::Unknown => return Err(self.unknown(at)),
                HeaderFound::None => {}
            }
            at += FRAME_ALIGN_BYTES;
        }
        Ok(None)
    }

    /// Where the last byte from `offset` on stands that is not zero.
    pub(crate) fn last_nonzero(&mut self, offset: u64) -> Result<Option<u64>> {
        let (mut at, mut last) = (offset, None);
        while at < self.segment.len_bytes {
            let count = FRAME_ALIGN_BYTES.min(self.segment.len_bytes - at);
            let bytes = self.bytes(at, usize::try_from(count).unwrap_or(0))?;
            if let Some(place) = bytes.iter().rposition(|byte| *byte != 0) {
                last = Some(at + place as u64);
            }
            at += count;
        }
        Ok(last)
    }

    fn unknown(&self, offset: u64) -> StorageError {
        let detail = "a frame of a kind, compression or sequence that this build does not know";
        error::incompatible(&self.segment.path, offset, detail)
    }

    fn header(&mut self, offset: u64, end: u64) -> Result<HeaderFound> {
        if offset + FRAME_HEADER_BYTES as u64 > end {
            return Ok(HeaderFound::None);
        }
        let seed = self.segment.seed(offset);
        Ok(FrameHeader::decode(self.bytes(offset, FRAME_HEADER_BYTES)?, seed))
    }

    /// `count` bytes at `offset`, which the caller knows to lie within the segment.
    fn bytes(&mut self, offset: u64, count: usize) -> Result<&[u8]> {
        let within = |scan: &Scan<'_>| {
            let start = usize::try_from(offset.checked_sub(scan.window_offset)?).ok()?;
            let range = start..start.checked_add(count)?;
            (range.end <= scan.window.len()).then_some(range)
        };
        if within(self).is_none() {
            let left = self.segment.len_bytes.saturating_sub(offset);
            let length = WINDOW_BYTES.min(left).max(count as u64);
            self.window = self.segment.read(offset, usize::try_from(length).unwrap_or(count))?;
            self.window_offset = offset;
        }
        Ok(within(self).and_then(|range| self.window.get(range)).unwrap_or_default())
    }
}

/// Whether a frame stands in the chain after the one with `previous_crc`.
pub(crate) fn follows(header: &FrameHeader, sequence: u64, previous_crc: u32) -> bool {
    header.sequence == sequence && header.previous_crc == previous_crc
}
