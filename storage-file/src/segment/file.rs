//! One segment as a file: made whole and durable before anything names it, then only overwritten in place.

use std::{io, path::PathBuf, sync::Arc};

use eraft_core::{Identity, Result};

use super::{
    BLOCK_BYTES, FIRST_FRAME, align_up,
    bytes::Seed,
    frame::{FRAME_HEADER_BYTES, FrameKind, seal_frame},
    header::{FileType, Header},
};
use crate::{
    error,
    fs::{Access, Fs, FsFile, read_exact_at, write_all_at},
    paths::{Paths, parent},
};

const FILLING: &str = "filling a new file of the log";

/// How many zeros are written at once when a segment is filled.
const FILL_BYTES: usize = 1 << 20;

/// An open segment.
///
/// Invariants: the file is `len_bytes` long, all of it written before; its first block says what stands here.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) incarnation: u64,
    pub(crate) len_bytes: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Box<dyn FsFile>,
}

/// A frame that is in place: where it stands, and what the next one refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameRef {
    pub(crate) kind: FrameKind,
    pub(crate) offset: u64,
    pub(crate) padded_bytes: u64,
    pub(crate) sequence: u64,
    pub(crate) crc: u32,
}

impl FrameRef {
    /// Where the next frame may begin: a mark keeps its block for itself.
    pub(crate) fn end(&self) -> u64 {
        let end = self.offset + self.padded_bytes;
        if self.kind == FrameKind::Mark { align_up(end, BLOCK_BYTES) } else { end }
    }
}

/// Where the blocks of a new segment come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocks {
    /// The disk gives them.
    New,
    /// The spare file, which is as long as the segment.
    Spare,
}

/// A segment that is written whole, and neither durable nor named yet.
#[derive(Debug)]
#[must_use]
pub(crate) struct Filled {
    segment: Segment,
    opened: FrameRef,
    from: PathBuf,
}

impl Filled {
    /// Makes it durable and gives it its name; with it, its opening frame. A sync that fails is the end of a store,
    /// whatever it says of room.
    pub(crate) fn name(self, fs: &Arc<dyn Fs>) -> Result<(Segment, FrameRef)> {
        sync(self.segment.file.as_ref(), &self.from)?;
        rename_durably(fs, &self.from, &self.segment.path)?;
        Ok((self.segment, self.opened))
    }
}

/// What a new segment begins with.
#[derive(Debug)]
pub(crate) struct Opening {
    /// Room for a frame's header, then the checkpoints of all groups.
    pub(crate) buffer: Vec<u8>,
    pub(crate) sequence: u64,
    pub(crate) previous_crc: u32,
}

impl Segment {
    /// The seed of everything that stands at `offset`.
    pub(crate) fn seed(&self, offset: u64) -> Seed {
        Seed(self.incarnation, offset)
    }

    /// Where the seal stands.
    pub(crate) fn seal_offset(&self) -> u64 {
        self.len_bytes - BLOCK_BYTES
    }

    /// Whether a frame of `padded_bytes` fits at `offset`, with a closing mark in a block of its own behind it.
    pub(crate) fn fits(&self, offset: u64, padded_bytes: u64) -> bool {
        align_up(offset + padded_bytes, BLOCK_BYTES) + BLOCK_BYTES <= self.seal_offset()
    }

    /// How long a segment must be for an opening and one more frame of these lengths.
    pub(crate) fn needed_bytes(opening_bytes: u64, frame_bytes: u64) -> u64 {
        align_up(FIRST_FRAME + opening_bytes + frame_bytes, BLOCK_BYTES) + 2 * BLOCK_BYTES
    }

    /// Makes segment `number` with its opening frame: filled under a name that does not count, so that the one that does
    /// never leads to a file that is shorter, or whose blocks are not written yet.
    ///
    /// # Errors
    /// `Full` where there is no room for new blocks; what was made of them is gone then. [`Filled::name`] is asked for
    /// apart, since a failure there is the end of a store.
    pub(crate) fn fill(
        fs: &Arc<dyn Fs>,
        paths: &Paths,
        identity: Identity,
        (number, incarnation, len_bytes): (u64, u64, u64),
        mut opening: Opening,
        blocks: Blocks,
    ) -> Result<Filled> {
        let header = Header { identity, incarnation, number, len_bytes }.encode(FileType::Segment);
        let seed = Seed(incarnation, FIRST_FRAME);
        let crc = seal_frame(&mut opening.buffer, FrameKind::Opening, opening.sequence, opening.previous_crc, seed);
        let opened = FrameRef {
            kind: FrameKind::Opening,
            offset: FIRST_FRAME,
            padded_bytes: opening.buffer.len() as u64,
            sequence: opening.sequence,
            crc,
        };
        let pieces: [&[u8]; 2] = [&header, &opening.buffer];
        let (from, file) = match blocks {
            Blocks::New => {
                let unfinished = paths.unfinished_segment(number);
                let file = new_file(fs, &unfinished, &pieces, len_bytes)?;
                (unfinished, file)
            }
            // Whatever stands in them is written over, so nobody needs to believe it.
            Blocks::Spare => {
                let spare = paths.spare();
                let file = fs.open_file(&spare, Access::ReadWrite);
                let filled = file.and_then(|file| fill(file.as_ref(), &pieces, len_bytes).map(|()| file));
                (spare.clone(), filled.map_err(|error| error::io(FILLING, &spare, error))?)
            }
        };
        let segment = Segment { number, incarnation, len_bytes, path: paths.segment(number), file };
        Ok(Filled { segment, opened, from })
    }

    /// Writes a whole frame and syncs it: the only way in which a segment changes.
    pub(crate) fn write_synced(&self, offset: u64, frame: &[u8]) -> Result<()> {
        let written = write_all_at(self.file.as_ref(), frame, offset).and_then(|()| self.file.sync_data());
        written.map_err(|error| error::io("writing to the log", &self.path, error))
    }

    /// Writes a frame without a body, and syncs it.
    pub(crate) fn write_small(
        &self,
        kind: FrameKind,
        offset: u64,
        body: &[u8],
        (sequence, previous_crc): (u64, u32),
    ) -> Result<FrameRef> {
        let mut buffer = vec![0; FRAME_HEADER_BYTES];
        buffer.extend_from_slice(body);
        let crc = seal_frame(&mut buffer, kind, sequence, previous_crc, self.seed(offset));
        self.write_synced(offset, &buffer)?;
        Ok(FrameRef { kind, offset, padded_bytes: buffer.len() as u64, sequence, crc })
    }

    /// Reads exactly `length` bytes.
    pub(crate) fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        read_exact_at(self.file.as_ref(), &mut bytes, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => error::corrupt(
                &self.path,
                offset,
                format!("the file ends within {length} bytes from here; expected a length of {}", self.len_bytes),
            ),
            _ => error::io("reading the log", &self.path, error),
        })?;
        Ok(bytes)
    }
}

/// Renames, and syncs the directory of the new name: when it returns, no crash brings the old name back.
pub(crate) fn rename_durably(fs: &Arc<dyn Fs>, from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    let renamed = fs.rename(from, to).and_then(|()| fs.sync_dir(parent(to)));
    renamed.map_err(|error| error::io("giving a finished file its name", to, error))
}

/// Removes names, and then syncs their directory, so that no crash brings one back. What cannot be removed stays, does
/// no harm, and goes at the next open.
pub(crate) fn remove_durably(fs: &Arc<dyn Fs>, dir: &std::path::Path, files: &[PathBuf]) {
    let removed = (|| {
        for file in files {
            match fs.remove_file(file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
        if files.is_empty() { Ok(()) } else { fs.sync_dir(dir) }
    })();
    if let Err(error) = removed {
        tracing::warn!(dir = %dir.display(), %error, "files that are no longer needed could not be removed");
    }
}

/// Makes the file at `path`, which must not exist: the given pieces, then zeros up to `len_bytes`, nothing of it synced.
///
/// # Errors
/// `Full` among others; nothing is left of it then.
pub(crate) fn new_file(
    fs: &Arc<dyn Fs>,
    path: &std::path::Path,
    pieces: &[&[u8]],
    len_bytes: u64,
) -> Result<Box<dyn FsFile>> {
    let io = |error| error::io(FILLING, path, error);
    let file = fs.create_file(path).map_err(io)?;
    if let Err(error) = fill(file.as_ref(), pieces, len_bytes) {
        // Gives the room back; what cannot be removed now goes at the next open.
        let _still_there = fs.remove_file(path);
        return Err(io(error));
    }
    Ok(file)
}

/// Makes a filled file durable.
pub(crate) fn sync(file: &dyn FsFile, path: &std::path::Path) -> Result<()> {
    file.sync_all().map_err(|error| error::io(FILLING, path, error))
}

/// Writes the given pieces in order, then zeros up to `len_bytes`.
fn fill(file: &dyn FsFile, pieces: &[&[u8]], len_bytes: u64) -> io::Result<()> {
    let mut at = 0;
    for piece in pieces {
        write_all_at(file, piece, at)?;
        at += piece.len() as u64;
    }
    let zeros = vec![0; FILL_BYTES.min(usize::try_from(len_bytes).unwrap_or(FILL_BYTES))];
    while at < len_bytes {
        let count = usize::try_from(len_bytes - at).unwrap_or(FILL_BYTES).min(zeros.len());
        write_all_at(file, zeros.get(..count).unwrap_or_default(), at)?;
        at += count as u64;
    }
    Ok(())
}
