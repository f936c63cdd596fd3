//! The collector: removes from a node's own folder what nobody needs.
//!
//! What is listed first is judged by who holds what after that: nothing comes to be needed that was there and that nobody held.
//! Before each batch of removals the owner is looked at again, so that whoever was paused for long removes nothing
//! after its successor has begun, but for one batch, of names that its successor never writes.
//!
//! A manifest goes before its object, since a manifest always names a whole one; an upload is aborted before its note goes.

use std::sync::Arc;

use eraft_core::{Result, StorageError};
use futures_util::TryStreamExt as _;
use object_store::{ObjectMeta, path::Path};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::{
    Fencing,
    client::Client,
    failure::Failure,
    garbage::{Keep, Seen, garbage, group},
    names::Kind,
    note,
    storage::Shared,
};

/// The most objects that one collection looks at, and so what it holds in memory: about 400 bytes each.
const MAX_LISTED: usize = 100_000;
/// The most snapshots that are removed at one look at the owner.
const BATCH: usize = 100;
const DURING: &str = "collecting what nobody needs in the bucket";

/// What nobody needs, or needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Full names of objects.
    pub objects: Vec<String>,
    /// Their bytes together.
    pub size_bytes: u64,
}

/// Collects when something was published, and not again for `every`; ends with whoever drops it.
pub(crate) async fn whenever_published(shared: Arc<Shared>, mut kept_here: watch::Receiver<bool>) {
    while kept_here.changed().await.is_ok() {
        // What comes next is that it moves to the bucket; until then that is away.
        if *kept_here.borrow_and_update() {
            continue;
        }
        match collect(&shared, true).await {
            Ok(_) => {}
            Err(error) => {
                warn!(%error, "nothing was collected in the bucket; it is tried again after the next snapshot");
            }
        }
        tokio::time::sleep(shared.options.collect.every).await;
    }
}

/// Finds what nobody needs, and removes it where `act` says so. What could not be removed is found again the next time.
pub(crate) async fn collect(shared: &Shared, act: bool) -> Result<Garbage> {
    if shared.options.fencing == Fencing::Off {
        return Err(StorageError::invalid("without fencing nothing is collected: another process may need it"));
    }
    let epoch = shared.owner.take().await?;
    shared.owner.check().await?;
    let seen = group(&shared.folder, list(&shared.client, shared.folder.path()).await?);

    // Asked for first: what was published before it is older than it.
    let published = shared.in_use.published();
    let needed = shared.in_use.needed().await;

    let keep = Keep { needed: &needed, epoch, published, options: &shared.options.collect };
    let found = garbage(seen, &keep);
    let mut gone = Garbage::default();
    for batch in found.chunks(BATCH) {
        if act {
            shared.owner.check().await?;
        }
        for seen in batch {
            if !act || remove(&shared.client.brief(), seen).await {
                gone.add(seen);
            }
        }
    }
    if act && !gone.objects.is_empty() {
        shared.client.told.collected(gone.objects.len() as u64, gone.size_bytes);
        info!(objects = gone.objects.len(), bytes = gone.size_bytes, "removed what nobody needs from the bucket");
    }
    Ok(gone)
}

/// A listing that breaks off begins anew, as often as a call may be tried.
async fn list(client: &Client, folder: &Path) -> Result<Vec<ObjectMeta>> {
    let mut tries = client.tries();
    loop {
        match list_once(client, folder).await {
            Ok(listed) => return Ok(listed),
            Err(failure) => tries.again(failure).await.map_err(|failure| failure.unavailable(DURING, folder))?,
        }
    }
}

async fn list_once(client: &Client, folder: &Path) -> std::result::Result<Vec<ObjectMeta>, Failure> {
    let mut listing = client.list(folder);
    let mut listed = Vec::new();
    while listed.len() < MAX_LISTED
        && let Some(object) = client.within(0, listing.try_next()).await?
    {
        listed.push(object);
    }
    Ok(listed)
}

/// Whether nothing of it is left.
async fn remove(client: &Client, seen: &Seen) -> bool {
    let names = &seen.place.names;
    let removed = async {
        if seen.parts.contains_key(&Kind::Note) {
            note::settle(client, names).await?;
        }
        for (kind, path) in [(Kind::Manifest, &names.manifest), (Kind::Bytes, &names.object)] {
            if seen.parts.contains_key(&kind) {
                client.delete(path).await?;
            }
        }
        Ok::<_, Failure>(())
    };
    let outcome = removed.await;
    if let Err(failure) = &outcome {
        warn!(object = %names.object, failure = failure.text, "what nobody needs could not be removed, and is tried again");
    }
    outcome.is_ok()
}

impl Garbage {
    fn add(&mut self, seen: &Seen) {
        let names = &seen.place.names;
        for (kind, bytes) in &seen.parts {
            let path = match kind {
                Kind::Note => &names.note,
                Kind::Manifest => &names.manifest,
                Kind::Bytes => &names.object,
            };
            self.objects.push(path.to_string());
            self.size_bytes += bytes;
        }
    }
}
