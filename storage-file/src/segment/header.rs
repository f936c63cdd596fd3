//! The first block of every file of the store: what the file is, whose it is, and in which version it is written.
//!
//! Its magic, its version and its checksum stand at the same places in every version to come, so that a newer file is
//! told from a damaged one: an honest block of another version is `Incompatible`, anything else is `Corrupt`.

use std::path::Path;

use eraft_core::{ClusterId, Identity, NodeId, Result, StoreId};

use super::bytes::{Fields, Seed, checksum};
use crate::error;

/// The version of the formats that this build reads and writes.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// The length of the block.
pub(crate) const HEADER_BYTES: usize = 4096;

/// Where the checksum of the block stands: over everything before it.
const CRC_AT: usize = HEADER_BYTES - 4;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileType {
    /// A segment of the log.
    Segment,
    /// A snapshot.
    Snapshot,
}

impl FileType {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            FileType::Segment => b"eRaftWAL",
            FileType::Snapshot => b"eRaftSNP",
        }
    }
}

/// What the block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) identity: Identity,
    /// Drawn at random for this very file: the seed of its checksums.
    pub(crate) incarnation: u64,
    /// A segment's number; the group of a snapshot.
    pub(crate) number: u64,
    /// A segment's length in bytes, this block included; 0 for a snapshot, whose end is marked.
    pub(crate) len_bytes: u64,
}

impl Header {
    pub(crate) fn encode(&self, file_type: FileType) -> Vec<u8> {
        let mut block = Vec::with_capacity(HEADER_BYTES);
        block.extend_from_slice(file_type.magic());
        block.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        block.extend_from_slice(&0_u32.to_le_bytes());
        for field in [
            self.identity.cluster.0,
            self.identity.node.0,
            self.identity.store.0,
            self.incarnation,
            self.number,
            self.len_bytes,
        ] {
            block.extend_from_slice(&field.to_le_bytes());
        }
        block.resize(CRC_AT, 0);
        let crc = checksum(Seed(0, 0), &[&block]);
        block.extend_from_slice(&crc.to_le_bytes());
        block
    }

    /// What the first block of the file at `path` says.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are no such block, `Incompatible` for one of another version.
    pub(crate) fn decode(block: &[u8], file_type: FileType, path: &Path) -> Result<Header> {
        let damaged = |detail: String| error::corrupt(path, 0, detail);
        let body = block.get(..CRC_AT).unwrap_or_default();
        let stored = block.get(CRC_AT..).and_then(|rest| Fields(rest).u32());
        let expected = checksum(Seed(0, 0), &[body]);
        if stored != Some(expected) {
            return Err(damaged(format!("the header's checksum is {stored:08x?}, expected {expected:08x}")));
        }
        let mut fields = Fields(body);
        if fields.take(8) != Some(file_type.magic()) {
            return Err(damaged(format!("this is no {file_type:?} file")));
        }
        let version = fields.u32();
        if version != Some(FORMAT_VERSION) {
            let found = version.unwrap_or_default();
            return Err(error::incompatible(
                path,
                8,
                format!("format version {found}; this build reads version {FORMAT_VERSION}"),
            ));
        }
        let parsed = (|| {
            let _reserved = fields.u32()?;
            Some(Header {
                identity: Identity {
                    cluster: ClusterId(fields.u64()?),
                    node: NodeId(fields.u64()?),
                    store: StoreId(fields.u64()?),
                },
                incarnation: fields.u64()?,
                number: fields.u64()?,
                len_bytes: fields.u64()?,
            })
        })();
        parsed.ok_or_else(|| damaged("the header ends early".to_owned()))
    }
}
