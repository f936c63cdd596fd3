//! Whether a bucket honours preconditions, without which nobody can own a folder in it: a store that ignores them lets every
//! process believe that it does.
//!
//! It is tried, not asked: by a second creation of one object, and by a change under an ETag that the object never had. A
//! failure that can pass is no verdict, and neither is a reply that got lost: whoever honours preconditions refuses at every
//! try, and whoever does not needs to let but one through.

use bytes::Bytes;
use eraft_core::{Result, StorageError, StorageErrorKind};
use object_store::{PutMode, UpdateVersion, path::Path};
use tracing::warn;

use crate::{
    client::Client,
    failure::{Failure, Why},
};

const DURING: &str = "trying whether the bucket honours preconditions";
/// An ETag that is formed as one, and that no object has.
const NO_ETAG: &str = "\"00000000000000000000000000000000\"";

/// Tries it with an object at `path`, which nothing else writes to; within the client's runtime. The object is removed also
/// where nobody waits for the outcome any more.
///
/// # Errors
/// `Incompatible` for a bucket that ignores them, `Unavailable` where it does not say.
pub(crate) async fn prove(client: &Client, path: &Path) -> Result<()> {
    let trial = client.runtime.spawn(try_and_remove(client.clone(), path.clone()));
    match trial.await.unwrap_or_else(|lost| Err(Failure::lasting(lost.to_string()))) {
        Ok(None) => Ok(()),
        Ok(Some(ignored)) => Err(StorageError::new(
            StorageErrorKind::Incompatible,
            DURING,
            format!(
                "{path}: the bucket ignores {ignored}: two processes could both write as this node, and remove what the \
                 other one needs; choose a server that honours preconditions, or give up fencing and collection by the \
                 option `fencing`"
            ),
        )),
        Err(failure) => Err(failure.unavailable(DURING, path)),
    }
}

async fn try_and_remove(client: Client, path: Path) -> std::result::Result<Option<&'static str>, Failure> {
    let outcome = attempt(&client, &path).await;
    if let Err(failure) = client.brief().delete(&path).await {
        client.told.left_behind(1);
        warn!(object = %path, failure = failure.text, "an object that nothing needs stays in the bucket");
    }
    outcome
}

/// What it ignores, if anything.
async fn attempt(client: &Client, path: &Path) -> std::result::Result<Option<&'static str>, Failure> {
    client.put_new(path, &Bytes::from_static(b"first"), &Default::default()).await?;
    let never = UpdateVersion { e_tag: Some(NO_ETAG.to_owned()), version: None };
    let wrong = [(PutMode::Create, "\"if none is there\""), (PutMode::Update(never), "\"if it is unchanged\"")];
    for (mode, name) in wrong {
        if accepted(client, path, mode).await? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

async fn accepted(client: &Client, path: &Path, mode: PutMode) -> std::result::Result<bool, Failure> {
    let mut tries = client.tries();
    loop {
        match client.put_if(path, Bytes::from_static(b"second"), mode.clone()).await {
            Ok(_) => return Ok(true),
            Err(failure) if failure.why == Why::Exists => return Ok(false),
            Err(failure) => tries.again(failure).await?,
        }
    }
}
