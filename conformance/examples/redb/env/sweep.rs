//! The same backend under the sweep: each call of its file, failed once.

use eraft_conformance::{Engine, sweep::Backend};
use eraft_core::{ClusterId, Expected, Identity, NodeId, Result, StorageError, StoreId};

use super::{Open, file::SimFile, take};
use crate::backend::RedbEngine;

/// Makes stores in a file that counts calls and fails one.
pub(crate) struct OnFaultyFile;

impl Backend for OnFaultyFile {
    type Disk = SimFile;

    fn disk(&self, seed: u64) -> SimFile {
        SimFile::new(seed)
    }

    fn create(&self, file: &SimFile, cluster: ClusterId, node: NodeId, seed: u64) -> Result<Identity> {
        RedbEngine::create(take(file, "creating a store")?, cluster, node, StoreId(seed))
    }

    fn open(&self, file: &SimFile, expected: Expected, seed: u64) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Open(RedbEngine::open(take(file, "opening a store")?, expected, seed)?)))
    }

    /// There is one file, so what is being done says where.
    fn names_where(&self, error: &StorageError) -> bool {
        !error.during().is_empty()
    }

    /// redb syncs once more when it is dropped, and tells nobody how that went: nothing rests on it.
    fn keeps_quiet(&self, call: &'static str) -> bool {
        call == "sync_data"
    }
}
