//! The manifest: what a snapshot is, where its bytes lie, and how each of them is verified.
//!
//! It comes from a disk or a bucket. [`Manifest::check`] stands between its bytes and everything that believes them: after
//! it, no length in it makes a reader allocate more than a chunk, and all of them add up.

use eraft_core::{ClusterId, GroupId, Identity, NodeId, SnapshotMeta, StoreId};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::{Compression, digest::Digest};

/// The most plain bytes of a chunk.
pub(crate) const MAX_CHUNK_BYTES: u32 = 1 << 20;
/// The most chunks of a snapshot: 2 TiB of the longest ones.
pub(crate) const MAX_CHUNKS: usize = 1 << 21;

/// One snapshot in a bucket.
///
/// Invariants, where [`Manifest::check`] said yes:
/// - every chunk has 1 to [`MAX_CHUNK_BYTES`] plain bytes, and no more stored ones than plain ones (as many: stored as is);
/// - the chunks' plain bytes are `size_bytes` together, and there are at most [`MAX_CHUNKS`] of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The object: nothing but the stored chunks, one after the other.
    pub(crate) object: String,
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    /// The store that made it.
    pub(crate) store: StoreId,
    pub(crate) group: GroupId,
    pub(crate) meta: SnapshotMeta,
    pub(crate) size_bytes: u64,
    /// Of all plain bytes.
    pub(crate) digest: Digest,
    pub(crate) compression: Compression,
    pub(crate) chunks: Vec<Chunk>,
}

/// One chunk: compressed and verified alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chunk {
    pub(crate) plain_bytes: u32,
    /// What it takes in the object; as many as `plain_bytes` where compressing did not make it smaller.
    pub(crate) stored_bytes: u32,
    /// Of its plain bytes.
    pub(crate) digest: Digest,
}

impl Manifest {
    /// The length of the object.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.stored_bytes)).sum()
    }

    /// Where the object stands.
    pub(crate) fn path(&self) -> Result<Path, String> {
        Path::parse(&self.object)
            .map_err(|error| format!("its object {:?} is no path in a bucket: {error}", self.object))
    }

    /// Holds the invariants.
    ///
    /// # Errors
    /// What breaks them.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.path()?;
        if !self.meta.conf_state.is_valid() {
            return Err("its configuration is not valid".to_owned());
        }
        if self.chunks.len() > MAX_CHUNKS {
            return Err(format!("it has {} chunks; expected {MAX_CHUNKS} at most", self.chunks.len()));
        }
        for (nth, chunk) in self.chunks.iter().enumerate() {
            if !(1..=MAX_CHUNK_BYTES).contains(&chunk.plain_bytes)
                || !(1..=chunk.plain_bytes).contains(&chunk.stored_bytes)
            {
                return Err(format!(
                    "chunk {nth} has {} bytes, stored as {}; expected 1 to {MAX_CHUNK_BYTES}, stored as no more",
                    chunk.plain_bytes, chunk.stored_bytes
                ));
            }
        }
        let total: u64 = self.chunks.iter().map(|chunk| u64::from(chunk.plain_bytes)).sum();
        if total != self.size_bytes {
            return Err(format!("its chunks have {total} bytes; expected {}", self.size_bytes));
        }
        Ok(())
    }

    /// Whether it is of this node's group: of which store does not matter, since a restored one brings its snapshot along.
    ///
    /// # Errors
    /// Whose it is.
    pub(crate) fn check_identity(&self, identity: &Identity, group: GroupId) -> Result<(), String> {
        let (found, expected) = ((self.cluster, self.node, self.group), (identity.cluster, identity.node, group));
        if found != expected {
            return Err(format!(
                "it is of cluster {}, node {}, group {}; expected cluster {}, node {}, group {}",
                found.0, found.1, found.2, expected.0, expected.1, expected.2
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::Bytes;
    use eraft_core::{ConfState, EntryId};

    use super::*;

    pub(crate) fn manifest() -> Manifest {
        let chunk = |plain: &[u8]| Chunk {
            plain_bytes: u32::try_from(plain.len()).unwrap(),
            stored_bytes: u32::try_from(plain.len()).unwrap(),
            digest: Digest::of(plain),
        };
        Manifest {
            object: "a/b/1-2-3".to_owned(),
            cluster: ClusterId(1),
            node: NodeId(2),
            store: StoreId(3),
            group: GroupId(4),
            meta: SnapshotMeta {
                last: EntryId::new(1, 2),
                conf_state: ConfState::of_voters([(NodeId(2), Bytes::from_static(b"two"))]),
            },
            size_bytes: 5,
            digest: Digest::of(b"abcde"),
            compression: Compression::Zstd,
            chunks: vec![chunk(b"abc"), chunk(b"de")],
        }
    }

    #[test]
    fn a_manifest_whose_lengths_lie_is_refused() {
        assert_eq!(manifest().check(), Ok(()));
        let broken: [fn(&mut Manifest); 8] = [
            |it| it.size_bytes = 6,
            |it| it.chunks[0].plain_bytes = 0,
            |it| it.chunks[0].stored_bytes = 0,
            |it| it.chunks[0].stored_bytes = 4,
            |it| {
                it.chunks[0].plain_bytes = MAX_CHUNK_BYTES + 1;
                it.size_bytes = u64::from(MAX_CHUNK_BYTES) + 3;
            },
            |it| it.object = "a//b".to_owned(),
            |it| it.meta.conf_state = ConfState::default(),
            |it| {
                it.chunks = vec![Chunk { plain_bytes: 1, stored_bytes: 1, digest: Digest::of(b"x") }; MAX_CHUNKS + 1];
                it.size_bytes = MAX_CHUNKS as u64 + 1;
            },
        ];
        for (nth, break_it) in broken.iter().enumerate() {
            let mut manifest = manifest();
            break_it(&mut manifest);
            assert!(manifest.check().is_err(), "break {nth}");
        }
    }
}
