//! The driver of stores in files.

use std::{path::Path, sync::Arc, time::Duration};

use eraft_conformance::driven::Backend;
use eraft_core::{ClusterId, Expected, NodeId, Result, Storage};
use eraft_storage_file::{FileOptions, FileStorage, fs::real::RealFs};
use eraft_storage_kit::GroupCommitOptions;

/// Small segments, so that what befalls a process often meets one being made or left.
pub(crate) struct Files {
    pub(crate) idle_after: Option<Duration>,
}

impl Files {
    fn options(&self) -> FileOptions {
        FileOptions {
            segment_bytes: 64 * 1024,
            commit: GroupCommitOptions { idle_after: self.idle_after, ..GroupCommitOptions::default() },
            ..FileOptions::default()
        }
    }
}

impl Backend for Files {
    fn create(&self, dir: &Path, cluster: ClusterId, node: NodeId) -> Result<()> {
        FileStorage::create_with(Arc::new(RealFs), dir, cluster, node, self.options()).map(|_identity| ())
    }

    fn open(&self, dir: &Path, expected: Expected) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(FileStorage::open_with(Arc::new(RealFs), dir, expected, self.options())?))
    }
}
