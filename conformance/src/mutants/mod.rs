//! Backends that are wrong by one decision each: the suite is believed because it fails them.
//!
//! All of them are one small store on one forgetful disk, which keeps every promise as it stands ([`environment`] with no
//! bug passes every case that it is put through) and breaks one with a [`Bug`]. Most bugs are such that every test
//! without a crash or a fault passes: the simplest is [`Bug::NothingSynced`].
//!
//! ```
//! use eraft_conformance::{Outcome, cases, mutants::{Bug, environment}};
//!
//! let case = cases::find("line_03_a_vote_survives_a_power_cut");
//! assert!(matches!(case.run(&|seed| environment(seed, None)), Outcome::Passed { .. }));
//! assert!(matches!(case.run(&|seed| environment(seed, Some(Bug::HardStatesUnsynced))), Outcome::Failed { .. }));
//! ```
//!
//! Never build on this store: it is as short as its bugs allow, and keeps everything in memory.

mod bugs;
mod disk;
mod engine;
mod recovery;
mod storage;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use eraft_core::{ClusterId, Expected, Identity, NodeId, Result, StorageError, StoreId};

use crate::{Capabilities, Capability, Crash, Damage, Engine, Env};

pub use bugs::Bug;
use disk::{Disk, Kept};
use engine::{WrongEngine, lock};

/// Where a store with this bug lives; without one, a store that is right.
pub fn environment(seed: u64, bug: Option<Bug>) -> Box<dyn Env> {
    Box::new(WrongEnv { disk: Arc::new(Mutex::new(Disk::new(seed))), seed, bug })
}

struct WrongEnv {
    disk: Arc<Mutex<Disk>>,
    seed: u64,
    bug: Option<Bug>,
}

impl WrongEnv {
    fn goes_on(&self) -> bool {
        let disk = lock(&self.disk);
        disk.at_work && !disk.has_stopped()
    }
}

#[async_trait]
impl Env for WrongEnv {
    fn capabilities(&self) -> Capabilities {
        Capabilities::all()
            .without(Capability::FullDisk, "its disk has no end")
            .without(Capability::Reserve, "its disk has no end")
    }

    async fn fresh(&mut self) {
        self.seed += 1_000_000;
        self.disk = Arc::new(Mutex::new(Disk::new(self.seed)));
    }

    async fn create(&mut self, cluster: ClusterId, node: NodeId) -> Result<Identity> {
        let mut disk = lock(&self.disk);
        if disk.identity.is_some() && self.bug != Some(Bug::CreatesOverAStore) {
            return Err(StorageError::invalid("disk 0 holds a store: open it, or create on another"));
        }
        disk.write()?;
        let failed = disk.sync_fails();
        let identity = Identity { cluster, node, store: StoreId(disk.random_id()) };
        let mut kept = Kept::dirty(identity);
        if self.bug != Some(Bug::IdentityUnsynced) {
            if self.bug != Some(Bug::CreationIgnoresAFailedSync) {
                disk::sync_outcome(failed)?;
            }
            kept.sync(failed);
        }
        disk.identity = Some(kept);
        disk.journal = Some(Vec::new());
        Ok(identity)
    }

    async fn open(&mut self, expected: Expected) -> Result<Box<dyn Engine>> {
        Ok(Box::new(WrongEngine::open(&self.disk, expected, self.bug)?))
    }

    async fn crash(&mut self, crash: Crash) {
        // Anywhere: before a batch is written, between its write and its sync, or after both.
        let steps = lock(&self.disk).random_id() % 16;
        lock(&self.disk).stop_after(steps);
        while self.goes_on() {
            tokio::task::yield_now().await;
        }
        match crash {
            Crash::Kill => lock(&self.disk).kill(),
            Crash::PowerLoss => lock(&self.disk).cut_power(),
        }
    }

    async fn fail_next_sync(&mut self) {
        lock(&self.disk).fail_next_sync = true;
    }

    async fn fail_next_write(&mut self) {
        lock(&self.disk).fail_next_write = true;
    }

    async fn places(&mut self, damage: Damage) -> u64 {
        match damage {
            Damage::FlipBit | Damage::ZeroSector => lock(&self.disk).places(),
            Damage::LosePiece => lock(&self.disk).pieces(),
        }
    }

    async fn damage(&mut self, damage: Damage, place: u64) -> String {
        match damage {
            Damage::FlipBit | Damage::ZeroSector => lock(&self.disk).damage(place),
            Damage::LosePiece => lock(&self.disk).lose(place),
        }
    }
}
