//! A reader that notes why it was cut short: a state machine says that it could not be restored, and the store said why.

use std::sync::{Arc, OnceLock};

use eraft_core::{SnapshotReader, StorageError};
use futures_util::StreamExt as _;

/// The same snapshot, and where the error stands that ended its bytes, once one has.
pub(crate) fn noting(snapshot: SnapshotReader) -> (SnapshotReader, Arc<OnceLock<StorageError>>) {
    let noted = Arc::new(OnceLock::new());
    let note = Arc::clone(&noted);
    let SnapshotReader { meta, size_bytes, chunks } = snapshot;
    let chunks = chunks.inspect(move |chunk| {
        if let Err(error) = chunk {
            let _only_the_first_counts = note.set(error.clone());
        }
    });
    (SnapshotReader { meta, size_bytes, chunks: chunks.boxed() }, noted)
}
