//! Which bytes of an object one ranged read fetches: whole chunks, as many as the plain bytes allow.
//!
//! It counts plain bytes, not stored ones, since a read holds its chunks in memory until their turn comes: well compressed
//! ones would be a thousand times what was fetched.

use std::{ops::Range, sync::Arc};

use crate::manifest::Manifest;

/// One ranged read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    /// The chunks, by their number.
    pub(crate) chunks: Range<usize>,
    /// Where the first of them begins in the object.
    pub(crate) offset: u64,
}

/// All reads of a snapshot, in order.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    manifest: Arc<Manifest>,
    read_bytes: u64,
    next: Read,
}

impl Plan {
    pub(crate) fn new(manifest: Arc<Manifest>, read_bytes: u64) -> Plan {
        Plan { manifest, read_bytes, next: Read { chunks: 0..0, offset: 0 } }
    }
}

impl Iterator for Plan {
    type Item = Read;

    fn next(&mut self) -> Option<Read> {
        let first = self.next.chunks.end;
        let (mut plain_bytes, mut stored_bytes, mut count) = (0, 0, 0);
        for chunk in self.manifest.chunks.get(first..)? {
            if count > 0 && plain_bytes + u64::from(chunk.plain_bytes) > self.read_bytes {
                break;
            }
            plain_bytes += u64::from(chunk.plain_bytes);
            stored_bytes += u64::from(chunk.stored_bytes);
            count += 1;
        }
        let read = Read { chunks: first..first + count, offset: self.next.offset };
        self.next = Read { chunks: read.chunks.clone(), offset: read.offset + stored_bytes };
        (count > 0).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Chunk, tests::manifest};

    #[test]
    fn reads_hold_whole_chunks_and_no_more_plain_bytes_than_they_may() {
        let digest = manifest().digest;
        let chunks = [(4, 1), (4, 2), (4, 4), (9, 3), (1, 1)].map(|(plain_bytes, stored_bytes)| Chunk {
            plain_bytes,
            stored_bytes,
            digest,
        });
        let manifest = Arc::new(Manifest { size_bytes: 22, chunks: chunks.to_vec(), ..manifest() });
        let reads: Vec<_> = Plan::new(Arc::clone(&manifest), 8).collect();
        let expected = [(0..2, 0), (2..3, 3), (3..4, 7), (4..5, 10)];
        assert_eq!(reads, expected.map(|(chunks, offset)| Read { chunks, offset }));
        let none = Arc::new(Manifest { size_bytes: 0, chunks: Vec::new(), ..Manifest::clone(&manifest) });
        assert_eq!(Plan::new(none, 8).count(), 0);
    }
}
