//! Plain files on real file systems pass the suite, with real kills, power cuts and failing system calls: each store is
//! held by another process.
#![allow(clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use async_trait::async_trait;
use eraft_conformance::{
    Engine,
    remote::{Location, Opener},
};
use eraft_core::{ClusterId, Expected, Identity, NodeId, Result};
use eraft_storage_file::{FileEngine, FileOptions, fs::real::RealFs};
use eraft_storage_kit::GroupCommitOptions;

eraft_conformance::engine!(Open(FileEngine));

struct Files;

/// Small files, so that a case fills several; the last batch is confirmed at close, not by the clock.
fn options(at: &Location) -> FileOptions {
    let mut random = fastrand::Rng::with_seed(at.seed);
    FileOptions {
        segment_bytes: [16, 32, 64][random.usize(..3)] * 1024,
        commit: GroupCommitOptions {
            idle_after: None,
            max_batch_saves: [1, 3, 1024][random.usize(..3)],
            ..GroupCommitOptions::default()
        },
        ..FileOptions::default()
    }
}

#[async_trait]
impl Opener for Files {
    async fn create(&self, at: &Location, cluster: ClusterId, node: NodeId) -> Result<Identity> {
        FileEngine::create_with(Arc::new(RealFs), &at.directory, cluster, node, options(at))
    }

    async fn open(&self, at: &Location, expected: Expected) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Open(FileEngine::open_with(Arc::new(RealFs), &at.directory, expected, options(at))?)))
    }
}

eraft_conformance::remote_conformance!(Files);
