//! Reading the published snapshot: one verified chunk at a time, off the runtime's threads.

use std::sync::Arc;

use bytes::Bytes;
use eraft_core::{Result, SnapshotReader};
use eraft_storage_kit::blocking;
use futures_util::{StreamExt, stream};

use super::held::Held;
use crate::{
    engine::shared::Store,
    error::corrupt_value,
    keys,
    options::Family,
    values::{self, hex},
};

/// How far a reader has come. It holds the snapshot, so a newer one takes nothing away from it.
struct Cursor {
    store: Arc<Store>,
    held: Arc<Held>,
    nth: u64,
    left_bytes: u64,
}

/// The whole of a snapshot as a stream.
pub(crate) fn reader(store: Arc<Store>, held: Arc<Held>) -> SnapshotReader {
    let (meta, size_bytes) = (held.published.meta.clone(), held.published.size_bytes);
    let cursor = Cursor { store, held, nth: 0, left_bytes: size_bytes };
    // An error ends the stream: nothing behind damage is handed out.
    let chunks = stream::try_unfold(cursor, |cursor| blocking(move || cursor.next()));
    SnapshotReader { meta, size_bytes, chunks: chunks.boxed() }
}

impl Cursor {
    /// The next bytes, and what is behind them. Blocks.
    fn next(mut self) -> Result<Option<(Bytes, Cursor)>> {
        let published = &self.held.published;
        let (id, nth) = (published.id, self.nth);
        let name = || hex(&keys::chunk(id, nth));
        if nth == published.chunks {
            return match self.left_bytes {
                0 => Ok(None),
                left => Err(corrupt_value(&name(), format!("the chunks end {left} bytes early"))),
            };
        }
        let chunk = self.store.with(|database| {
            let value = database.get(Family::Snapshot, &keys::chunk(id, nth))?;
            let value = value.ok_or_else(|| corrupt_value(&name(), "the chunk is missing"))?;
            Ok(Bytes::copy_from_slice(values::decode_chunk(self.store.identity.store, id, nth, &value)?))
        })?;
        let left = self.left_bytes.checked_sub(chunk.len() as u64);
        self.left_bytes = left.ok_or_else(|| corrupt_value(&name(), "the chunks hold more than the snapshot"))?;
        self.nth += 1;
        Ok(Some((chunk, self)))
    }
}
