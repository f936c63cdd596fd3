//! The writer: one batch, one frame, one sync. Blocking and single-threaded; the kit's thread drives it.
//!
//! It may assume that nobody else writes to the log, and that it is not called again after a failure. It must never
//! make a save visible before the sync that makes it durable has returned, never have two frames in flight, and never
//! remove a file before what makes it dispensable is durable.

use std::{path::PathBuf, sync::Arc};

use eraft_core::{Result, StagedSnapshot};
use eraft_storage_kit::{BatchWriter, Save};

use super::{group::Group, shared::Shared};
use crate::{
    fs::FsLock,
    paths::SnapshotName,
    segment::{
        BLOCK_BYTES, align_up,
        file::{FrameRef, Opening, Segment, remove_durably},
        frame::{FRAME_HEADER_BYTES, FrameKind, padded_bytes, seal_frame},
        record::{Position, Published, encode_checkpoint, encode_save},
    },
};

/// A batch is split where its frame would grow beyond this: one frame must not need more memory than that.
const MAX_FRAME_BYTES: usize = 64 << 20;

/// Which part of a segment is never promised to entries: a sixteenth.
const RESERVED_PART: u64 = 16;

/// What the frame's buffer may keep between batches.
const KEPT_BUFFER_BYTES: usize = 8 << 20;

/// The end of the log, and what is needed to write on there.
///
/// Invariant: every frame up to `last` is durable, and everything behind it in `segment` is zero.
#[derive(Debug)]
pub(crate) struct LogWriter {
    shared: Arc<Shared>,
    segment: Arc<Segment>,
    last: FrameRef,
    random: fastrand::Rng,
    buffer: Vec<u8>,
    /// Given back when the writer is dropped: after the last write of this process.
    _lock: Box<dyn FsLock>,
}

impl LogWriter {
    pub(crate) fn new(
        shared: Arc<Shared>,
        segment: Arc<Segment>,
        last: FrameRef,
        random: fastrand::Rng,
        lock: Box<dyn FsLock>,
    ) -> LogWriter {
        let writer = LogWriter { shared, segment, last, random, buffer: Vec::new(), _lock: lock };
        writer.shared.room.set_opening(padded_bytes(writer.encode_opening().len() - FRAME_HEADER_BYTES));
        writer.measure_room();
        writer
    }

    /// Commits saves that share one frame.
    fn commit_frame(&mut self, saves: &[Save], positions: &[Position]) -> Result<()> {
        let padded = padded_bytes(self.buffer.len() - FRAME_HEADER_BYTES);
        let rotated = !self.segment.fits(self.last.end(), padded);
        if rotated {
            self.rotate(padded)?;
        }
        let (offset, sequence) = (self.last.end(), self.last.sequence + 1);
        let seed = self.segment.seed(offset);
        let crc = seal_frame(&mut self.buffer, FrameKind::Saves, sequence, self.last.crc, seed);
        self.segment.write_synced(offset, &self.buffer)?;
        self.last = FrameRef { kind: FrameKind::Saves, offset, padded_bytes: padded, sequence, crc };

        // From here on the saves are durable. Only now may they be seen, and only now may what they replaced go.
        let replaced = self.apply(saves, positions, offset)?;
        remove_durably(&self.shared.fs, &self.shared.paths.snapshot, &replaced.snapshots);
        if replaced.entries || rotated {
            self.remove_dead_segments();
        }
        self.measure_room();
        Ok(())
    }

    /// Makes committed saves visible, and tells what they replaced.
    fn apply(&self, saves: &[Save], mut positions: &[Position], frame_offset: u64) -> Result<Replaced> {
        let mut replaced = Replaced::default();
        // Positions in a segment stay below 4 GiB: its length is bounded where it is made.
        let base = u32::try_from(frame_offset).unwrap_or(u32::MAX);
        for save in saves {
            let entries = match &save.update.log {
                eraft_core::LogChange::Append(entries) => entries.len(),
                _ => 0,
            };
            let (own, rest) = positions.split_at_checked(entries).unwrap_or((positions, &[]));
            positions = rest;
            let own: Vec<_> = own.iter().map(|at| Position { offset: at.offset.saturating_add(base), ..*at }).collect();
            let group = self.shared.group(save.group);
            let published = save.snapshot.as_ref().and_then(published);
            let file = published.as_ref().and_then(|published| self.shared.staging().publish(published.name()));
            let mut committed = group.committed_mut();
            let oldest = committed.log.index.oldest_segment();
            committed.log.apply(&save.update, published, self.segment.number, &own)?;
            committed.exists = true;
            replaced.entries |= committed.log.index.oldest_segment() != oldest;
            if file.is_some() {
                let old = std::mem::replace(&mut committed.snapshot, file);
                replaced.snapshots.extend(old.map(|old| self.shared.paths.snapshot(old.name)));
            }
        }
        Ok(replaced)
    }

    /// Goes on in a new segment, with room for a frame of `frame_bytes`.
    ///
    /// The order is what a crash needs: the successor is complete and durable before the seal names it, and the seal is
    /// durable before the successor's first frame of saves. So a segment without a seal is the last, or is followed by
    /// one that holds nothing but its opening.
    fn rotate(&mut self, frame_bytes: u64) -> Result<()> {
        let opening = Opening {
            buffer: self.encode_opening(),
            // The seal of the old segment stands between.
            sequence: self.last.sequence + 2,
            previous_crc: self.last.crc,
        };
        let opening_bytes = padded_bytes(opening.buffer.len() - FRAME_HEADER_BYTES);
        self.shared.room.set_opening(opening_bytes);
        let len_bytes = self.shared.segment_bytes.max(Segment::needed_bytes(opening_bytes, frame_bytes));
        let layout = (self.segment.number + 1, self.random.u64(..), len_bytes);
        let (successor, opened) =
            Segment::create(&self.shared.fs, &self.shared.paths, self.shared.identity, layout, opening)?;
        seal(&self.segment, &self.last, &successor)?;
        let successor = Arc::new(successor);
        self.shared.add_segment(Arc::clone(&successor));
        (self.segment, self.last) = (successor, opened);
        Ok(())
    }

    /// Room for a header, and then the state of every group as of the last frame.
    fn encode_opening(&self) -> Vec<u8> {
        let mut buffer = vec![0; FRAME_HEADER_BYTES];
        for group in self.shared.groups() {
            let committed = group.committed();
            if committed.exists {
                encode_checkpoint(&mut buffer, group.id, &committed.log.checkpoint());
            }
        }
        buffer
    }

    /// Removes the segments that no group has an entry in: what else they said, the next one's opening says too.
    fn remove_dead_segments(&self) {
        let oldest = |group: &Arc<Group>| group.committed().log.index.oldest_segment();
        let needed = self.shared.groups().iter().filter_map(oldest).min().unwrap_or(self.segment.number);
        let dead = self.shared.take_segments_below(needed.min(self.segment.number));
        let files: Vec<PathBuf> = dead.iter().map(|segment| segment.path.clone()).collect();
        remove_durably(&self.shared.fs, &self.shared.paths.state, &files);
    }

    /// Confirms the last frame with a mark, unless it is one.
    fn mark(&mut self) -> Result<()> {
        let offset = align_up(self.last.end(), BLOCK_BYTES);
        if self.last.kind == FrameKind::Mark || offset + BLOCK_BYTES > self.segment.seal_offset() {
            return Ok(());
        }
        let chain = (self.last.sequence + 1, self.last.crc);
        self.last = self.segment.write_small(FrameKind::Mark, offset, &[], chain)?;
        self.measure_room();
        Ok(())
    }

    /// After every batch: snapshots, and whatever else lives on the disk, take room between two segments, too.
    fn measure_room(&self) {
        // Where no further segment fits on the disk, a part of this one is for votes and compactions, and for the marks
        // that idle moments put between them.
        let reserve = 2 * BLOCK_BYTES + self.shared.segment_bytes / RESERVED_PART;
        let end = self.segment.seal_offset().saturating_sub(reserve);
        self.shared.room.set_tail(end.saturating_sub(self.last.end()), self.last.end());
        self.shared.measure_free();
    }
}

/// What a batch has made dispensable.
#[derive(Debug, Default)]
struct Replaced {
    snapshots: Vec<PathBuf>,
    entries: bool,
}

/// Writes the seal of `segment`, whose last frame is `last`: it names the successor.
pub(crate) fn seal(segment: &Segment, last: &FrameRef, successor: &Segment) -> Result<()> {
    let mut body = [0; 16];
    let (number, incarnation) = body.split_at_mut(8);
    number.copy_from_slice(&successor.number.to_le_bytes());
    incarnation.copy_from_slice(&successor.incarnation.to_le_bytes());
    let chain = (last.sequence + 1, last.crc);
    segment.write_small(FrameKind::Seal, segment.seal_offset(), &body, chain).map(|_| ())
}

/// What the log says of a snapshot that is published. Its name was made by this store and checked at submission.
fn published(staged: &StagedSnapshot) -> Option<Published> {
    let name = SnapshotName::parse(&staged.id)?;
    Some(Published { meta: staged.meta.clone(), size_bytes: staged.size_bytes, id: name.id })
}

impl BatchWriter for LogWriter {
    fn commit(&mut self, batch: &[Save]) -> Result<()> {
        let mut rest = batch;
        while !rest.is_empty() {
            self.buffer.clear();
            self.buffer.resize(FRAME_HEADER_BYTES, 0);
            let (mut positions, mut count) = (Vec::new(), 0);
            for save in rest {
                if self.buffer.len() >= MAX_FRAME_BYTES {
                    break;
                }
                let publish = save.snapshot.as_ref().and_then(published);
                encode_save(&mut self.buffer, &mut positions, save.group, &save.update, publish);
                count += 1;
            }
            let (saves, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            self.commit_frame(saves, &positions)?;
            rest = later;
        }
        if self.buffer.capacity() > KEPT_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    fn idle(&mut self) -> Result<()> {
        self.measure_room();
        self.mark()
    }

    fn close(&mut self) -> Result<()> {
        self.mark()
    }
}
