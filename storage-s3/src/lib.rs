//! eRaft storage with its snapshots in object storage: log and state stay in any other [`eraft_core::Storage`].
//!
//! [`S3Storage`] wraps a local store. A snapshot is uploaded, read back, and described by a *manifest*; the manifest is what
//! the local store keeps as its snapshot, so publishing is the local store's own atomic save, and a crash anywhere before
//! leaves only objects that nothing names. What is read is verified chunk by chunk before it is handed on, and as a whole
//! before its last chunk is. How names and bytes lie is drawn in docs/FORMAT.md.
//!
//! ```
//! # use std::sync::Arc;
//! # use bytes::Bytes;
//! # use eraft_core::*;
//! use eraft_storage_s3::{Bucket, S3Options, S3Storage};
//! use object_store::memory::InMemory;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//!
//! // In production: `BucketOptions::new("my-bucket").connect()?`, and plain files or RocksDB below.
//! let bucket: Arc<dyn Bucket> = Arc::new(InMemory::new());
//! let disk = MemoryDisk::new(7);
//! MemoryStorage::create(&disk, ClusterId(1), NodeId(1))?;
//! let local = MemoryStorage::open(&disk, Expected::any())?;
//! let options = S3Options { prefix: "raft".into(), ..S3Options::default() };
//! let storage = S3Storage::over(local, GroupId::ZERO, bucket, options).await?;
//!
//! let append = LogChange::Append(vec![Entry::command(Term(1), LogIndex(1), "x=1")]);
//! storage.save_raft_state(RaftStateUpdate { hard_state: None, log: append }).await?;
//! let conf_state = ConfState::of_voters([(NodeId(1), Bytes::new())]);
//! let mut writer = storage.stage_snapshot(SnapshotMeta { last: EntryId::new(1, 1), conf_state }).await?;
//! writer.write(Bytes::from_static(b"x=1")).await?;
//! let staged = writer.finish().await?; // uploaded and verified, still invisible
//! let compact = LogChange::CompactTo(EntryId::new(1, 1));
//! storage.save_state_and_snapshot(RaftStateUpdate { hard_state: None, log: compact }, staged).await?;
//! assert_eq!(storage.read_snapshot().await?.unwrap().read_all().await?, b"x=1");
//! # Ok(())
//! # }
//! ```
//!
//! The modules, from the bottom up:
//!
//! - `options`, `connection`, `credentials`: what can be chosen, and the way to a bucket;
//! - `bucket`, `failure`, `client`: the calls, which of their failures can pass, and how they are repeated;
//! - `names`, `digest`, `compression`, `manifest`, `content`: names and bytes, with their bounds;
//! - `title`, `probe`, `owner`: who writes into a folder;
//! - `upload`, `stage`: a snapshot on its way in; `plan`, `fetch`, `download`: on its way out;
//! - `outage`, `inline`, `mover`: what becomes of one while the bucket is away;
//! - `in_use`, `note`, `garbage`, `collect`: what nobody needs, and how it goes;
//! - `lane`, `stages`, `storage`: the port;
//! - `listing`, `choice`, `restore`: a cluster from a bucket alone.

mod bucket;
mod choice;
mod client;
mod collect;
mod compression;
mod connection;
mod content;
mod credentials;
mod digest;
mod download;
mod failure;
mod fetch;
mod garbage;
mod in_use;
mod inline;
mod lane;
mod listing;
mod manifest;
mod metrics;
mod mover;
mod names;
mod note;
mod options;
mod outage;
mod owner;
mod plan;
mod probe;
mod randomness;
mod restore;
mod stage;
mod stages;
mod storage;
mod title;
mod upload;

pub use bucket::Bucket;
pub use choice::SnapshotChoice;
pub use collect::Garbage;
pub use compression::Compression;
pub use connection::{BucketOptions, Encryption};
pub use listing::{BucketSnapshot, SnapshotCondition, list_snapshots};
pub use metrics::metrics;
pub use options::{CollectOptions, Fencing, RetryOptions, S3Options, VerifyUpload};
pub use restore::restore_cluster;
pub use storage::S3Storage;
