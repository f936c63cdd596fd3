//! Which snapshots a bucket holds, whoever made them: what is looked at when every disk is gone.
//!
//! A snapshot is found by the copy of its manifest, which is written last: an object alone may be any part of one. A name
//! says where to look and nothing more; told is what name, manifest and the object's length agree on. Bytes are verified
//! when they are read, not here. Whether a local store ever named a snapshot does not matter: what is staged was committed.
//!
//! Memory: a few hundred bytes for each snapshot, [`MAX_LISTED`] of them, and `reads_in_flight` manifests.

use std::{cmp::Reverse, sync::Arc};

use eraft_core::{ClusterId, EntryId, GroupId, NodeId, Result, StorageError};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use tokio::runtime::Handle;

use crate::{
    Bucket, S3Options,
    client::Client,
    content::{self, MAX_CONTENT_BYTES},
    failure::{Failure, Why},
    manifest::Manifest,
    metrics::Told,
    names::{Place, folder},
    randomness::generator,
};

/// The most snapshots that are listed at once.
const MAX_LISTED: usize = 100_000;
/// How much is told of what is wrong with one: a manifest may quote itself in it.
const MAX_REASON_CHARS: usize = 500;
const DURING: &str = "listing the snapshots in a bucket";

/// A snapshot in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSnapshot {
    /// The full name of its object in the bucket.
    pub object: String,
    /// The cluster whose state it is.
    pub cluster: ClusterId,
    /// The group of that cluster.
    pub group: GroupId,
    /// The node that made it.
    pub node: NodeId,
    /// The last entry whose effect it holds.
    pub last: EntryId,
    /// Whether a cluster can be restored from it.
    pub condition: SnapshotCondition,
}

/// Whether a snapshot in a bucket can be of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotCondition {
    /// Its manifest is that of its name, and its object has the length that the manifest says. The bytes are verified when
    /// they are read.
    Complete {
        /// The bytes of the snapshot, as they were before they were compressed.
        size_bytes: u64,
    },
    /// Its object is missing, or has another length.
    Incomplete {
        /// What was found, and what was expected.
        reason: String,
    },
    /// Its manifest does not read as one, or is that of another name; what the name says is then all that is known.
    Damaged {
        /// What is wrong with it.
        reason: String,
    },
}

/// What became of a look at one snapshot.
pub(crate) enum Examined {
    /// It can be read.
    Complete(Arc<Manifest>),
    /// It cannot.
    Unusable(SnapshotCondition),
    /// It was removed: manifests go first.
    Gone,
}

/// All snapshots of all clusters, groups and nodes under `options.prefix`, the newest first: by term and index of their last
/// entry, whatever cluster they are of. A longer prefix lists one cluster (`<prefix>/<cluster>`), one group or one node of
/// it. Must be called within a tokio runtime.
///
/// # Errors
/// `Unavailable` for all that the bucket may be over with, and where more than 100,000 snapshots are there; `Invalid` for
/// options out of bounds, and outside a runtime.
pub async fn list_snapshots(bucket: Arc<dyn Bucket>, options: &S3Options) -> Result<Vec<BucketSnapshot>> {
    let prefix = folder(&options.prefix)?;
    let client = client(&bucket, options, Told::of_nobody())?;
    let places = find(&*bucket, &client, &prefix).await?;
    let looks = stream::iter(places).map(|place| look(client.clone(), place));
    let found = looks.buffer_unordered(options.reads_in_flight).try_filter_map(|found| async { Ok(found) });
    let mut found: Vec<_> = found.try_collect().await?;
    found.sort_unstable_by(|a: &BucketSnapshot, b| newest_first(a).cmp(&newest_first(b)));
    Ok(found)
}

/// How a bucket is called that no store was opened for.
pub(crate) fn client(bucket: &Arc<dyn Bucket>, options: &S3Options, told: Told) -> Result<Client> {
    options.check()?;
    let runtime = Handle::try_current()
        .map_err(|error| StorageError::invalid(format!("a bucket is called within a tokio runtime: {error}")))?;
    let random = generator(options.seed)?;
    Ok(Client::new(Arc::clone(bucket), runtime, options.retry, options.storage_class.as_deref(), random, told))
}

fn newest_first(snapshot: &BucketSnapshot) -> impl Ord + '_ {
    (Reverse(snapshot.last), snapshot.cluster, snapshot.group, snapshot.node, &snapshot.object)
}

/// Where manifests are. A listing that breaks off begins anew: not every store lists in an order that could be gone on in.
async fn find(bucket: &dyn Bucket, client: &Client, prefix: &Path) -> Result<Vec<Place>> {
    let mut tries = client.tries();
    loop {
        match find_once(bucket, client, prefix).await {
            Ok(places) => return Ok(places),
            Err(failure) => tries.again(failure).await.map_err(|failure| failure.unavailable(DURING, prefix))?,
        }
    }
}

async fn find_once(bucket: &dyn Bucket, client: &Client, prefix: &Path) -> std::result::Result<Vec<Place>, Failure> {
    let mut listed = bucket.list(Some(prefix).filter(|prefix| !prefix.as_ref().is_empty()));
    let mut places = Vec::new();
    while let Some(object) = client.within(0, listed.try_next()).await? {
        // What else lies there is not ours to judge.
        places.extend(Place::of_manifest(&object.location));
        if places.len() > MAX_LISTED {
            let detail = format!("it holds more than {MAX_LISTED} snapshots: choose a longer prefix, of one cluster");
            return Err(Failure::lasting(detail));
        }
    }
    Ok(places)
}

async fn look(client: Client, place: Place) -> Result<Option<BucketSnapshot>> {
    let condition = match examine(&client, &place).await? {
        Examined::Complete(manifest) => SnapshotCondition::Complete { size_bytes: manifest.size_bytes },
        Examined::Unusable(condition) => condition,
        Examined::Gone => return Ok(None),
    };
    let Place { names, cluster, group, node, last, .. } = place;
    Ok(Some(BucketSnapshot { object: names.object.to_string(), cluster, group, node, last, condition }))
}

/// Looks at one snapshot: its manifest, and whether its object is there.
///
/// # Errors
/// `Unavailable` where the bucket does not say.
pub(crate) async fn examine(client: &Client, place: &Place) -> Result<Examined> {
    let mut manifest = read(client, place).await?;
    if matches!(manifest, Read::Wrong(_)) {
        // The bytes may have been changed on the way: it is damage at rest when they come back wrong again.
        manifest = read(client, place).await?;
    }
    let manifest = match manifest {
        Read::Right(manifest) => manifest,
        Read::Wrong(reason) => {
            let reason = reason.chars().take(MAX_REASON_CHARS).collect();
            return Ok(Examined::Unusable(SnapshotCondition::Damaged { reason }));
        }
        Read::Gone => return Ok(Examined::Gone),
    };
    let expected = manifest.stored_bytes();
    let incomplete = |reason| Ok(Examined::Unusable(SnapshotCondition::Incomplete { reason }));
    match client.size_bytes(&place.names.object).await {
        Ok(found) if found == expected => Ok(Examined::Complete(manifest)),
        Ok(found) => incomplete(format!("its object has {found} bytes, expected {expected}")),
        Err(failure) if failure.why == Why::Absent => incomplete("its object is missing".to_owned()),
        Err(failure) => Err(failure.unavailable(DURING, &place.names.object)),
    }
}

/// A manifest, as it came from the bucket.
enum Read {
    Right(Arc<Manifest>),
    Wrong(String),
    Gone,
}

async fn read(client: &Client, place: &Place) -> Result<Read> {
    let path = &place.names.manifest;
    let failed = |failure: Failure| match failure.why {
        Why::Absent => Ok(Read::Gone),
        _ => Err(failure.unavailable(DURING, path)),
    };
    let length = match client.size_bytes(path).await {
        // None has none, and of nothing no range can be read.
        Ok(length) if !(1..=MAX_CONTENT_BYTES).contains(&length) => {
            return Ok(Read::Wrong(format!("its manifest has {length} bytes; expected 1 to {MAX_CONTENT_BYTES}")));
        }
        Ok(length) => length,
        Err(failure) => return failed(failure),
    };
    let bytes = match client.get(path, length).await {
        Ok(bytes) => bytes,
        Err(failure) => return failed(failure),
    };
    let agreed = content::manifest(&bytes).and_then(|manifest| place.check(&manifest).map(|()| manifest));
    Ok(agreed.map_or_else(Read::Wrong, Read::Right))
}
