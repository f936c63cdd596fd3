//! A three-node key-value cluster on plain files, or one node of it.
//!
//! ```text
//! cargo run --release --example file_node            # three nodes on loopback, data in ./eraft-data
//! cargo run --release --example file_node -- --help
//! ```
//!
//! All that is particular to this backend is below. The service is in `examples/kv`, the set-up in `examples/cluster`;
//! the nodes of other backends share both.

#![allow(unreachable_pub, reason = "in a program, `pub` says what a module offers to the others")]

mod cluster;
mod kv;

use std::{path::Path, process::ExitCode, sync::Arc};

use eraft::{ClusterId, Expected, Identity, NodeId, Storage, StorageError, file::FileStorage};

struct Files;

#[async_trait::async_trait]
impl cluster::Backend for Files {
    async fn create(&self, dir: &Path, cluster: ClusterId, node: NodeId) -> Result<Identity, StorageError> {
        FileStorage::create(dir, cluster, node)
    }

    async fn open(&self, dir: &Path) -> Result<Arc<dyn Storage>, StorageError> {
        Ok(Arc::new(FileStorage::open(dir, Expected::any())?))
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    cluster::main(&Files).await
}
