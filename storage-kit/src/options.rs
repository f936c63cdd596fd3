//! The bounds of a batch.

use std::time::Duration;

/// How a [`GroupCommit`](crate::GroupCommit) batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupCommitOptions {
    /// A batch takes no further save once it holds this many bytes ([`Save::size_bytes`](crate::Save::size_bytes)). A
    /// single save may be larger: it is a batch of its own.
    pub max_batch_bytes: u64,
    /// The most saves in one batch; 0 counts as 1.
    pub max_batch_saves: usize,
    /// How long nothing must have been saved after a commit for [`BatchWriter::idle`](crate::BatchWriter::idle) to be
    /// called; `None`: never.
    pub idle_after: Option<Duration>,
}

impl Default for GroupCommitOptions {
    /// 4 MiB, 1,024 saves, 50 ms.
    fn default() -> GroupCommitOptions {
        GroupCommitOptions {
            max_batch_bytes: 4 * 1024 * 1024,
            max_batch_saves: 1024,
            idle_after: Some(Duration::from_millis(50)),
        }
    }
}
