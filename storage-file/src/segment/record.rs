//! Records: what the body of a frame is made of. Each names its group.
//!
//! Entries stand in the clear between small pieces of versioned MessagePack, each with a checksum of its own, so that
//! one entry is read and verified without the rest of its frame.

use bytes::Bytes;
use eraft_core::{
    Entry, EntryId, EntryKind, GroupId, HardState, LogChange, LogIndex, LogOutline, RaftStateUpdate, SnapshotMeta,
    Term, codec,
};
use serde::{Deserialize, Serialize};

use super::bytes::{Fields, Seed, checksum};
use crate::paths::SnapshotName;

/// Length of what stands before each entry's payload.
pub(crate) const ENTRY_HEADER_BYTES: usize = 20;

/// Length of a record's fixed part.
const RECORD_HEADER_BYTES: usize = 32;

const SAVE: u8 = 1;
const CHECKPOINT: u8 = 2;
const REMOVE_GROUP: u8 = 3;

/// Where an entry stands: offset of its header, and length of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) offset: u32,
    pub(crate) payload_bytes: u32,
}

/// The published snapshot as the log names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Published {
    pub(crate) meta: SnapshotMeta,
    pub(crate) size_bytes: u64,
    /// The random part of its file's name.
    pub(crate) id: u64,
}

impl Published {
    pub(crate) fn name(&self) -> SnapshotName {
        SnapshotName { last: self.meta.last, id: self.id }
    }
}

/// Everything about one group but its entries' payloads: what makes all earlier segments dispensable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) hard_state: HardState,
    pub(crate) outline: LogOutline,
    pub(crate) snapshot: Option<Published>,
}

/// What a save changes besides its entries.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct SaveMeta {
    hard_state: Option<HardState>,
    log: LogMeta,
    publish: Option<Published>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum LogMeta {
    /// Nothing, or the entries of the same record.
    #[default]
    Entries,
    CompactTo(EntryId),
    Reset(EntryId),
}

/// One record, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// One save, and where its entries stand within the body.
    Save { group: GroupId, update: RaftStateUpdate, publish: Option<Published>, positions: Vec<Position> },
    /// A group's state at the start of a segment.
    Checkpoint { group: GroupId, checkpoint: Checkpoint },
    /// The group is gone.
    RemoveGroup { group: GroupId },
}

/// Why a body is no sequence of records.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RecordError {
    /// A kind or a metadata version that this build does not know.
    Unknown(String),
    /// Not what this module writes.
    Malformed(String),
}

/// Appends one save to `body`, and the places of its entries (from the start of `body`) to `positions`.
pub(crate) fn encode_save(
    body: &mut Vec<u8>,
    positions: &mut Vec<Position>,
    group: GroupId,
    update: &RaftStateUpdate,
    publish: Option<Published>,
) {
    let (log, entries): (_, &[Entry]) = match &update.log {
        LogChange::Keep => (LogMeta::Entries, &[]),
        LogChange::Append(entries) => (LogMeta::Entries, entries),
        LogChange::CompactTo(id) => (LogMeta::CompactTo(*id), &[]),
        LogChange::Reset { base } => (LogMeta::Reset(*base), &[]),
    };
    let meta = codec::encode(&SaveMeta { hard_state: update.hard_state, log, publish });
    let first = entries.first().map_or(LogIndex::ZERO, |entry| entry.index);
    push_header(body, SAVE, group, &meta, first, entries.len());
    for entry in entries {
        let payload_bytes = clamped(entry.payload.len());
        positions.push(Position { offset: clamped(body.len()), payload_bytes });
        body.extend_from_slice(&entry_header(group, entry.index, entry.term, entry.kind, &entry.payload));
        body.extend_from_slice(&entry.payload);
    }
}

/// Appends one group's state to `body`.
pub(crate) fn encode_checkpoint(body: &mut Vec<u8>, group: GroupId, checkpoint: &Checkpoint) {
    push_header(body, CHECKPOINT, group, &codec::encode(checkpoint), LogIndex::ZERO, 0);
}

/// The records of a body, in order.
pub(crate) fn decode(body: &Bytes) -> Result<Vec<Record>, RecordError> {
    let mut records = Vec::new();
    let mut at = 0;
    while at < body.len() {
        let (record, next) = decode_one(body, at)?;
        records.push(record);
        at = next;
    }
    Ok(records)
}

/// The entry that stands at the front of `bytes`, if it is the entry of `group` at `id` and undamaged.
pub(crate) fn decode_entry(bytes: &[u8], group: GroupId, id: EntryId) -> Option<Entry> {
    let mut fields = Fields(bytes);
    let (term, kind, payload_bytes) = entry_fields(&mut fields)?;
    let kind = EntryKind::from_byte(kind)?;
    let _crc = fields.u32()?;
    let payload = fields.take(payload_bytes as usize)?;
    let expected = entry_header(group, id.index, id.term, kind, payload);
    if term != id.term.0 || bytes.get(..ENTRY_HEADER_BYTES) != Some(&expected) {
        return None;
    }
    Some(Entry { index: id.index, term: id.term, kind, payload: Bytes::copy_from_slice(payload) })
}

fn push_header(body: &mut Vec<u8>, kind: u8, group: GroupId, meta: &[u8], first: LogIndex, entries: usize) {
    body.extend_from_slice(&[kind, 0, 0, 0]);
    body.extend_from_slice(&clamped(meta.len()).to_le_bytes());
    body.extend_from_slice(&group.0.to_le_bytes());
    body.extend_from_slice(&first.0.to_le_bytes());
    body.extend_from_slice(&clamped(entries).to_le_bytes());
    body.extend_from_slice(&0_u32.to_le_bytes());
    body.extend_from_slice(meta);
}

/// The bytes before an entry's payload; the last four are the checksum of what stands before them and of the payload,
/// seeded with group and index.
fn entry_header(
    group: GroupId,
    index: LogIndex,
    term: Term,
    kind: EntryKind,
    payload: &[u8],
) -> [u8; ENTRY_HEADER_BYTES] {
    let mut header = [0; ENTRY_HEADER_BYTES];
    let (covered, crc) = header.split_at_mut(ENTRY_HEADER_BYTES - 4);
    let (term_at, rest) = covered.split_at_mut(8);
    let (kind_at, length_at) = rest.split_at_mut(4);
    term_at.copy_from_slice(&term.0.to_le_bytes());
    kind_at.copy_from_slice(&[kind as u8, 0, 0, 0]);
    length_at.copy_from_slice(&clamped(payload.len()).to_le_bytes());
    crc.copy_from_slice(&checksum(Seed(group.0, index.0), &[covered, payload]).to_le_bytes());
    header
}

/// Term, kind and payload length.
fn entry_fields(fields: &mut Fields<'_>) -> Option<(u64, u8, u32)> {
    let (term, kind) = (fields.u64()?, fields.u8()?);
    let _reserved = fields.take(3)?;
    Some((term, kind, fields.u32()?))
}

/// One record at `at`, and where the next begins.
fn decode_one(body: &Bytes, at: usize) -> Result<(Record, usize), RecordError> {
    let short = || RecordError::Malformed(format!("the record {at} bytes into the frame's body ends early"));
    let mut fields = Fields(body.get(at..).ok_or_else(short)?);
    let header = (|| {
        let kind = fields.u8()?;
        let _reserved = fields.take(3)?;
        let (meta_bytes, group, first) = (fields.u32()?, GroupId(fields.u64()?), fields.u64()?);
        let entries = fields.u32()?;
        let _reserved = fields.u32()?;
        Some((kind, meta_bytes as usize, group, first, entries))
    })();
    let (kind, meta_bytes, group, first, count) = header.ok_or_else(short)?;
    let meta = fields.take(meta_bytes).ok_or_else(short)?;
    let mut next = at + RECORD_HEADER_BYTES + meta_bytes;
    let record = match kind {
        SAVE => {
            let SaveMeta { hard_state, log, publish } = decode_meta(meta)?;
            let (entries, positions, end) = decode_entries(body, next, first, count).ok_or_else(short)?;
            next = end;
            let log = match (log, entries.is_empty()) {
                (LogMeta::Entries, true) => LogChange::Keep,
                (LogMeta::Entries, false) => LogChange::Append(entries),
                (LogMeta::CompactTo(id), true) => LogChange::CompactTo(id),
                (LogMeta::Reset(base), true) => LogChange::Reset { base },
                (_, false) => {
                    return Err(RecordError::Malformed("entries beside another change of the log".to_owned()));
                }
            };
            Record::Save { group, update: RaftStateUpdate { hard_state, log }, publish, positions }
        }
        CHECKPOINT => Record::Checkpoint { group, checkpoint: decode_meta(meta)? },
        REMOVE_GROUP => Record::RemoveGroup { group },
        other => return Err(RecordError::Unknown(format!("a record of kind {other}"))),
    };
    Ok((record, next))
}

fn decode_meta<T: serde::de::DeserializeOwned>(meta: &[u8]) -> Result<T, RecordError> {
    codec::decode(meta).map_err(|error| match error {
        codec::DecodeError::Version { .. } => RecordError::Unknown(error.to_string()),
        codec::DecodeError::Malformed(text) => RecordError::Malformed(text),
    })
}

/// `count` entries from `at` on, their places, and where they end. Payloads share the body's memory.
fn decode_entries(body: &Bytes, at: usize, first: u64, count: u32) -> Option<(Vec<Entry>, Vec<Position>, usize)> {
    let (mut entries, mut positions, mut at) = (Vec::new(), Vec::new(), at);
    for step in 0..u64::from(count) {
        let mut fields = Fields(body.get(at..)?);
        let (term, kind, payload_bytes) = entry_fields(&mut fields)?;
        let _crc = fields.u32()?;
        let start = at + ENTRY_HEADER_BYTES;
        let end = start + payload_bytes as usize;
        if end > body.len() {
            return None;
        }
        positions.push(Position { offset: u32::try_from(at).ok()?, payload_bytes });
        entries.push(Entry {
            index: LogIndex(first.checked_add(step)?),
            term: Term(term),
            kind: EntryKind::from_byte(kind)?,
            payload: body.slice(start..end),
        });
        at = end;
    }
    Some((entries, positions, at))
}

/// A length as the format stores it. Bodies are bounded far below, so nothing is ever cut.
fn clamped(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
