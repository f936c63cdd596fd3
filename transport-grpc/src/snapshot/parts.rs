//! What a snapshot is made of on the wire, and the one place where both sides count and check it.
//!
//! It takes bytes from peers: it never panics, and believes nothing that it can check.

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use eraft_core::{LogIndex, SnapshotMeta, Term, codec};

use crate::proto::{Hello, SnapshotChunk, SnapshotEnd, SnapshotFrame, SnapshotOpening, snapshot_frame::Part};

/// The longest metadata: a configuration of thousands of members with their addresses.
const MAX_META_BYTES: usize = 512 << 10;

/// No file is longer; lengths beyond it are nonsense, and sums of two never overflow.
const MAX_SIZE_BYTES: u64 = i64::MAX as u64;

/// Why what came is no part of a snapshot: what was expected, what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Damaged(pub(crate) String);

/// What precedes the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) term: Term,
    pub(crate) meta: SnapshotMeta,
    pub(crate) size_bytes: u64,
}

impl Header {
    pub(crate) fn encode(&self, hello: Hello) -> SnapshotOpening {
        let (term, size_bytes) = (self.term.0, self.size_bytes);
        SnapshotOpening { hello: Some(hello), term, meta: codec::encode(&self.meta), size_bytes }
    }

    /// The header of an opening whose hello has been judged already.
    pub(crate) fn decode(opening: &SnapshotOpening) -> Result<Header, Damaged> {
        let SnapshotOpening { hello: _, term, meta, size_bytes } = opening;
        let damaged = |text: String| Err(Damaged(text));
        if meta.len() > MAX_META_BYTES {
            return damaged(format!("the metadata takes {} bytes, expected at most {MAX_META_BYTES}", meta.len()));
        }
        let meta: SnapshotMeta = codec::decode(meta).map_err(|error| Damaged(error.to_string()))?;
        if meta.last.index == LogIndex::ZERO || meta.last.index > LogIndex::MAX {
            return damaged(format!("its last index is {}, expected 1 to {}", meta.last.index, LogIndex::MAX));
        }
        if meta.last.term > Term(*term) {
            return damaged(format!("its last entry is {}, but its sender is in term {term}", meta.last));
        }
        if !meta.conf_state.is_valid() {
            return damaged(
                "its configuration is none: a voter is missing, or the sets of members disagree".to_owned(),
            );
        }
        if *size_bytes > MAX_SIZE_BYTES {
            return damaged(format!("it announces {size_bytes} bytes, expected at most {MAX_SIZE_BYTES}"));
        }
        Ok(Header { term: Term(*term), meta, size_bytes: *size_bytes })
    }
}

/// What has passed of one snapshot; both sides keep one, and they agree at every chunk or the snapshot is dropped.
///
/// Invariant: `passed_bytes <= size_bytes`.
#[derive(Debug)]
pub(crate) struct Tally {
    /// As announced.
    size_bytes: u64,
    passed_bytes: u64,
    /// Over all that has passed.
    whole: Digest,
}

impl Tally {
    pub(crate) fn new(size_bytes: u64) -> Tally {
        Tally { size_bytes, passed_bytes: 0, whole: Digest::new(CrcAlgorithm::Crc32Iscsi) }
    }

    /// The sender's: the next chunk.
    pub(crate) fn chunk(&mut self, data: Bytes) -> Result<SnapshotChunk, Damaged> {
        let offset = self.passed_bytes;
        self.pass(&data)?;
        Ok(SnapshotChunk { offset, crc32c: crc_fast::crc32_iscsi(&data), data })
    }

    /// The sender's: the end mark, once everything has passed.
    pub(crate) fn end(&self) -> Result<SnapshotEnd, Damaged> {
        self.is_whole()?;
        Ok(SnapshotEnd { size_bytes: self.passed_bytes, crc32c: crc32c_of(&self.whole) })
    }

    /// The receiver's: what the next frame brings; `None` at the end that the sender has marked.
    pub(crate) fn check(&mut self, frame: Option<SnapshotFrame>, max_bytes: usize) -> Result<Option<Bytes>, Damaged> {
        match frame.map(|frame| frame.part) {
            Some(Some(Part::Chunk(chunk))) => self.check_chunk(chunk, max_bytes).map(Some),
            Some(Some(Part::End(end))) => self.check_end(&end).map(|()| None),
            Some(_) => Err(Damaged("a frame is neither chunk nor end".to_owned())),
            None => Err(Damaged("the stream stops before its end mark".to_owned())),
        }
    }

    /// The bytes of `chunk`, if it is the next one and intact.
    fn check_chunk(&mut self, chunk: SnapshotChunk, max_bytes: usize) -> Result<Bytes, Damaged> {
        let SnapshotChunk { offset, crc32c, data } = chunk;
        if data.is_empty() || data.len() > max_bytes {
            return Err(Damaged(format!(
                "the chunk at {offset} has {} bytes, expected 1 to {max_bytes} (max_snapshot_chunk_bytes)",
                data.len()
            )));
        }
        if offset != self.passed_bytes {
            return Err(Damaged(format!("a chunk begins at {offset}, expected {}", self.passed_bytes)));
        }
        let found = crc_fast::crc32_iscsi(&data);
        if found != crc32c {
            return Err(Damaged(format!(
                "the checksum of the chunk at {offset} is {found:08x}, expected {crc32c:08x}"
            )));
        }
        self.pass(&data)?;
        Ok(data)
    }

    /// Whether what has passed is all of it.
    fn check_end(&self, end: &SnapshotEnd) -> Result<(), Damaged> {
        self.is_whole()?;
        if end.size_bytes != self.passed_bytes {
            return Err(Damaged(format!("{} bytes came, and it ends at {}", self.passed_bytes, end.size_bytes)));
        }
        let found = crc32c_of(&self.whole);
        if found != end.crc32c {
            return Err(Damaged(format!("the checksum of the whole is {found:08x}, expected {:08x}", end.crc32c)));
        }
        Ok(())
    }

    fn pass(&mut self, data: &Bytes) -> Result<(), Damaged> {
        let (size_bytes, passed_bytes) = (self.size_bytes, self.passed_bytes.saturating_add(data.len() as u64));
        if passed_bytes > size_bytes {
            return Err(Damaged(format!("it has {size_bytes} bytes as announced, and {passed_bytes} came")));
        }
        self.passed_bytes = passed_bytes;
        self.whole.update(data);
        Ok(())
    }

    fn is_whole(&self) -> Result<(), Damaged> {
        if self.passed_bytes != self.size_bytes {
            return Err(Damaged(format!("it ends after {} of {} bytes", self.passed_bytes, self.size_bytes)));
        }
        Ok(())
    }
}

fn crc32c_of(digest: &Digest) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "a CRC-32 in a wider type")]
    let crc = digest.finalize() as u32;
    crc
}
