//! The writer: one batch, one frame, one sync. Blocking and single-threaded; the kit's thread drives it.
//!
//! It may assume that nobody else writes to the log, and that it is not called again after a failure. It must never
//! make a save visible before the sync that makes it durable has returned, never have two frames in flight, and never
//! remove a file before what makes it dispensable is durable.

use std::{path::PathBuf, sync::Arc};

use eraft_core::{Result, StagedSnapshot, StorageErrorKind};
use eraft_storage_kit::{BatchWriter, Save};

use super::{
    group::Group,
    shared::{Room, Shared},
    spare::{self, Made},
};
use crate::{
    fs::FsLock,
    paths::SnapshotName,
    segment::{
        BLOCK_BYTES, FRAME_ALIGN_BYTES, align_up,
        file::{Blocks, Filled, FrameRef, Opening, Segment, remove_durably},
        frame::{FRAME_HEADER_BYTES, FrameKind, padded_bytes, seal_frame},
        record::{Position, Published, encode_checkpoint, encode_save},
    },
};

/// A batch is split where its frame would grow beyond this: one frame must not need more memory than that.
const MAX_FRAME_BYTES: usize = 64 << 20;

/// What the frame's buffer may keep between batches.
const KEPT_BUFFER_BYTES: usize = 8 << 20;

/// The end of the log, and what is needed to write on there.
///
/// Invariants:
///
/// 1. Every frame up to `last` is durable, and everything behind it in `segment` is zero.
/// 2. `spare_bytes` long is the spare that is durable under its name; 0: there is none.
/// 3. No command is written while the spare is shorter than wanted: so what became of a spare holds none either, before
///    there is another.
#[derive(Debug)]
pub(crate) struct LogWriter {
    shared: Arc<Shared>,
    segment: Arc<Segment>,
    last: FrameRef,
    spare_bytes: u64,
    /// The last attempt to make one failed, and not for want of room: there is another with each save and idle moment.
    spare_failed: bool,
    opening_bytes: u64,
    random: fastrand::Rng,
    buffer: Vec<u8>,
    /// Given back when the writer is dropped: after the last write of this process.
    _lock: Box<dyn FsLock>,
}

impl LogWriter {
    /// Goes on where recovery found the end of the log. Makes a spare if there is none and the disk has room for it.
    ///
    /// # Errors
    /// A failure to make one durable, or to give it its name.
    pub(crate) fn new(
        shared: Arc<Shared>,
        segment: Arc<Segment>,
        last: FrameRef,
        random: fastrand::Rng,
        lock: Box<dyn FsLock>,
    ) -> Result<LogWriter> {
        let spare_bytes = spare::find(&shared.fs, &shared.paths).unwrap_or(0);
        let (opening_bytes, buffer) = (0, Vec::new());
        let (spare_failed, _lock) = (false, lock);
        let mut writer =
            LogWriter { shared, segment, last, spare_bytes, spare_failed, opening_bytes, random, buffer, _lock };
        writer.opening_bytes = padded_bytes(writer.encode_opening().len() - FRAME_HEADER_BYTES);
        writer.renew_spare()?;
        writer.tell_room();
        Ok(writer)
    }

    /// Encodes what shares one frame, at least one save: where entries stand in it, and how many saves it is.
    ///
    /// A command was let in for the room that the saves before it leave, whatever comes behind. So what takes no room
    /// does not go along where the segment's rest is too small for both: it would drag the command into a new segment,
    /// for which a full disk has no room, and the spare is not for commands.
    fn encode_frame(&mut self, saves: &[Save]) -> (Vec<Position>, usize) {
        self.buffer.clear();
        self.buffer.resize(FRAME_HEADER_BYTES, 0);
        let (mut positions, mut count, mut takes_room) = (Vec::new(), 0, false);
        for save in saves {
            let (begun, placed) = (self.buffer.len(), positions.len());
            if begun >= MAX_FRAME_BYTES {
                break;
            }
            let publish = save.snapshot.as_ref().and_then(published);
            encode_save(&mut self.buffer, &mut positions, save.group, &save.update, publish);
            if spare::takes_room(save) {
                takes_room = true;
            } else if takes_room && !self.segment.fits(self.last.end(), self.padded_frame_bytes()) {
                self.buffer.truncate(begun);
                positions.truncate(placed);
                break;
            }
            count += 1;
        }
        (positions, count)
    }

    /// How long the frame in the buffer is going to be.
    fn padded_frame_bytes(&self) -> u64 {
        padded_bytes(self.buffer.len() - FRAME_HEADER_BYTES)
    }

    /// Commits saves that share one frame.
    fn commit_frame(&mut self, saves: &[Save], positions: &[Position]) -> Result<()> {
        let takes_room = saves.iter().any(spare::takes_room);
        if takes_room && !self.renew_spare()? {
            return Err(spare::lacking(&self.shared.paths, self.wanted_spare_bytes()));
        }
        let padded = self.padded_frame_bytes();
        let rotated = !self.segment.fits(self.last.end(), padded);
        if rotated {
            self.rotate(padded, takes_room)?;
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
        if replaced.entries || rotated || !replaced.snapshots.is_empty() || self.spare_failed {
            // What was given back goes to the spare before anyone else can take it.
            self.renew_spare()?;
        }
        self.tell_room();
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
    fn rotate(&mut self, frame_bytes: u64, takes_room: bool) -> Result<()> {
        let opening_bytes = padded_bytes(self.encode_opening().len() - FRAME_HEADER_BYTES);
        let needed_bytes = Segment::needed_bytes(opening_bytes, frame_bytes);
        let filled = match self.fill_successor(self.shared.segment_bytes.max(needed_bytes), Blocks::New) {
            Err(error) if error.kind() == StorageErrorKind::Full && !takes_room && self.spare_bytes >= needed_bytes => {
                tracing::warn!(%error, "the log goes on in its reserve: no command is taken before there is room");
                let spare_bytes = std::mem::take(&mut self.spare_bytes);
                self.fill_successor(spare_bytes, Blocks::Spare)?
            }
            filled => filled?,
        };
        let (successor, opened) = filled.name(&self.shared.fs)?;
        seal(&self.segment, &self.last, &successor)?;
        let successor = Arc::new(successor);
        self.shared.add_segment(Arc::clone(&successor));
        (self.segment, self.last) = (successor, opened);
        self.opening_bytes = opening_bytes;
        // Before anything is removed: where the spare is gone, what that frees is not for commands.
        self.tell_room();
        Ok(())
    }

    /// Fills the segment that will follow this one.
    fn fill_successor(&mut self, len_bytes: u64, blocks: Blocks) -> Result<Filled> {
        let opening = Opening {
            buffer: self.encode_opening(),
            // The seal of the old segment stands between.
            sequence: self.last.sequence + 2,
            previous_crc: self.last.crc,
        };
        let layout = (self.segment.number + 1, self.random.u64(..), len_bytes);
        Segment::fill(&self.shared.fs, &self.shared.paths, self.shared.identity, layout, opening, blocks)
    }

    fn wanted_spare_bytes(&self) -> u64 {
        spare::wanted_bytes(self.shared.segment_bytes, self.opening_bytes)
    }

    /// Makes a spare if there is none of the wanted length; whether there is one then.
    fn renew_spare(&mut self) -> Result<bool> {
        let wanted_bytes = self.wanted_spare_bytes();
        if self.spare_bytes < wanted_bytes && self.shared.free_bytes() >= wanted_bytes {
            match spare::make(&self.shared.fs, &self.shared.paths, wanted_bytes)? {
                Made::Durable => (self.spare_bytes, self.spare_failed) = (wanted_bytes, false),
                Made::NoRoom => self.spare_failed = false,
                Made::Failed(error) => {
                    if !std::mem::replace(&mut self.spare_failed, true) {
                        tracing::warn!(%error, "the reserve cannot be made: no command is taken before it is");
                    }
                }
            }
        }
        Ok(self.spare_bytes >= wanted_bytes)
    }

    /// Room for a header, and then the state of every group as of the last frame.
    fn encode_opening(&self) -> Vec<u8> {
        let mut buffer = vec![0; FRAME_HEADER_BYTES];
        for group in self.shared.groups() {
            let committed = group.committed();
            if committed.exists {
                encode_checkpoint(&mut buffer, group.id(), &committed.log.checkpoint());
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
        self.tell_room();
        Ok(())
    }

    /// Tells what the log still takes. In its last segment that is what fits behind the mark that an idle moment may put
    /// there (up to two blocks on), after the room was told and before it is used.
    fn tell_room(&self) {
        let end = match self.last.kind {
            FrameKind::Mark => self.last.end(),
            _ => self.last.end() + 2 * BLOCK_BYTES - FRAME_ALIGN_BYTES,
        };
        let tail_bytes = self.segment.seal_offset().saturating_sub(end + BLOCK_BYTES);
        let wanted_bytes = self.wanted_spare_bytes();
        let lacking_bytes = match self.spare_bytes < wanted_bytes {
            // No free byte tells whether it can be made now.
            true if self.spare_failed => u64::MAX,
            true => wanted_bytes,
            false => 0,
        };
        self.shared.tell_room(Room {
            tail_bytes,
            used_bytes: self.last.end(),
            opening_bytes: self.opening_bytes,
            lacking_bytes,
        });
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
            let (positions, count) = self.encode_frame(rest);
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
        self.mark()?;
        self.renew_spare()?;
        self.tell_room();
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.mark()
    }
}
