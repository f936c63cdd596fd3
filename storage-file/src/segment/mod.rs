//! The bytes of the log: segments, the frames in them, the records in those. docs/FORMAT.md draws every one.
//!
//! Whatever is decoded here comes from a disk: nothing may panic, read beyond what was checked, or allocate more than a
//! checked length. What is valid is told by checksums alone; what a sequence of valid frames *means* is told in
//! `engine::recovery`.

pub(crate) mod bytes;
pub(crate) mod file;
pub(crate) mod frame;
pub(crate) mod header;
pub(crate) mod record;

/// What disks write in one piece at most, and what marks and seals have for themselves.
pub(crate) const BLOCK_BYTES: u64 = 4096;

/// Where frames may begin: what disks write in one piece at least, so that no two frames share such a piece.
pub(crate) const FRAME_ALIGN_BYTES: u64 = 512;

/// Where the frames of a segment begin: after the block of its header.
pub(crate) const FIRST_FRAME: u64 = BLOCK_BYTES;

/// No log comes this far, in frames or in segments; what claims to is refused, so that counting on never overflows.
pub(crate) const MAX_COUNT: u64 = u64::MAX / 2;

/// `offset` rounded up to a multiple of `align`.
pub(crate) fn align_up(offset: u64, align: u64) -> u64 {
    offset.next_multiple_of(align)
}
