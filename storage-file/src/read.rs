//! Reading entries: a cut of their places under a lock, then their bytes without one.
//!
//! Every entry is verified before it is handed out. A segment that is deleted meanwhile stays readable through the cut.

use std::{ops::Range, sync::Arc};

use eraft_core::{Entry, EntryId, GroupId, LogIndex, Result, StorageError, StorageErrorKind};

use crate::{
    engine::{group::Group, shared::Shared},
    error,
    segment::{
        file::Segment,
        record::{ENTRY_HEADER_BYTES, Position, decode_entry},
    },
};

/// The most that one read of a file takes in besides its first entry, and the widest gap it reads over.
const SPAN_BYTES: u64 = 256 << 10;
const GAP_BYTES: u64 = 2048;

/// Where one entry stands.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) segment: Arc<Segment>,
    pub(crate) position: Position,
    pub(crate) id: EntryId,
}

impl Place {
    fn start(&self) -> u64 {
        u64::from(self.position.offset)
    }

    fn end(&self) -> u64 {
        self.start() + ENTRY_HEADER_BYTES as u64 + u64::from(self.position.payload_bytes)
    }
}

/// Where the entries of `range` stand, as many as `max_bytes` allows, at least one if there is one.
///
/// # Errors
/// `Compacted` where the range starts at or below the base.
pub(crate) fn cut(shared: &Shared, group: &Group, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Place>> {
    let committed = group.committed();
    let outline = &committed.log.state.outline;
    if range.start <= outline.base().index {
        return Err(StorageError::new(
            StorageErrorKind::Compacted,
            "reading entries",
            format!(
                "entry {} of group {} is compacted; the log begins at {}",
                range.start,
                group.id(),
                outline.first_index()
            ),
        ));
    }
    let (mut places, mut size_bytes) = (Vec::new(), 0_u64);
    let mut index = range.start;
    while index < range.end {
        let Some(((number, position), term)) = committed.log.index.locate(index).zip(outline.term(index)) else {
            break;
        };
        size_bytes = size_bytes.saturating_add(32 + u64::from(position.payload_bytes));
        if size_bytes > max_bytes && !places.is_empty() {
            break;
        }
        let segment = match places.last().map(|place: &Place| &place.segment) {
            Some(segment) if segment.number == number => Arc::clone(segment),
            _ => shared.segment(number).ok_or_else(|| {
                error::corrupt(
                    &shared.paths.segment(number),
                    0,
                    "the segment of a live entry is not open: this is a bug",
                )
            })?,
        };
        places.push(Place { segment, position, id: EntryId { term, index } });
        index = index.next();
    }
    Ok(places)
}

/// Reads and verifies the entries of a cut. Blocks.
///
/// # Errors
/// `Corrupt` where an entry is not what was saved, or what the file system gives.
pub(crate) fn entries(group: GroupId, places: &[Place]) -> Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(places.len());
    let mut rest = places;
    while let Some(first) = rest.first() {
        let (mut end, mut count) = (first.end(), 1);
        for place in rest.iter().skip(1) {
            let near = place.start() >= end && place.start() - end <= GAP_BYTES;
            if place.segment.number != first.segment.number || !near || place.end() - first.start() > SPAN_BYTES {
                break;
            }
            (end, count) = (place.end(), count + 1);
        }
        let (span, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        read_span(group, span, &mut entries)?;
        rest = later;
    }
    Ok(entries)
}

/// Entries that stand close together in one segment, in one read.
fn read_span(group: GroupId, span: &[Place], entries: &mut Vec<Entry>) -> Result<()> {
    let (Some(first), Some(last)) = (span.first(), span.last()) else { return Ok(()) };
    let length = usize::try_from(last.end() - first.start()).unwrap_or(0);
    let bytes = first.segment.read(first.start(), length)?;
    for place in span {
        let at = usize::try_from(place.start() - first.start()).unwrap_or(usize::MAX);
        let entry = bytes.get(at..).and_then(|bytes| decode_entry(bytes, group, place.id));
        entries.push(entry.ok_or_else(|| {
            let detail = format!("entry {} of group {group} does not verify", place.id);
            error::corrupt(&place.segment.path, place.start(), detail)
        })?);
    }
    Ok(())
}
