//! A sector: what a disk writes whole or not at all. Shared and hashed once, so that a copy of a disk costs next to nothing.

use std::sync::{Arc, LazyLock};

use xxhash_rust::xxh3::xxh3_64;

/// How long a sector is.
pub const SECTOR_BYTES: usize = 512;

/// The bytes of one sector, and their hash.
#[derive(Clone, Debug)]
pub(super) struct Sector {
    bytes: Arc<[u8; SECTOR_BYTES]>,
    hash: u64,
}

static ZEROS: LazyLock<Sector> = LazyLock::new(|| Sector::new([0; SECTOR_BYTES]));

impl Sector {
    pub(super) fn new(bytes: [u8; SECTOR_BYTES]) -> Sector {
        Sector { hash: xxh3_64(&bytes), bytes: Arc::new(bytes) }
    }

    pub(super) fn zeros() -> Sector {
        ZEROS.clone()
    }

    pub(super) fn noise(seed: u64) -> Sector {
        let mut bytes = [0; SECTOR_BYTES];
        fastrand::Rng::with_seed(seed).fill(&mut bytes);
        Sector::new(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; SECTOR_BYTES] {
        &self.bytes
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// The same with `bytes` from `at` on.
    pub(super) fn with(&self, at: usize, bytes: &[u8]) -> Sector {
        let mut changed = *self.bytes;
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        if changed.iter().all(|byte| *byte == 0) { Sector::zeros() } else { Sector::new(changed) }
    }

    /// The same with zeros from `at` on.
    pub(super) fn cut(&self, at: usize) -> Sector {
        if self.bytes[at..].iter().all(|byte| *byte == 0) {
            return self.clone();
        }
        self.with(at, &[0; SECTOR_BYTES][at..])
    }
}
