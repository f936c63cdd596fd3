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

use std::{collections::BTreeSet, sync::Arc};

pub use eraft_core::*;
pub use eraft_metrics_kit::Metric;
pub use eraft_node::*;
// Not the core's, which only makes the first save, but the node's, which also checks the store and awaits the receipt.
pub use eraft_node::bootstrap;

/// Plain files: a segmented write-ahead log and snapshot files.
#[cfg(feature = "file")]
pub use eraft_storage_file as file;
/// RocksDB: column families for state, log and snapshots.
#[cfg(feature = "rocksdb")]
pub use eraft_storage_rocksdb as rocksdb;
/// Snapshots in object storage, over any other storage for log and state.
#[cfg(feature = "s3")]
pub use eraft_storage_s3 as s3;
/// gRPC between nodes.
#[cfg(feature = "grpc")]
pub use eraft_transport_grpc as grpc;

#[cfg(feature = "s3")]
mod s3_url;

/// Creates the store that `url` names for `node` of `cluster`, once: `file:///path` (feature `file`) or `rocksdb:///path`
/// (feature `rocksdb`). What follows the two slashes is the path as it is, absolute. Blocks while it works on the disk, as
/// the backend does: on a runtime that has other work, call it where blocking is fine.
///
/// `s3+file:///path?bucket=name` (feature `s3`), or the same over `rocksdb`, keeps the snapshots in a bucket and everything
/// else at the path; `&prefix=folder`, `&endpoint=https://host:port`, `&region=name`, `&allow_http=true`, `&fencing=off` and
/// `&inline_over_bytes=number` may follow, as they are: nothing is decoded. Credentials come from the environment, a profile file or the platform
/// (`s3::BucketOptions`). Creating and opening ask nothing of the bucket.
///
/// # Errors
/// As the backend's own `create`; `Invalid` where this build has no backend for `url`, naming the feature that brings it.
pub async fn create(url: &str, cluster: ClusterId, node: NodeId) -> Result<Identity> {
    #[cfg(feature = "s3")]
    if s3_url::is_one(url) {
        return s3_url::create(url, cluster, node).await;
    }
    create_local(url, cluster, node)
}

fn create_local(url: &str, cluster: ClusterId, node: NodeId) -> Result<Identity> {
    match url.split_once("://") {
        #[cfg(feature = "file")]
        Some(("file", path)) if path.starts_with('/') => file::FileStorage::create(path, cluster, node),
        #[cfg(feature = "rocksdb")]
        Some(("rocksdb", path)) if path.starts_with('/') => rocksdb::RocksStorage::create(path, cluster, node),
        _ => Err(no_backend(url, &(cluster, node))),
    }
}

/// Opens the store that [`create`] made at `url`; never initialises. Blocks as [`create`] does, for as long as recovery
/// takes. One with its snapshots in a bucket is opened within a tokio runtime.
///
/// # Errors
/// As the backend's own `open`; `Invalid` where this build has no backend for `url`, naming the feature that brings it.
pub async fn open(url: &str, expected: Expected) -> Result<Arc<dyn Storage>> {
    #[cfg(feature = "s3")]
    if s3_url::is_one(url) {
        return s3_url::open(url, expected).await;
    }
    match url.split_once("://") {
        #[cfg(feature = "file")]
        Some(("file", path)) if path.starts_with('/') => Ok(Arc::new(file::FileStorage::open(path, expected)?)),
        #[cfg(feature = "rocksdb")]
        Some(("rocksdb", path)) if path.starts_with('/') => Ok(Arc::new(rocksdb::RocksStorage::open(path, expected)?)),
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
        #[cfg(feature = "rocksdb")]
        rocksdb::metrics(),
        #[cfg(feature = "s3")]
        s3::metrics(),
        #[cfg(feature = "grpc")]
        grpc::metrics(),
    ];
    // Backends share what their writer threads tell.
    let mut names = BTreeSet::new();
    of_each.into_iter().flatten().filter(|metric| names.insert(metric.name)).collect()
}

/// What a URL may begin with, which is also the feature that brings the backend; whether this build has it; what follows.
const SCHEMES: [(&str, bool, &str); 3] = [
    ("file", cfg!(feature = "file"), "file:///absolute/path"),
    ("rocksdb", cfg!(feature = "rocksdb"), "rocksdb:///absolute/path"),
    ("s3", cfg!(feature = "s3"), "s3+file:///absolute/path?bucket=NAME"),
];

fn no_backend(url: &str, wanted: &dyn std::fmt::Debug) -> StorageError {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    // A bucket keeps snapshots alone, so that its name stands before another.
    let scheme = if scheme.starts_with("s3+") { "s3" } else { scheme };
    let why = match SCHEMES.iter().find(|(known, ..)| *known == scheme) {
        Some((_, true, form)) => format!("expected an absolute path, as in {form}"),
        Some((feature, false, _)) => format!(
            "the backend is not compiled in; build with the feature `{feature}` of eraft: features = [\"{feature}\"] in \
             Cargo.toml, or cargo's --features {feature}"
        ),
        None => {
            let known = SCHEMES.map(|(scheme, _, form)| format!("{form}, with the feature `{scheme}`"));
            format!("no backend has that name; expected {}", known.join(", or "))
        }
    };
    StorageError::invalid(format!("{:?} ({wanted:?}): {why}", shown(url)))
}

/// A URL as an error may show it: what follows a `?`, and what comes before an `@` where no path begins, may be credentials
/// that somebody took to belong there.
fn shown(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(place, _)| place);
    match url.split_once("://") {
        Some((scheme, rest)) if !rest.starts_with('/') && rest.contains('@') => format!("{scheme}://..."),
        _ => url.to_owned(),
    }
}

/// README's examples compile and run as tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
