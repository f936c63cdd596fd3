//! What the local store keeps as the content of its snapshot, and what a manifest's copy in the bucket holds: the same bytes.
//!
//! ```text
//! "eraft-s3" | length of the head, 4 bytes, little endian | head: versioned MessagePack | an inline snapshot's bytes
//! ```
//!
//! A head says that the snapshot lies in the bucket, or that it follows right here. The bytes come from a disk or a bucket:
//! the head is believed only as far as its bounds allow, and an inline snapshot is never held in memory.

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use eraft_core::{Result, SnapshotReader, StorageError, StorageErrorKind, codec};
use futures_util::{StreamExt as _, stream::BoxStream};
use serde::{Deserialize, Serialize};

use crate::manifest::Manifest;

const MAGIC: [u8; 8] = *b"eraft-s3";
const LENGTH_BYTES: usize = 4;
/// The most bytes of a head: the most chunks at 30 bytes, and what else a manifest holds.
const MAX_HEAD_BYTES: usize = 64 << 20;
/// The most bytes of a content that holds no snapshot itself.
pub(crate) const MAX_CONTENT_BYTES: u64 = (MAGIC.len() + LENGTH_BYTES + MAX_HEAD_BYTES) as u64;
const DURING: &str = "reading what the local store has of a snapshot";

/// Where the snapshot's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Head {
    /// In the bucket.
    Remote(Arc<Manifest>),
    /// Behind this head, as they are.
    Inline,
}

/// A content whose head was read.
pub(crate) enum Content {
    /// The snapshot lies in the bucket.
    Remote(Arc<Manifest>),
    /// It lies in the local store.
    Inline {
        /// Its length.
        size_bytes: u64,
        /// Its bytes, verified by the local store.
        bytes: BoxStream<'static, Result<Bytes>>,
    },
}

/// The bytes of a manifest, in the local store and in the bucket.
///
/// # Errors
/// `Invalid` for a snapshot that is described by more than a head may hold.
pub(crate) fn encode(manifest: &Arc<Manifest>) -> Result<Bytes> {
    let head = codec::encode(&Head::Remote(Arc::clone(manifest)));
    let length = u32::try_from(head.len()).ok().filter(|_| head.len() <= MAX_HEAD_BYTES).ok_or_else(|| {
        StorageError::invalid(format!("a manifest of {} bytes; expected {MAX_HEAD_BYTES} at most", head.len()))
    })?;
    Ok([&MAGIC[..], &length.to_le_bytes(), &head].concat().into())
}

/// What stands before the bytes of a snapshot that the local store has itself.
pub(crate) fn inline_head() -> Bytes {
    let head = codec::encode(&Head::Inline);
    let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
    [&MAGIC[..], &length.to_le_bytes(), &head].concat().into()
}

/// Reads the head of what a local store has, and checks it.
///
/// # Errors
/// `Corrupt` or `Incompatible` for what [`encode`] did not make, and what the local store answers.
pub(crate) async fn read(local: SnapshotReader) -> Result<Content> {
    let (size_bytes, mut chunks) = (local.size_bytes, local.chunks);
    let mut seen = BytesMut::new();
    let prefix_bytes = MAGIC.len() + LENGTH_BYTES;
    let filled = fill(&mut seen, &mut chunks, prefix_bytes).await;
    if size_bytes == 0 || seen.iter().zip(&MAGIC).any(|(found, expected)| found != expected) {
        return Err(foreign());
    }
    filled?;
    let head_bytes = head_bytes(&seen)?;
    fill(&mut seen, &mut chunks, prefix_bytes + head_bytes).await?;
    let behind = (size_bytes.checked_sub((prefix_bytes + head_bytes) as u64))
        .ok_or_else(|| corrupt(format!("its head has {head_bytes} bytes, all of it {size_bytes}")))?;
    seen.advance(prefix_bytes);
    match decode(&seen.split_to(head_bytes))? {
        Head::Inline => {
            let first = futures_util::stream::iter((!seen.is_empty()).then(|| Ok(seen.freeze())));
            Ok(Content::Inline { size_bytes: behind, bytes: first.chain(chunks).boxed() })
        }
        Head::Remote(_) if behind > 0 => Err(corrupt(format!("{behind} bytes follow its manifest"))),
        Head::Remote(manifest) if manifest.meta != local.meta => Err(corrupt(format!(
            "its manifest is of a snapshot at {}; expected {} with the same configuration",
            manifest.meta.last, local.meta.last
        ))),
        Head::Remote(manifest) => Ok(Content::Remote(manifest)),
    }
}

/// Reads a copy in the bucket, and checks it.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn manifest(copy: &[u8]) -> std::result::Result<Arc<Manifest>, String> {
    let wrong = |error: StorageError| error.detail().to_owned();
    let head = copy.strip_prefix(&MAGIC).and_then(|rest| rest.get(LENGTH_BYTES..));
    let head = head.ok_or("its manifest does not begin as one")?;
    let expected = head_bytes(copy).map_err(wrong)?;
    if head.len() != expected {
        return Err(format!("its manifest has a head of {} bytes, expected {expected}", head.len()));
    }
    match decode(head).map_err(wrong)? {
        Head::Remote(manifest) => Ok(manifest),
        Head::Inline => Err("its manifest says that no bucket holds it".to_owned()),
    }
}

/// Takes chunks until `wanted` bytes are there.
async fn fill(seen: &mut BytesMut, chunks: &mut BoxStream<'static, Result<Bytes>>, wanted: usize) -> Result<()> {
    while seen.len() < wanted {
        match chunks.next().await {
            Some(chunk) => seen.extend_from_slice(&chunk?),
            None => return Err(corrupt(format!("it ends after {} bytes; expected {wanted} or more", seen.len()))),
        }
    }
    Ok(())
}

/// What was never one of ours.
fn foreign() -> StorageError {
    let detail = "the snapshot of the local store does not say that it is one in a bucket: it was taken without S3; open the \
                  store without S3, or begin with a blank one";
    StorageError::new(StorageErrorKind::Incompatible, DURING, detail)
}

/// The length of the head, which is not read yet.
fn head_bytes(prefix: &[u8]) -> Result<usize> {
    let length = prefix.strip_prefix(&MAGIC).and_then(|rest| rest.first_chunk::<LENGTH_BYTES>()).ok_or_else(foreign)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > MAX_HEAD_BYTES {
        return Err(corrupt(format!("its head has {length} bytes; expected {MAX_HEAD_BYTES} at most")));
    }
    Ok(length)
}

fn decode(head: &[u8]) -> Result<Head> {
    let head: Head = codec::decode(head).map_err(|error| match error {
        codec::DecodeError::Version { .. } => {
            StorageError::with_source(StorageErrorKind::Incompatible, DURING, error.to_string(), error)
        }
        codec::DecodeError::Malformed(_) => corrupt(error.to_string()),
    })?;
    if let Head::Remote(manifest) = &head {
        manifest.check().map_err(|error| corrupt(format!("its manifest cannot be: {error}")))?;
    }
    Ok(head)
}

pub(crate) fn corrupt(detail: String) -> StorageError {
    StorageError::new(StorageErrorKind::Corrupt, DURING, detail)
}

#[cfg(test)]
mod tests {
    use eraft_core::SnapshotMeta;

    use super::*;
    use crate::manifest::tests::manifest;

    fn reader(meta: SnapshotMeta, bytes: &[u8], chunk_bytes: usize) -> SnapshotReader {
        let chunks: Vec<_> = bytes.chunks(chunk_bytes).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let size_bytes = bytes.len() as u64;
        SnapshotReader { meta, size_bytes, chunks: futures_util::stream::iter(chunks).boxed() }
    }

    async fn kind(bytes: &[u8]) -> Option<StorageErrorKind> {
        read(reader(manifest().meta, bytes, 7)).await.err().map(|error| error.kind())
    }

    #[tokio::test]
    async fn a_manifest_comes_back_however_it_is_cut() {
        let bytes = encode(&manifest().into()).unwrap();
        for chunk_bytes in [1, 7, 12, 1000] {
            match read(reader(manifest().meta, &bytes, chunk_bytes)).await.unwrap() {
                Content::Remote(found) => assert_eq!(*found, manifest()),
                Content::Inline { .. } => panic!("it is remote"),
            }
        }
    }

    #[tokio::test]
    async fn an_inline_snapshot_is_what_follows_its_head() {
        for snapshot in [&b""[..], b"all of it"] {
            let bytes = [&inline_head()[..], snapshot].concat();
            match read(reader(manifest().meta, &bytes, 5)).await.unwrap() {
                Content::Remote(_) => panic!("it is inline"),
                Content::Inline { size_bytes, bytes } => {
                    let reader = SnapshotReader { meta: manifest().meta, size_bytes, chunks: bytes };
                    assert_eq!(reader.read_all().await.unwrap(), snapshot);
                }
            }
        }
    }

    #[tokio::test]
    async fn what_is_cut_grown_or_of_another_version_is_refused() {
        let bytes = encode(&manifest().into()).unwrap();
        for length in 1..bytes.len() {
            assert_eq!(kind(&bytes[..length]).await, Some(StorageErrorKind::Corrupt), "cut at {length}");
        }
        assert_eq!(kind(&[&bytes[..], b"x"].concat()).await, Some(StorageErrorKind::Corrupt));
        let mut newer = bytes.to_vec();
        newer[MAGIC.len() + LENGTH_BYTES] = codec::VERSION + 1;
        assert_eq!(kind(&newer).await, Some(StorageErrorKind::Incompatible));
        for foreign in [&b"the snapshot of a store without S3"[..], b"x", b""] {
            assert_eq!(kind(foreign).await, Some(StorageErrorKind::Incompatible));
        }
        let endless = [&MAGIC[..], &u32::MAX.to_le_bytes(), b"x"].concat();
        assert_eq!(kind(&endless).await, Some(StorageErrorKind::Corrupt));
    }

    #[tokio::test]
    async fn no_mutation_panics_or_passes_with_lengths_that_lie() {
        let bytes = encode(&manifest().into()).unwrap();
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..20_000 {
            let mut mutated = bytes.to_vec();
            for _ in 0..random.usize(1..5) {
                let at = random.usize(MAGIC.len()..mutated.len());
                match random.u8(..3) {
                    0 => mutated[at] = random.u8(..),
                    1 => mutated.insert(at, random.u8(..)),
                    _ => drop(mutated.remove(at)),
                }
            }
            let head_bytes = u32::try_from(mutated.len() - MAGIC.len() - LENGTH_BYTES).unwrap();
            if random.bool() {
                mutated[MAGIC.len()..][..LENGTH_BYTES].copy_from_slice(&head_bytes.to_le_bytes());
            }
            if let Ok(Content::Remote(found)) = read(reader(manifest().meta, &mutated, 1000)).await {
                assert_eq!(found.check(), Ok(()));
            }
        }
    }

    #[tokio::test]
    async fn no_flipped_bit_panics_or_allocates_without_bound() {
        let bytes = encode(&manifest().into()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(Content::Remote(found)) = read(reader(manifest().meta, &flipped, 1000)).await {
                assert_eq!(found.check(), Ok(()));
            }
        }
    }
}
