//! One ranged read: whole chunks, each verified before it counts.
//!
//! A body that breaks off is gone on with at its first missing chunk; one that was whole and wrong is fetched once more,
//! since the bytes may have been changed on the way, and is damage at rest when they come back wrong again.

use std::{ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};
use eraft_core::{Result, StorageError, StorageErrorKind};
use futures_util::StreamExt as _;
use object_store::path::Path;

use crate::{
    client::{Client, ended},
    compression::{aside, decompress},
    digest::Digest,
    failure::{Failure, Why},
    manifest::{Chunk, Manifest},
    names::copy_of,
    plan::Read,
};

const DURING: &str = "reading a snapshot from the bucket";

/// Why a read stops before its end.
enum Trouble {
    /// The call failed, or its body broke off.
    Broken(Failure),
    /// The bytes of this chunk are not those that were stored.
    Wrong { chunk: usize, detail: String },
    /// Something here failed, not the bucket.
    Ours(StorageError),
}

/// What one read needs.
struct Fetch {
    client: Client,
    manifest: Arc<Manifest>,
    path: Path,
    /// What is still missing: the first chunk and where it begins.
    missing: Read,
    got: Vec<Bytes>,
}

/// The plain chunks of a read.
///
/// # Errors
/// `Corrupt` where the object is gone from beside its manifest, or its bytes are wrong; `Unavailable` for all that the bucket
/// may be over with.
pub(crate) async fn fetch(client: Client, manifest: Arc<Manifest>, read: Read) -> Result<Vec<Bytes>> {
    let path = manifest.path().map_err(|error| StorageError::new(StorageErrorKind::Corrupt, DURING, error))?;
    let mut fetch = Fetch { client, manifest, path, missing: read, got: Vec::new() };
    let mut tries = fetch.client.tries();
    let mut wrong = None;
    while !fetch.missing.chunks.is_empty() {
        let before = fetch.got.len();
        let trouble = match fetch.read_on().await {
            Ok(()) => continue,
            Err(trouble) => trouble,
        };
        if fetch.got.len() > before {
            tries.got_on();
        }
        match trouble {
            Trouble::Broken(failure) => {
                let absent = failure.why == Why::Absent;
                // A node ends by an object that is gone, and servers have said so in a bad moment: it is asked for again.
                let failure = if absent { Failure::passing(failure.text) } else { failure };
                if let Err(failure) = tries.again(failure).await {
                    return Err(fetch.given_up(&failure, absent).await);
                }
            }
            Trouble::Wrong { chunk, detail } => {
                fetch.client.told.wrong_chunk();
                if wrong == Some(chunk) {
                    return Err(fetch.damaged(chunk, &detail));
                }
                wrong = Some(chunk);
            }
            Trouble::Ours(error) => return Err(error),
        }
    }
    Ok(fetch.got)
}

impl Fetch {
    /// One call, from the first missing chunk on; what it brought stays, however it ends.
    async fn read_on(&mut self) -> std::result::Result<(), Trouble> {
        let range = self.range();
        let time = self.client.time_for(range.end - range.start);
        match tokio::time::timeout(time, self.read_range(range)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(Trouble::Broken(Failure::passing(format!("its body was not whole within {time:?}")))),
        }
    }

    fn range(&self) -> Range<u64> {
        let chunks = self.manifest.chunks.get(self.missing.chunks.clone()).unwrap_or_default();
        let stored_bytes: u64 = chunks.iter().map(|chunk| u64::from(chunk.stored_bytes)).sum();
        self.missing.offset..self.missing.offset + stored_bytes
    }

    async fn read_range(&mut self, range: Range<u64>) -> std::result::Result<(), Trouble> {
        let broken = |error| Trouble::Broken(Failure::of(&error));
        let answer = self.client.get_range(&self.path, range.clone()).await.map_err(broken)?;
        if answer.range != range {
            let (chunk, found) = (self.missing.chunks.start, answer.range);
            return Err(Trouble::Wrong { chunk, detail: format!("bytes {found:?} came back; expected {range:?}") });
        }
        let mut body = answer.into_stream();
        let mut seen = BytesMut::new();
        while let Some(chunk) =
            self.manifest.chunks.get(self.missing.chunks.clone()).and_then(|chunks| chunks.first()).copied()
        {
            let stored_bytes = chunk.stored_bytes as usize;
            seen.reserve(stored_bytes.saturating_sub(seen.len()));
            while seen.len() < stored_bytes {
                let piece = body.next().await.unwrap_or_else(|| Err(ended()));
                seen.extend_from_slice(&piece.map_err(broken)?);
            }
            let plain = self.verified(chunk, seen.split_to(stored_bytes).freeze()).await?;
            self.got.push(plain);
            self.missing.chunks.start += 1;
            self.missing.offset += u64::from(chunk.stored_bytes);
        }
        Ok(())
    }

    /// The plain bytes of the first missing chunk, if `stored` is what was stored for it.
    async fn verified(&self, chunk: Chunk, stored: Bytes) -> std::result::Result<Bytes, Trouble> {
        self.client.told.read(stored.len() as u64);
        let compression = self.manifest.compression;
        let verify = move || {
            let plain = decompress(compression, stored, chunk.plain_bytes as usize)?;
            let found = Digest::of(&plain);
            if found == chunk.digest {
                Ok(plain)
            } else {
                Err(format!("its digest is {found}, expected {}", chunk.digest))
            }
        };
        let verified = aside(&self.client.runtime, compression, verify).await.map_err(Trouble::Ours)?;
        verified.map_err(|detail| Trouble::Wrong { chunk: self.missing.chunks.start, detail })
    }

    /// What a failure means that does not pass: an object that lost its end answers so where a range begins behind it, and one
    /// that is `absent` is gone where the copy of its manifest is not. Where neither is there, it may be another bucket.
    async fn given_up(&self, failure: &Failure, absent: bool) -> StorageError {
        let (client, expected) = (self.client.brief(), self.manifest.stored_bytes());
        let wrong = match client.size_bytes(&self.path).await {
            Ok(found) if found != expected => {
                format!("has {found} bytes, expected {expected}; wipe the node and let it join anew")
            }
            Err(again) if absent && again.why == Why::Absent && self.copy_is_there(&client).await => format!(
                "is gone from beside its manifest ({}); put it back, or wipe the node and let it join anew",
                failure.text
            ),
            _ => return failure.unavailable(DURING, &self.path),
        };
        let detail = format!("{}: the published snapshot's object {wrong}", self.path);
        StorageError::new(StorageErrorKind::Corrupt, DURING, detail)
    }

    async fn copy_is_there(&self, client: &Client) -> bool {
        match copy_of(&self.path) {
            Some(copy) => client.size_bytes(&copy).await.is_ok(),
            None => false,
        }
    }

    fn damaged(&self, chunk: usize, detail: &str) -> StorageError {
        let detail = format!(
            "{}: chunk {chunk} at offset {} came back wrong twice: {detail}; wipe the node and let it join anew",
            self.path, self.missing.offset
        );
        StorageError::new(StorageErrorKind::Corrupt, DURING, detail)
    }
}
