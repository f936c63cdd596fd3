//! What the fuzz targets (`fuzz/`) reach of this crate: the decoders of the store's files, on whatever bytes, and the
//! encoders that make honest ones.
//!
//! No part of the interface: hidden, and free to change. It holds no format and no rule of its own, or the targets would
//! test that instead of what an open store runs.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use eraft_core::{
    Entry, EntryId, Expected, GroupId, HardState, Identity, LogOutline, RaftState, RaftStateUpdate, Result,
    SnapshotMeta,
};

use crate::{
    engine::recovery,
    fs::Fs,
    paths::Paths,
    read::{self, Place},
    segment::{
        bytes::Seed,
        frame::{FRAME_HEADER_BYTES, FrameKind, seal_frame},
        header::{FileType, Header},
        record::{self, Checkpoint, Published, Record},
    },
    snapshot::{
        file::SnapshotFile,
        format::{ChunkKind, encode_chunk},
        read::Cursor,
    },
};

/// A log as recovery found it.
#[derive(Debug)]
pub struct Log {
    /// Each group's state.
    pub groups: BTreeMap<GroupId, RaftState>,
    /// The file of the last segment, and what in it is the remains of a frame that was in flight.
    pub torn: Option<(PathBuf, Range<u64>)>,
    found: recovery::Recovered,
}

impl Log {
    /// What opening a store reads of the log in `dir`.
    ///
    /// # Errors
    /// What opening the store answers.
    pub fn recover(fs: &Arc<dyn Fs>, dir: &Path) -> Result<Log> {
        let found = recovery::recover(fs, &Paths::new(dir), &Expected::any())?;
        let groups = found.groups.iter().map(|(id, log)| (*id, log.state.clone())).collect();
        let torn = found.torn.clone().map(|range| (found.tail.path.clone(), range));
        Ok(Log { groups, torn, found })
    }

    /// Every entry of `group`, read and verified.
    ///
    /// # Errors
    /// What reading answers.
    pub fn entries(&self, group: GroupId) -> Result<Vec<Entry>> {
        let Some(log) = self.found.groups.get(&group) else { return Ok(Vec::new()) };
        let (mut places, mut index) = (Vec::new(), log.state.outline.first_index());
        while let Some(((number, position), term)) = log.index.locate(index).zip(log.state.outline.term(index)) {
            let Some(segment) = self.found.segments.get(&number) else { break };
            places.push(Place { segment: Arc::clone(segment), position, id: EntryId { term, index } });
            index = index.next();
        }
        read::entries(group, &places)
    }
}

/// The file of a segment.
pub fn segment_path(dir: &Path, number: u64) -> PathBuf {
    Paths::new(dir).segment(number)
}

/// The first block of a segment.
pub fn segment_header(identity: Identity, number: u64, incarnation: u64, len_bytes: u64) -> Vec<u8> {
    Header { identity, incarnation, number, len_bytes }.encode(FileType::Segment)
}

/// A whole frame for `offset` of the segment with this incarnation, and the checksum that the next one repeats.
pub fn frame(
    kind: u8,
    sequence: u64,
    previous_crc: u32,
    (incarnation, offset): (u64, u64),
    body: &[u8],
) -> (Vec<u8>, u32) {
    let kind = match kind {
        1 => FrameKind::Saves,
        2 => FrameKind::Opening,
        3 => FrameKind::Mark,
        _ => FrameKind::Seal,
    };
    let mut buffer = vec![0; FRAME_HEADER_BYTES];
    buffer.extend_from_slice(body);
    let crc = seal_frame(&mut buffer, kind, sequence, previous_crc, Seed(incarnation, offset));
    (buffer, crc)
}

/// The checksum that all of the store's bytes bear.
pub fn checksum(seed: (u64, u64), bytes: &[u8]) -> u32 {
    crate::segment::bytes::checksum(Seed(seed.0, seed.1), &[bytes])
}

/// The records of a frame's body, but for a group's removal, which this version reads and never writes. Equal where they
/// mean the same, wherever in the body their entries stand.
#[derive(Debug, PartialEq)]
pub struct Records(Vec<Record>);

impl Records {
    /// What is written of saves of `group`; with one that publishes a snapshot, what that stands for, its length and the
    /// number in its name.
    pub fn saves(
        group: GroupId,
        saves: impl IntoIterator<Item = (RaftStateUpdate, Option<(SnapshotMeta, u64, u64)>)>,
    ) -> Records {
        let published = |(meta, size_bytes, id)| Published { meta, size_bytes, id };
        let save = |(update, publish): (_, Option<_>)| Record::Save {
            group,
            update,
            publish: publish.map(published),
            positions: Vec::new(),
        };
        Records(saves.into_iter().map(save).collect())
    }

    /// What the opening of a segment says of `group`.
    pub fn checkpoint(group: GroupId, hard_state: HardState, outline: LogOutline) -> Records {
        Records(vec![Record::Checkpoint { group, checkpoint: Checkpoint { hard_state, outline, snapshot: None } }])
    }

    /// The records of `body`.
    ///
    /// # Errors
    /// The reason, where it is no sequence of records.
    pub fn decode(body: &Bytes) -> std::result::Result<Records, String> {
        let mut records = record::decode(body).map_err(|error| format!("{error:?}"))?;
        records.retain(|record| !matches!(record, Record::RemoveGroup { .. }));
        for record in &mut records {
            if let Record::Save { positions, .. } = record {
                positions.clear();
            }
        }
        Ok(Records(records))
    }

    /// The body that a batch of these makes.
    pub fn encode(&self) -> Bytes {
        let (mut body, mut positions) = (Vec::new(), Vec::new());
        for record in &self.0 {
            match record {
                Record::Save { group, update, publish, .. } => {
                    record::encode_save(&mut body, &mut positions, *group, update, publish.clone());
                }
                Record::Checkpoint { group, checkpoint } => record::encode_checkpoint(&mut body, *group, checkpoint),
                Record::RemoveGroup { .. } => {}
            }
        }
        body.into()
    }
}

/// A snapshot's file, as the log names it.
#[derive(Clone, Debug)]
pub struct SnapshotName {
    /// Whose it is.
    pub identity: Identity,
    /// Of which group.
    pub group: GroupId,
    /// What it stands for.
    pub meta: SnapshotMeta,
    /// The bytes of data in it.
    pub size_bytes: u64,
}

impl SnapshotName {
    fn published(&self) -> Published {
        Published { meta: self.meta.clone(), size_bytes: self.size_bytes, id: 1 }
    }

    /// Its file.
    pub fn path(&self, dir: &Path) -> PathBuf {
        Paths::new(dir).snapshot(self.published().name())
    }

    /// Its first block.
    pub fn header(&self, incarnation: u64) -> Vec<u8> {
        Header { identity: self.identity, incarnation, number: self.group.0, len_bytes: 0 }.encode(FileType::Snapshot)
    }

    /// Its data, opened and read as a node's is.
    ///
    /// # Errors
    /// What opening or reading answers.
    pub fn read(&self, fs: &Arc<dyn Fs>, dir: &Path) -> Result<Vec<Bytes>> {
        let file = SnapshotFile::open(fs, &Paths::new(dir), (self.identity, self.group), &self.published())?;
        let (mut chunks, mut cursor) = (Vec::new(), Cursor::new(file));
        while let Some((chunk, next)) = cursor.next()? {
            chunks.push(chunk);
            cursor = next;
        }
        Ok(chunks)
    }
}

/// A chunk for `offset` of the snapshot's file with this incarnation: 1 what it stands for, 2 data, 3 the end.
pub fn chunk(kind: u8, (incarnation, offset): (u64, u64), data: &[u8]) -> Vec<u8> {
    let kind = match kind {
        1 => ChunkKind::Meta,
        2 => ChunkKind::Data,
        _ => ChunkKind::End,
    };
    encode_chunk(incarnation, offset, kind, data)
}
