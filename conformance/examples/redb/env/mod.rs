//! What the suite asks of a backend's author: the place a store lives at and all that befalls it, and the store when open.

mod crash_states;
mod file;
mod sweep;

use async_trait::async_trait;
use eraft_conformance::{Capabilities, Capability, Crash, Damage, Engine, Env};
use eraft_core::{ClusterId, Expected, Identity, NodeId, Result, StorageError, StorageErrorKind, StoreId};

pub(crate) use crash_states::OnJournal;
use file::SimFile;
pub(crate) use sweep::OnFaultyFile;

use crate::backend::RedbEngine;

const SECTOR_BYTES: u64 = 512;

pub(crate) struct RedbEnv {
    random: fastrand::Rng,
    file: SimFile,
    /// What this environment is declared to lack.
    capabilities: Capabilities,
}

impl RedbEnv {
    pub(crate) fn new(seed: u64) -> RedbEnv {
        let capabilities = Capabilities::all()
            .without(Capability::FullDisk, "redb does not tell how much its file still takes, so room_bytes cannot")
            .without(Capability::Reserve, "redb keeps no room back for small commits on a full disk")
            .without(Capability::Damage, "redb reads its pages unverified, and panics on some that are damaged");
        RedbEnv::declaring(capabilities, seed)
    }

    /// The same with other capabilities: to see what becomes of cases that are not declared.
    pub(crate) fn declaring(capabilities: Capabilities, seed: u64) -> RedbEnv {
        let mut random = fastrand::Rng::with_seed(seed);
        RedbEnv { file: SimFile::new(random.u64(..)), random, capabilities }
    }
}

/// Takes the file and its lock.
fn take(file: &SimFile, during: &str) -> Result<Box<dyn redb::StorageBackend>> {
    file.open().map(|file| Box::new(file) as _).ok_or_else(|| {
        StorageError::new(StorageErrorKind::Locked, during, "another opener has the file: close that one first")
    })
}

#[async_trait]
impl Env for RedbEnv {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn fresh(&mut self) {
        self.file.kill();
        self.file = SimFile::new(self.random.u64(..));
    }

    async fn create(&mut self, cluster: ClusterId, node: NodeId) -> Result<Identity> {
        RedbEngine::create(take(&self.file, "creating a store")?, cluster, node, StoreId(self.random.u64(..)))
    }

    async fn open(&mut self, expected: Expected) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Open(RedbEngine::open(take(&self.file, "opening a store")?, expected, self.random.u64(..))?)))
    }

    /// Lets what is under way go on for a few calls first, so that it may end between a write and its sync.
    async fn crash(&mut self, crash: Crash) {
        self.file.die_after(self.random.u64(..8));
        for _ in 0..self.random.usize(..200) {
            std::thread::yield_now();
            tokio::task::yield_now().await;
        }
        match crash {
            Crash::Kill => self.file.kill(),
            Crash::PowerLoss => self.file.cut_power(),
        }
    }

    async fn fail_next_sync(&mut self) {
        self.file.fail_next_sync();
    }

    async fn fail_next_write(&mut self) {
        self.file.fail_next_write();
    }

    async fn fill_disk(&mut self) {
        self.file.fill(true);
    }

    async fn free_disk(&mut self) {
        self.file.fill(false);
    }

    async fn places(&mut self, damage: Damage) -> u64 {
        match damage {
            Damage::FlipBit => self.file.len(),
            Damage::ZeroSector => self.file.len().div_ceil(SECTOR_BYTES),
            Damage::LosePiece => 1,
        }
    }

    async fn damage(&mut self, damage: Damage, place: u64) -> String {
        match damage {
            Damage::FlipBit => {
                let bit = self.random.u8(..8);
                self.file.change(place, 1, |byte| byte ^ (1 << bit));
                format!("bit {bit} of byte {place} flipped")
            }
            Damage::ZeroSector => {
                self.file.change(place * SECTOR_BYTES, SECTOR_BYTES, |_| 0);
                format!("sector at byte {} zeroed", place * SECTOR_BYTES)
            }
            Damage::LosePiece => {
                self.file.change(0, u64::MAX, |_| 0);
                "the file emptied".to_owned()
            }
        }
    }
}

eraft_conformance::engine!(Open(RedbEngine));
