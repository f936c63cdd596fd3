//! The bytes of a snapshot file: the header block, then chunks, each with its own checksum.

use std::{io, path::Path};

use bytes::Bytes;
use eraft_core::Result;

use crate::{
    error,
    fs::{FsFile, read_exact_at},
    segment::bytes::{Fields, Seed, checksum},
};

/// Where the first chunk begins: after the header block.
pub(crate) const FIRST_CHUNK: u64 = 4096;

/// Length of what stands before a chunk's bytes.
pub(crate) const CHUNK_HEADER_BYTES: usize = 12;

/// The most that a chunk holds, and so the most that reading allocates before it has verified anything.
pub(crate) const MAX_CHUNK_BYTES: usize = 1 << 20;

/// How much data the writer gathers into one chunk.
pub(crate) const DATA_CHUNK_BYTES: usize = 256 << 10;

/// Length of the last chunk, header included.
pub(crate) const END_CHUNK_BYTES: u64 = CHUNK_HEADER_BYTES as u64 + 8;

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkKind {
    /// The first one: what the snapshot stands for, as versioned MessagePack.
    Meta = 1,
    /// The snapshot's bytes.
    Data = 2,
    /// The last one: how many bytes of data there are in all.
    End = 3,
}

/// A chunk for `offset` of the file with this incarnation.
pub(crate) fn encode_chunk(incarnation: u64, offset: u64, kind: ChunkKind, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CHUNK_HEADER_BYTES + data.len());
    bytes.extend_from_slice(&(kind as u32).to_le_bytes());
    // Bounded by the callers: no chunk is longer than `MAX_CHUNK_BYTES`.
    bytes.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes());
    let crc = checksum(Seed(incarnation, offset), &[&bytes, data]);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// The verified chunk at `offset`, and where the next one begins.
pub(crate) fn read_chunk(
    file: &dyn FsFile,
    path: &Path,
    incarnation: u64,
    offset: u64,
) -> Result<(ChunkKind, Bytes, u64)> {
    let mut header = [0; CHUNK_HEADER_BYTES];
    read(file, path, &mut header, offset)?;
    let mut fields = Fields(&header);
    let (kind, length, crc) =
        (fields.u32().unwrap_or_default(), fields.u32().unwrap_or_default(), fields.u32().unwrap_or_default());
    let length = length as usize;
    if length > MAX_CHUNK_BYTES {
        let detail = format!("a chunk of {length} bytes; expected {MAX_CHUNK_BYTES} at most");
        return Err(error::corrupt(path, offset, detail));
    }
    let mut data = vec![0; length];
    read(file, path, &mut data, offset + CHUNK_HEADER_BYTES as u64)?;
    let covered = header.get(..CHUNK_HEADER_BYTES - 4).unwrap_or_default();
    let expected = checksum(Seed(incarnation, offset), &[covered, &data]);
    let kind = match kind {
        1 => ChunkKind::Meta,
        2 => ChunkKind::Data,
        3 => ChunkKind::End,
        _ => return Err(error::corrupt(path, offset, format!("a chunk of kind {kind}; expected 1 to 3"))),
    };
    if crc != expected {
        let detail = format!("the chunk's checksum is {crc:08x}, expected {expected:08x}");
        return Err(error::corrupt(path, offset, detail));
    }
    let next = offset + (CHUNK_HEADER_BYTES + length) as u64;
    Ok((kind, Bytes::from(data), next))
}

/// Fills `bytes` from `offset` on.
pub(crate) fn read(file: &dyn FsFile, path: &Path, bytes: &mut [u8], offset: u64) -> Result<()> {
    let wanted = bytes.len();
    read_exact_at(file, bytes, offset).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            error::corrupt(path, offset, format!("the file ends within {wanted} bytes from here"))
        }
        _ => error::io("reading a snapshot", path, error),
    })
}
