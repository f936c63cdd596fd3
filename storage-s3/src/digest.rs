//! The digest of a chunk and of a whole snapshot: XXH3 with 128 bits, over the plain bytes.
//!
//! It finds damage, by chance or by a fault; it is no defence against whoever can write to the bucket.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// 128 bits, the most significant byte first.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest(#[serde(with = "serde_bytes")] [u8; 16]);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Digest {
        Digest(xxh3_128(bytes).to_be_bytes())
    }

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Of everything that `hasher` has seen.
    pub(crate) fn of_all(hasher: &Xxh3) -> Digest {
        Digest(hasher.digest128().to_be_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
