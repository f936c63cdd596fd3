//! Recovery: what the log says, and whether its end is torn or damaged. Reads only; `engine::repair` writes.
//!
//! One frame is in flight at a time, and a frame is written only when the one before it is durable. So a frame is
//! *confirmed* by anything valid behind it: another frame, a closing mark, a seal, the next segment. A bad frame that
//! something confirms was acknowledged once: that is damage, and recovery refuses. A bad last frame that nothing confirms
//! was in flight when the power went: that is a torn tail, and it is dropped.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use eraft_core::{Expected, GroupId, Identity, Result};

use super::{
    group::GroupLog,
    scan::{Found, Scan, follows},
};
use crate::{
    error,
    fs::{Access, FileKind, Fs},
    paths::{Paths, StateName},
    segment::{
        FIRST_FRAME, MAX_COUNT,
        bytes::Fields,
        file::{FrameRef, Segment},
        frame::{FrameHeader, FrameKind},
        header::{FileType, HEADER_BYTES, Header},
        record::{self, Record, RecordError},
    },
};

/// The log as it was found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) identity: Identity,
    pub(crate) groups: BTreeMap<GroupId, GroupLog>,
    /// Live segments; the last one is written to.
    pub(crate) segments: BTreeMap<u64, Arc<Segment>>,
    pub(crate) tail: Arc<Segment>,
    /// The last good frame.
    pub(crate) last: FrameRef,
    /// What stands behind it and is not zero: the remains of a frame that was in flight.
    pub(crate) torn: Option<std::ops::Range<u64>>,
    /// The segment before the tail and its last frame, where the tail holds nothing but its opening: its seal may be
    /// missing, or not yet durable.
    pub(crate) unsealed: Option<(Arc<Segment>, FrameRef)>,
    /// Segments below the first live one that a crash brought back, and segments that were never finished.
    pub(crate) leftovers: Vec<StateName>,
}

/// Reads the whole log of a store whose lock is held. Changes nothing.
///
/// # Errors
/// `Corrupt`, `Incompatible`, `WrongIdentity`, or what the file system gives.
pub(crate) fn recover(fs: &Arc<dyn Fs>, paths: &Paths, expected: &Expected) -> Result<Recovered> {
    let (numbers, mut leftovers) = list(fs, paths)?;
    let mut segments = BTreeMap::new();
    let mut identity: Option<Identity> = None;
    for number in &numbers {
        let (segment, found) = open_segment(fs, paths, *number)?;
        let location = segment.path.display().to_string();
        expected.check(&found, &location)?;
        if let Some(identity) = identity.filter(|identity| *identity != found) {
            let detail = format!("the segment belongs to {found:?}; the others belong to {identity:?}");
            return Err(error::corrupt(&segment.path, 0, detail));
        }
        identity = Some(found);
        segments.insert(*number, Arc::new(segment));
    }
    let (Some(identity), Some(newest)) = (identity, numbers.last()) else {
        return Err(error::corrupt(&paths.state, 0, "no segment of the log is here; a store always has one"));
    };
    // Segments go oldest first, but their names may come back in any order: the log is the last run without a gap.
    let run = numbers.iter().rev().zip((0..=*newest).rev()).take_while(|(found, wanted)| *found == wanted).count();
    let first = newest - (run as u64 - 1);
    leftovers.extend(numbers.range(..first).map(|number| StateName::Segment(*number)));
    let segments = segments.split_off(&first);

    let mut replay = Replay { identity, groups: BTreeMap::new(), last: None, before_tail: None };
    for segment in segments.values() {
        replay.segment(segment, segments.get(&(segment.number + 1)))?;
    }
    replay.finish(segments, leftovers, paths)
}

/// The numbers of all segments, and the names of those that were never finished.
fn list(fs: &Arc<dyn Fs>, paths: &Paths) -> Result<(BTreeSet<u64>, Vec<StateName>)> {
    let entries = fs.read_dir(&paths.state).map_err(|error| error::io("listing the log", &paths.state, error))?;
    let (mut numbers, mut unfinished) = (BTreeSet::new(), Vec::new());
    for entry in entries {
        match StateName::parse(&entry.name) {
            Some(StateName::Segment(number)) if entry.kind == FileKind::File => drop(numbers.insert(number)),
            Some(StateName::Segment(number)) => {
                let what = format!("it is a {:?}; expected a regular file (links are not followed)", entry.kind);
                return Err(error::corrupt(&paths.segment(number), 0, what));
            }
            Some(name @ (StateName::Unfinished(_) | StateName::UnfinishedSpare)) if entry.kind == FileKind::File => {
                unfinished.push(name);
            }
            // Nothing in a spare is ever read.
            Some(StateName::Unfinished(_) | StateName::UnfinishedSpare | StateName::Spare) | None => {}
        }
    }
    Ok((numbers, unfinished))
}

/// Opens one segment and believes its header.
fn open_segment(fs: &Arc<dyn Fs>, paths: &Paths, number: u64) -> Result<(Segment, Identity)> {
    let path = paths.segment(number);
    let during = "opening the log";
    let file = fs.open_file(&path, Access::ReadWrite).map_err(|error| error::io(during, &path, error))?;
    let len_bytes = file.len_bytes().map_err(|error| error::io(during, &path, error))?;
    let mut segment = Segment { number, incarnation: 0, len_bytes, path, file };
    let block = segment.read(0, HEADER_BYTES)?;
    let header = Header::decode(&block, FileType::Segment, &segment.path)?;
    if header.number != number || number > MAX_COUNT {
        let detail = format!("the header says segment {}; expected {number}", header.number);
        return Err(error::corrupt(&segment.path, 0, detail));
    }
    let bounds = 4 * HEADER_BYTES as u64..=u64::from(u32::MAX);
    if header.len_bytes != len_bytes || !bounds.contains(&len_bytes) {
        let detail = format!("the file is {len_bytes} bytes long; expected {}", header.len_bytes);
        return Err(error::corrupt(&segment.path, len_bytes, detail));
    }
    segment.incarnation = header.incarnation;
    Ok((segment, header.identity))
}

/// Frames in order, and what they make of the groups.
#[derive(Debug)]
struct Replay {
    identity: Identity,
    groups: BTreeMap<GroupId, GroupLog>,
    /// The last good frame of the segment read last, and why the next one is none.
    last: Option<(Arc<Segment>, FrameRef, String)>,
    /// The same of the segment before it.
    before_tail: Option<(Arc<Segment>, FrameRef)>,
}

impl Replay {
    /// Reads one segment to the end of its frames.
    fn segment(&mut self, segment: &Arc<Segment>, successor: Option<&Arc<Segment>>) -> Result<()> {
        let mut scan = Scan::new(segment);
        let (opening, header, body) = match scan.frame(FIRST_FRAME, segment.seal_offset())? {
            Found::Frame(frame, header, body) if frame.kind == FrameKind::Opening => (frame, header, body),
            Found::Frame(frame, ..) => {
                let detail = format!("a frame of kind {:?}; expected the segment's opening", frame.kind);
                return Err(error::corrupt(&segment.path, FIRST_FRAME, detail));
            }
            // It was synced before the segment got its name, so it cannot be torn.
            Found::Bad(why) => return Err(error::corrupt(&segment.path, FIRST_FRAME, why)),
        };
        self.opening(segment, &header, &body)?;
        let mut last = opening;
        let why = loop {
            match scan.next_frame(&last)? {
                Found::Bad(why) => break why,
                Found::Frame(frame, header, body) => {
                    if !follows(&header, last.sequence + 1, last.crc) {
                        let detail = format!(
                            "frame {} after {:08x}; expected frame {} after {:08x}",
                            header.sequence,
                            header.previous_crc,
                            last.sequence + 1,
                            last.crc
                        );
                        return Err(error::corrupt(&segment.path, frame.offset, detail));
                    }
                    if frame.kind == FrameKind::Saves {
                        self.saves(segment, &frame, &body)?;
                    }
                    last = frame;
                }
            }
        };
        let sealed = match scan.seal()? {
            Some((seal, body)) => {
                check_seal(segment, (&last, &why), (&seal, &body), successor)?;
                true
            }
            None => false,
        };
        if let Some((segment, last, _)) = self.last.take() {
            self.before_tail = Some((segment, last));
        }
        self.last = Some((Arc::clone(segment), last, why));
        if let (false, Some(successor)) = (sealed, successor) {
            self.check_unfinished(segment, successor)?;
        }
        Ok(())
    }

    /// A segment without a seal that has a successor: the rotation was interrupted, so the successor is the newest and
    /// holds nothing but its opening; else the seal was there once.
    fn check_unfinished(&self, segment: &Arc<Segment>, successor: &Arc<Segment>) -> Result<()> {
        let mut scan = Scan::new(successor);
        if let Some((at, _)) = scan.header_after(FIRST_FRAME)? {
            let detail = format!(
                "the seal is missing, but {} goes on at offset {at}, which is written only after the seal",
                successor.path.display()
            );
            return Err(error::corrupt(&segment.path, segment.seal_offset(), detail));
        }
        Ok(())
    }

    /// The opening of a segment: of the first one it is where the state begins; of any other it must be what the frames
    /// before have led to, and so it confirms every one of them.
    fn opening(&mut self, segment: &Segment, header: &FrameHeader, body: &Bytes) -> Result<()> {
        let groups = self.checkpoints(segment, body)?;
        let Some((before, last, why)) = &self.last else {
            self.groups = groups;
            return Ok(());
        };
        if !follows(header, last.sequence + 2, last.crc) {
            let detail = format!(
                "{why}, but {} proves that frames up to {} stood here; the last good one is frame {}",
                segment.path.display(),
                header.sequence.saturating_sub(2),
                last.sequence
            );
            return Err(error::corrupt(&before.path, last.end(), detail));
        }
        let agree = groups.len() == self.groups.len()
            && groups.iter().zip(&self.groups).all(|((id, said), (other, found))| {
                id == other && said.state == found.state && said.published == found.published
            });
        if !agree {
            let detail = "the opening is not the state that the segments before have led to";
            return Err(error::corrupt(&segment.path, FIRST_FRAME, detail));
        }
        Ok(())
    }

    fn checkpoints(&self, segment: &Segment, body: &Bytes) -> Result<BTreeMap<GroupId, GroupLog>> {
        let mut groups = BTreeMap::new();
        for record in decode(segment, FIRST_FRAME, body)? {
            let valid = match record {
                Record::Checkpoint { group, checkpoint } => {
                    let log = GroupLog::from_checkpoint(self.identity, checkpoint);
                    log.is_valid() && groups.insert(group, log).is_none()
                }
                Record::Save { .. } | Record::RemoveGroup { .. } => false,
            };
            if !valid {
                let detail = "the opening holds something else than one valid state for each group";
                return Err(error::corrupt(&segment.path, FIRST_FRAME, detail));
            }
        }
        Ok(groups)
    }

    /// One batch of saves.
    fn saves(&mut self, segment: &Segment, frame: &FrameRef, body: &Bytes) -> Result<()> {
        let at = frame.offset;
        // The body begins behind the header; positions count from the frame's start.
        let base = at + crate::segment::frame::FRAME_HEADER_BYTES as u64;
        for record in decode(segment, at, body)? {
            match record {
                Record::Save { group, update, publish, mut positions } => {
                    for position in &mut positions {
                        let offset = u32::try_from(base + u64::from(position.offset));
                        position.offset =
                            offset.map_err(|_| error::corrupt(&segment.path, at, "an entry beyond 4 GiB"))?;
                    }
                    let log = self.groups.entry(group).or_insert_with(|| GroupLog::blank(self.identity));
                    log.apply(&update, publish, segment.number, &positions).map_err(|error| {
                        error::corrupt(&segment.path, at, format!("a save of group {group} that cannot be: {error}"))
                    })?;
                }
                Record::RemoveGroup { group } => drop(self.groups.remove(&group)),
                Record::Checkpoint { .. } => {
                    return Err(error::corrupt(&segment.path, at, "a group's opening state among saves"));
                }
            }
        }
        Ok(())
    }

    /// Judges the end of the log, and that no entry is missing.
    fn finish(
        self,
        segments: BTreeMap<u64, Arc<Segment>>,
        leftovers: Vec<StateName>,
        paths: &Paths,
    ) -> Result<Recovered> {
        let Some((tail, last, why)) = self.last else {
            return Err(error::corrupt(&paths.state, 0, "no segment of the log is here; a store always has one"));
        };
        let torn = judge_tail(&tail, &last, &why)?;
        for (id, log) in &self.groups {
            if log.index.first() != log.state.outline.first_index() {
                let first = segments.keys().next().copied().unwrap_or_default();
                return Err(error::corrupt(
                    &paths.segment(first.saturating_sub(1)),
                    0,
                    format!(
                        "the segment is missing: group {id} has entries from {} on, found from {} on",
                        log.state.outline.first_index(),
                        log.index.first()
                    ),
                ));
            }
        }
        let unsealed = self.before_tail.filter(|_| last.kind == FrameKind::Opening);
        Ok(Recovered { identity: self.identity, groups: self.groups, segments, tail, last, torn, unsealed, leftovers })
    }
}

/// What stands behind the last good frame of the newest segment: nothing, or the remains of one frame in flight.
///
/// # Errors
/// `Corrupt` where something valid further on confirms what does not verify here.
fn judge_tail(tail: &Segment, last: &FrameRef, why: &str) -> Result<Option<std::ops::Range<u64>>> {
    let mut scan = Scan::new(tail);
    let end = last.end();
    if let Some((at, header)) = scan.header_after(end)? {
        let detail = format!("{why}, but frame {} at offset {at} proves that this one was complete", header.sequence);
        return Err(error::corrupt(&tail.path, end, detail));
    }
    Ok(scan.last_nonzero(end)?.map(|nonzero| end..nonzero + 1))
}

/// Whether a seal closes exactly this segment, and its successor is there.
fn check_seal(
    segment: &Segment,
    (last, why): (&FrameRef, &str),
    (seal, body): (&FrameHeader, &Bytes),
    successor: Option<&Arc<Segment>>,
) -> Result<()> {
    if !follows(seal, last.sequence + 1, last.crc) {
        let detail = format!(
            "{why}, but the seal proves that frames up to {} stood here; the last good one is frame {}",
            seal.sequence.saturating_sub(1),
            last.sequence
        );
        return Err(error::corrupt(&segment.path, last.end(), detail));
    }
    let mut fields = Fields(body);
    let named = (fields.u64(), fields.u64());
    let found = (Some(segment.number + 1), successor.map(|successor| successor.incarnation));
    if named != found {
        let detail = format!(
            "the seal names segment {:?} of incarnation {:016x?}; found {:?} of {:016x?}",
            named.0, named.1, found.0, found.1
        );
        return Err(error::corrupt(&segment.path, segment.seal_offset(), detail));
    }
    Ok(())
}

fn decode(segment: &Segment, offset: u64, body: &Bytes) -> Result<Vec<Record>> {
    record::decode(body).map_err(|error| match error {
        RecordError::Unknown(what) => error::incompatible(&segment.path, offset, what),
        RecordError::Malformed(what) => error::corrupt(&segment.path, offset, what),
    })
}
