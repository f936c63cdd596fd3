//! A cluster from a bucket alone: the state of a lost one, under one voter of a new one.
//!
//! The new cluster has an id of its own, drawn at random, so that nothing of the old one that may still be about is ever
//! taken for its own; and a copy of the snapshot of its own, in its own folder, so that neither can remove what the other
//! needs. Everything comes into force by one save of the fresh local store, as any other snapshot does: whenever this
//! ends before, that store is blank, and a blank store never starts.

use std::sync::Arc;

use bytes::Bytes;
use eraft_core::{
    ClusterId, ConfState, HardState, LogChange, NodeId, RaftState, RaftStateUpdate, Result, SnapshotMeta,
    SnapshotWriter, Storage, StorageError, StorageErrorKind,
};
use futures_util::{StreamExt as _, stream::BoxStream};
use object_store::path::Path;

use crate::{
    Bucket, BucketSnapshot, S3Options, S3Storage, SnapshotCondition,
    client::Client,
    download,
    listing::{Examined, client, examine},
    manifest::Manifest,
    metrics::Told,
    names::Place,
};

const DURING: &str = "restoring a cluster";

/// Makes a cluster of one voter whose state is that of `snapshot`, one of [`list_snapshots`](crate::list_snapshots), chosen
/// by hand or by [`SnapshotChoice`](crate::SnapshotChoice). Must be called within a tokio runtime.
///
/// `create` makes the voter's local store, fresh and under the cluster id that it is given, and opens it. `voter` is the
/// node's id with what the configuration is to say of it, usually its addresses. The snapshot is read, verified and
/// written into the new cluster's own folder under `options.prefix`; `progress` is told how many of its bytes were. A node
/// started on what comes back elects itself, and has all that the snapshot holds and nothing that came after it.
///
/// Where this fails or is given up, what `create` made is blank, or whole where that befell the save that ends it. Either
/// way the caller removes it before the next try.
///
/// ```
/// # use std::sync::Arc;
/// # use bytes::Bytes;
/// # use eraft_core::*;
/// # use eraft_storage_s3::{Bucket, S3Options, S3Storage};
/// use eraft_storage_s3::{SnapshotChoice, list_snapshots, restore_cluster};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// # let bucket: Arc<dyn Bucket> = Arc::new(object_store::memory::InMemory::new());
/// # let disk = MemoryDisk::new(7);
/// # MemoryStorage::create(&disk, ClusterId(1), NodeId(1))?;
/// # let options = S3Options { prefix: "raft".into(), ..S3Options::default() };
/// # let local = MemoryStorage::open(&disk, Expected::any())?;
/// # let storage = S3Storage::over(local, GroupId::ZERO, Arc::clone(&bucket), options.clone()).await?;
/// # let append = LogChange::Append(vec![Entry::command(Term(1), LogIndex(1), "x=1")]);
/// # storage.save_raft_state(RaftStateUpdate { hard_state: None, log: append }).await?;
/// # let conf_state = ConfState::of_voters([(NodeId(1), Bytes::new())]);
/// # let mut writer = storage.stage_snapshot(SnapshotMeta { last: EntryId::new(1, 1), conf_state }).await?;
/// # writer.write(Bytes::from_static(b"x=1")).await?;
/// # let staged = writer.finish().await?;
/// # storage.save_state_and_snapshot(RaftStateUpdate::default(), staged).await?;
/// // Every disk is gone; `bucket` and `options` are those that the nodes had.
/// let found = list_snapshots(Arc::clone(&bucket), &options).await?;
/// let newest = SnapshotChoice::default().of(&found)?;
///
/// let fresh = MemoryDisk::new(8); // in production: a directory, made by `FileStorage::create`
/// let create = |cluster, node| async move {
///     MemoryStorage::create(&fresh, cluster, node)?;
///     MemoryStorage::open(&fresh, Expected::exactly(cluster, node))
/// };
/// let voter = (NodeId(1), Bytes::from_static(b"127.0.0.1:7101"));
/// let storage = restore_cluster(bucket, newest, voter, options, create, |bytes| println!("{bytes} bytes")).await?;
/// assert_eq!(storage.read_snapshot().await?.unwrap().read_all().await?, b"x=1");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `Corrupt` for a snapshot that is incomplete or damaged, found before `create` is called or while its bytes are read;
/// `NotInitialised` where it is gone; `Invalid` where `create` made another store than it was told to, or one that is not
/// blank, and for options out of bounds; `Unavailable` where the bucket is away; what the local store answers.
pub async fn restore_cluster<L, F>(
    bucket: Arc<dyn Bucket>,
    snapshot: &BucketSnapshot,
    voter: (NodeId, Bytes),
    options: S3Options,
    create: impl FnOnce(ClusterId, NodeId) -> F,
    progress: impl FnMut(u64),
) -> Result<S3Storage<L>>
where
    L: Storage,
    F: Future<Output = Result<L>>,
{
    let (node, _) = voter;
    let client = client(&bucket, &options, Told::new(node, snapshot.group))?;
    let manifest = complete(&client, snapshot).await?;
    let cluster = ClusterId(client.draw());
    let local = create(cluster, node).await?;
    check_fresh(&local.read_raft_state().await?, cluster, node)?;

    let last = manifest.meta.last;
    let bytes = download::chunks(client, manifest, &options);
    let store = S3Storage::over(local, snapshot.group, bucket, options).await?;
    let conf_state = ConfState::of_voters([voter]);
    let mut writer = store.stage_snapshot(SnapshotMeta { last, conf_state }).await?;
    if let Err(error) = copy(bytes, &mut *writer, progress).await {
        // Nothing is named yet; that it failed is what is told, not that cleaning up did as well.
        drop(writer.abort().await);
        return Err(error);
    }
    let staged = writer.finish().await?;
    let hard_state = Some(HardState { term: last.term, vote: None, commit: last.index });
    let update = RaftStateUpdate { hard_state, log: LogChange::Reset { base: last } };
    store.save_state_and_snapshot(update, staged).await?;
    Ok(store)
}

/// The manifest of a snapshot that is complete now, whatever a listing said.
async fn complete(client: &Client, snapshot: &BucketSnapshot) -> Result<Arc<Manifest>> {
    let refused = |kind, what: &str| {
        Err(StorageError::new(kind, DURING, format!("{}: {what}; choose another snapshot", snapshot.object)))
    };
    let place = Path::parse(&snapshot.object).ok().and_then(|object| Place::of_object(&object));
    let Some(place) = place else {
        return refused(StorageErrorKind::Invalid, "no snapshot has such a name");
    };
    match examine(client, &place).await? {
        Examined::Complete(manifest) if manifest.group == snapshot.group => Ok(manifest),
        Examined::Complete(_) => refused(StorageErrorKind::Invalid, "it is of another group than was said"),
        Examined::Unusable(SnapshotCondition::Incomplete { reason } | SnapshotCondition::Damaged { reason }) => {
            refused(StorageErrorKind::Corrupt, &reason)
        }
        Examined::Unusable(SnapshotCondition::Complete { .. }) | Examined::Gone => {
            refused(StorageErrorKind::NotInitialised, "it is not there any more")
        }
    }
}

/// Nothing may be overwritten, and nothing but the new cluster's own id keeps the old one's nodes apart from it.
fn check_fresh(state: &RaftState, cluster: ClusterId, node: NodeId) -> Result<()> {
    let found = state.identity;
    if (found.cluster, found.node) != (cluster, node) || !state.is_blank() {
        return Err(StorageError::invalid(format!(
            "a cluster is restored into a fresh store of node {node} of cluster {cluster}; found one of node {} of \
             cluster {}{}",
            found.node,
            found.cluster,
            if state.is_blank() { "" } else { ", and it is not blank" }
        )));
    }
    Ok(())
}

async fn copy(
    mut bytes: BoxStream<'static, Result<Bytes>>,
    writer: &mut dyn SnapshotWriter,
    mut progress: impl FnMut(u64),
) -> Result<()> {
    let mut copied = 0;
    while let Some(chunk) = bytes.next().await {
        let chunk = chunk.map_err(|error| unreadable(&error))?;
        copied += chunk.len() as u64;
        writer.write(chunk).await?;
        progress(copied);
    }
    Ok(())
}

/// A reader says what a running node is to do; here there is none.
fn unreadable(error: &StorageError) -> StorageError {
    let detail = match error.kind() {
        StorageErrorKind::Corrupt => "a part of the chosen snapshot is damaged: choose another one",
        _ => "the chosen snapshot could not be read",
    };
    StorageError::with_source(error.kind(), DURING, detail, error.clone())
}
