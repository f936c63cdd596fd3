//! eRaft: consensus for your own service, on storage whose durability is proven.
//!
//! This crate is the door: it re-exports the pieces and holds no logic. Plug in a [`StateMachine`], pick a backend by a
//! cargo feature and a URL, and a [`Node`] never loses an acknowledged write:
//!
//! ```
//! # use std::{collections::BTreeMap, sync::Arc};
//! use eraft::grpc::{GrpcOptions, GrpcTransport};
//! use eraft::{ConfState, Entry, Expected, LogIndex, Node, NodeId, Options, snapshot_of};
//! use eraft::{SnapshotReader, SnapshotStream, StateMachine, StateMachineError};
//!
//! struct Counter(LogIndex, u64); // what you replicate: here, how many commands there were
//!
//! #[async_trait::async_trait]
//! impl StateMachine for Counter {
//!     fn last_applied(&self) -> LogIndex { self.0 }
//!     async fn apply(&mut self, entries: Vec<Entry>) -> Result<Vec<bytes::Bytes>, StateMachineError> {
//!         Ok(entries.iter().map(|entry| { self.0 = entry.index; self.1 += 1; self.1.to_string().into() }).collect())
//!     }
//!     async fn snapshot(&mut self) -> Result<SnapshotStream, StateMachineError> { Ok(snapshot_of(self.1.to_string())) }
//!     async fn restore(&mut self, from: SnapshotReader) -> Result<(), StateMachineError> {
//!         self.0 = from.meta.last.index;
//!         self.1 = String::from_utf8(from.read_all().await?)?.parse()?;
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let url = format!("file://{}/node-1", dir.path().display());
//! let me = NodeId(1);
//! let founders = ConfState::of_voters([(me, "127.0.0.1:7101".into())]);
//! let identity = eraft::create(&url, founders.founding_cluster_id("demo"), me).await?; // "file:///var/lib/demo/node-1"
//! let storage = eraft::open(&url, Expected::exactly(identity.cluster, me)).await?;
//! eraft::bootstrap(&*storage, &founders).await?; // once in the life of a founder
//! let transport = Arc::new(GrpcTransport::new(identity, BTreeMap::new(), GrpcOptions::accepting([])));
//! let node = Node::start(Options::default(), storage, transport, Box::new(Counter(LogIndex(0), 0))).await?;
//! node.watch().wait_for(|seen| seen.leader.is_some()).await?;
//! println!("command number {:?}", node.propose("hello".into()).await?); // on this disk, and applied
//! node.shutdown().await?;
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;

pub use eraft_core::*;
pub use eraft_metrics_kit::Metric;
pub use eraft_node::*;
// Not the core's, which only makes the first save, but the node's, which also checks the store and awaits the receipt.
pub use eraft_node::bootstrap;

/// Plain files: a segmented write-ahead log and snapshot files.
#[cfg(feature = "file")]
pub use eraft_storage_file as file;
/// gRPC between nodes.
#[cfg(feature = "grpc")]
pub use eraft_transport_grpc as grpc;

/// Creates the store that `url` names for `node` of `cluster`, once: `file:///path` (feature `file`). What follows
/// `file://` is the path as it is, absolute.
///
/// # Errors
/// As the backend's own `create`; `Invalid` where this build has no backend for `url`.
pub async fn create(url: &str, cluster: ClusterId, node: NodeId) -> Result<Identity> {
    match url.split_once("://") {
        #[cfg(feature = "file")]
        Some(("file", path)) if path.starts_with('/') => file::FileStorage::create(path, cluster, node),
        _ => Err(no_backend(url, &(cluster, node))),
    }
}

/// Opens the store that [`create`] made at `url`; never initialises.
///
/// # Errors
/// As the backend's own `open`; `Invalid` where this build has no backend for `url`.
pub async fn open(url: &str, expected: Expected) -> Result<Arc<dyn Storage>> {
    match url.split_once("://") {
        #[cfg(feature = "file")]
        Some(("file", path)) if path.starts_with('/') => Ok(Arc::new(file::FileStorage::open(path, expected)?)),
        _ => Err(no_backend(url, &expected)),
    }
}

/// Every metric of this build, told through the facade `metrics` to the recorder that was installed before stores,
/// transports and nodes were made; [`Metric::describe`] gives the recorder its meaning. docs/OPERATING.md lists them all.
pub fn metrics() -> Vec<Metric> {
    let of_each = [
        eraft_node::metrics(),
        #[cfg(feature = "file")]
        file::metrics(),
        #[cfg(feature = "grpc")]
        grpc::metrics(),
    ];
    of_each.into_iter().flatten().collect()
}

fn no_backend(url: &str, wanted: &dyn std::fmt::Debug) -> StorageError {
    StorageError::invalid(format!(
        "this build has no backend for {url:?} ({wanted:?}); expected file:///absolute/path, with the feature `file`"
    ))
}

/// README's examples compile and run as tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
