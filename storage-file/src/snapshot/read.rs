//! Reading the published snapshot: one verified chunk at a time, off the runtime's threads.

use bytes::Bytes;
use eraft_core::{Result, SnapshotReader};
use eraft_storage_kit::blocking;
use futures_util::{StreamExt, stream};

use super::{
    file::SnapshotFile,
    format::{ChunkKind, read_chunk},
};
use crate::error;

/// How far a reader has come.
#[derive(Debug)]
pub(crate) struct Cursor {
    file: SnapshotFile,
    offset: u64,
    left_bytes: u64,
}

/// The whole of `file` as a stream. It keeps the file open, so a newer snapshot takes nothing away from it.
pub(crate) fn reader(file: SnapshotFile) -> SnapshotReader {
    let (meta, size_bytes) = (file.meta.clone(), file.size_bytes);
    let cursor = Cursor::new(file);
    // An error ends the stream: nothing behind damage is handed out.
    let chunks = stream::try_unfold(cursor, |cursor| blocking(move || cursor.next()));
    SnapshotReader { meta, size_bytes, chunks: chunks.boxed() }
}

impl Cursor {
    pub(crate) fn new(file: SnapshotFile) -> Cursor {
        Cursor { offset: file.first_data, left_bytes: file.size_bytes, file }
    }

    /// The next bytes, and what is behind them. Blocks.
    pub(crate) fn next(mut self) -> Result<Option<(Bytes, Cursor)>> {
        let SnapshotFile { file, path, incarnation, .. } = &self.file;
        let (kind, data, next) = read_chunk(file.as_ref(), path, *incarnation, self.offset)?;
        let expected = if self.left_bytes == 0 { ChunkKind::End } else { ChunkKind::Data };
        if kind != expected || (kind == ChunkKind::Data && data.len() as u64 > self.left_bytes) {
            let detail = format!("a chunk of kind {kind:?}; expected {expected:?} with {} bytes left", self.left_bytes);
            return Err(error::corrupt(path, self.offset, detail));
        }
        if kind == ChunkKind::End {
            return Ok(None);
        }
        self.left_bytes -= data.len() as u64;
        self.offset = next;
        Ok(Some((data, self)))
    }
}
