//! What the author of a backend implements: [`Env`], the place a store lives at, and [`Engine`], the store when open.
//!
//! An `Env` stands outside the backend, where the operator, the kernel and bad luck stand: it creates and opens, kills
//! and cuts the power, fills the disk and damages it. It must not help the backend: whatever it does to pretend safety
//! (a sync of its own, a copy put back) makes the suite worthless.

use std::sync::Arc;

use async_trait::async_trait;
use eraft_core::{ClusterId, Expected, GroupId, Identity, NodeId, Result, Storage};

use crate::Capabilities;

/// How a process ends without closing anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Killed: what it wrote stays with the operating system, synced or not.
    Kill,
    /// The power is cut: what was not synced may be lost, torn, reordered.
    PowerLoss,
}

/// What happens to stored data behind the backend's back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// One bit is flipped; the places are bytes.
    FlipBit,
    /// A whole sector, page or value reads as zeros; the places are sectors.
    ZeroSector,
    /// A file, key or object is gone; the places are those.
    LosePiece,
}

/// One location, and all that can befall it.
///
/// The suite calls what a capability covers only where the capability is declared; those methods panic unless they are
/// written. Everything random in an `Env` comes from the seed it was made with.
///
/// After [`Env::crash`] the suite drops the engine and its handles, but may hold on to a handle for a while: whatever a
/// handle from before a crash still does must not reach the store.
#[async_trait]
pub trait Env: Send + Sync {
    /// What the backend can be put through.
    fn capabilities(&self) -> Capabilities;

    /// Moves to a new, empty location. The old one is never used again. Whatever was failing or full is healed.
    async fn fresh(&mut self);

    /// The backend's `create` at the location.
    async fn create(&mut self, cluster: ClusterId, node: NodeId) -> Result<Identity>;

    /// The backend's `open` of the location; the suite may call it while another engine has the location open.
    async fn open(&mut self, expected: Expected) -> Result<Box<dyn Engine>>;

    /// Ends the engine that is open, and frees its lock, as the crash would.
    async fn crash(&mut self, crash: Crash) {
        panic!("{crash:?} is declared, but `Env::crash` is not written");
    }

    /// The next sync by which the backend makes something durable fails, once.
    async fn fail_next_sync(&mut self) {
        panic!("failed-sync is declared, but `Env::fail_next_sync` is not written");
    }

    /// The next write that the backend makes fails, once.
    async fn fail_next_write(&mut self) {
        panic!("failed-write is declared, but `Env::fail_next_write` is not written");
    }

    /// From now on the disk gives no more room than it has given.
    async fn fill_disk(&mut self) {
        panic!("full-disk is declared, but `Env::fill_disk` is not written");
    }

    /// There is room again.
    async fn free_disk(&mut self) {
        panic!("full-disk is declared, but `Env::free_disk` is not written");
    }

    /// How many places this damage could hit. Nothing is open.
    async fn places(&mut self, damage: Damage) -> u64 {
        panic!("damage is declared, but `Env::places` is not written for {damage:?}");
    }

    /// Does the damage at one of those places, and tells where, for messages. Nothing is open.
    async fn damage(&mut self, damage: Damage, place: u64) -> String {
        panic!("damage is declared, but `Env::damage` is not written for {damage:?} (place {place})");
    }
}

/// A store that is open. Dropping it without [`Engine::close`] is allowed.
#[async_trait]
pub trait Engine: Send + Sync {
    /// The handle of one group, which begins blank; `Locked` while another handle of it is neither closed nor dropped.
    /// Without many groups, only that of group 0 is asked for.
    async fn group(&self, id: GroupId) -> Result<Arc<dyn Storage>>;

    /// The groups that anything was ever saved in, in order.
    async fn groups(&self) -> Result<Vec<GroupId>>;

    /// Completes what is queued and unlocks.
    async fn close(&self) -> Result<()>;
}
