//! The backend passes the suite, every case of it, in a process that is really killed, on a disk whose power is really cut.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;

use async_trait::async_trait;
use eraft_conformance::{
    Engine,
    remote::{Location, Opener},
};
use eraft_core::{ClusterId, Expected, Identity, NodeId, Result};
use eraft_storage_rocksdb::{RocksEngine, RocksOptions};

eraft_conformance::remote_conformance!(RocksOpener);

struct RocksOpener;

/// Small, so that the suite sees tables being made and merged; larger under every other seed.
fn options(at: &Location) -> RocksOptions {
    let write_buffer_bytes = if at.seed % 2 == 1 { 256 << 10 } else { 1 << 20 };
    RocksOptions { write_buffer_bytes, reserve_bytes: 8 << 20, ..RocksOptions::default() }
}

#[async_trait]
impl Opener for RocksOpener {
    async fn create(&self, at: &Location, cluster: ClusterId, node: NodeId) -> Result<Identity> {
        RocksEngine::create_with(&at.directory, cluster, node, options(at))
    }

    async fn open(&self, at: &Location, expected: Expected) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Open(RocksEngine::open_with(&at.directory, expected, options(at))?)))
    }

    /// RocksDB's log, by which saves are durable: its own threads, which merge tables now and then, may meet what was meant
    /// for a save, and then the save succeeds. (`driven` fails their calls, too.)
    fn can_fail(&self, file: &Path) -> bool {
        file.extension().is_some_and(|extension| extension == "log")
    }

    fn holds_data(&self, file: &Path) -> bool {
        !file.ends_with("RESERVE")
    }
}

eraft_conformance::engine!(Open(RocksEngine));
