//! The reference storage's environment: a memory disk and its engine.

use std::sync::Arc;

use async_trait::async_trait;
use eraft_conformance::{Capabilities, Capability, Crash, Engine, Env};
use eraft_core::{
    ClusterId, Expected, GroupId, Identity, MemoryDisk, MemoryEngine, NodeId, Result, Storage, StorageError,
    StorageErrorKind,
};

/// Puts something between the suite and a handle: nothing, or a bug.
pub(crate) type Wrap = Arc<dyn Fn(Arc<dyn Storage>) -> Arc<dyn Storage> + Send + Sync>;

pub(crate) struct MemoryEnv {
    disk: MemoryDisk,
    seed: u64,
    wrap: Wrap,
}

impl MemoryEnv {
    pub(crate) fn new(seed: u64, wrap: Wrap) -> MemoryEnv {
        MemoryEnv { disk: MemoryDisk::new(seed), seed, wrap }
    }

    fn fail(&self, what: &str) {
        self.disk.fail_next_save(StorageError::new(StorageErrorKind::Io, what, "the test asked for it"));
    }
}

#[async_trait]
impl Env for MemoryEnv {
    fn capabilities(&self) -> Capabilities {
        Capabilities::all()
            .without(Capability::PowerLoss, "memory keeps nothing without power")
            .without(Capability::FullDisk, "memory has no disk to fill")
            .without(Capability::Reserve, "memory has no disk to reserve room on")
            .without(Capability::Damage, "memory has no bytes at rest")
    }

    async fn fresh(&mut self) {
        self.seed += 1_000_000;
        self.disk = MemoryDisk::new(self.seed);
    }

    async fn create(&mut self, cluster: ClusterId, node: NodeId) -> Result<Identity> {
        MemoryEngine::create(&self.disk, cluster, node)
    }

    async fn open(&mut self, expected: Expected) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Open { engine: MemoryEngine::open(&self.disk, expected)?, wrap: Arc::clone(&self.wrap) }))
    }

    async fn crash(&mut self, crash: Crash) {
        assert_eq!(crash, Crash::Kill);
        self.disk.kill();
    }

    async fn fail_next_sync(&mut self) {
        self.fail("syncing");
    }

    async fn fail_next_write(&mut self) {
        self.fail("writing");
    }
}

struct Open {
    engine: MemoryEngine,
    wrap: Wrap,
}

#[async_trait]
impl Engine for Open {
    async fn group(&self, id: GroupId) -> Result<Arc<dyn Storage>> {
        Ok((self.wrap)(Arc::new(self.engine.group(id)?)))
    }

    async fn groups(&self) -> Result<Vec<GroupId>> {
        Ok(self.engine.groups())
    }

    async fn close(&self) -> Result<()> {
        self.engine.close()
    }
}
