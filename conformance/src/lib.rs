//! The suite that every storage backend passes: one named test for each promise of the
//! [`Storage`](eraft_core::Storage) contract, crashes and faults included.
//!
//! A backend's author implements one small [`Env`] and writes one macro call; that makes one test per case, each named
//! after the line of the contract that it tests:
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use eraft_conformance::{Capabilities, Capability, Crash, Engine, Env};
//! use eraft_core::*;
//!
//! /// Where stores of my backend live: here, the reference storage's memory.
//! struct MyEnv {
//!     disk: MemoryDisk,
//! }
//!
//! #[async_trait]
//! impl Env for MyEnv {
//!     fn capabilities(&self) -> Capabilities {
//!         let without = |all: Capabilities, lacks| all.without(lacks, "there is no disk under it");
//!         [Capability::PowerLoss, Capability::FullDisk, Capability::Reserve, Capability::Damage]
//!             .into_iter()
//!             .fold(Capabilities::all(), without)
//!             .without(Capability::FailedSync, "not written yet")
//!             .without(Capability::FailedWrite, "not written yet")
//!     }
//!     async fn fresh(&mut self) {
//!         self.disk = MemoryDisk::new(1);
//!     }
//!     async fn create(&mut self, cluster: ClusterId, node: NodeId) -> Result<Identity> {
//!         MemoryEngine::create(&self.disk, cluster, node)
//!     }
//!     async fn open(&mut self, expected: Expected) -> Result<Box<dyn Engine>> {
//!         Ok(Box::new(MyEngine(MemoryEngine::open(&self.disk, expected)?)))
//!     }
//!     async fn crash(&mut self, _kill: Crash) {
//!         self.disk.kill();
//!     }
//! }
//!
//! struct MyEngine(MemoryEngine);
//!
//! #[async_trait]
//! impl Engine for MyEngine {
//!     async fn group(&self, id: GroupId) -> Result<Arc<dyn Storage>> {
//!         Ok(Arc::new(self.0.group(id)?))
//!     }
//!     async fn groups(&self) -> Result<Vec<GroupId>> {
//!         Ok(self.0.groups())
//!     }
//!     async fn close(&self) -> Result<()> {
//!         self.0.close()
//!     }
//! }
//!
//! eraft_conformance::conformance!(|seed| MyEnv { disk: MemoryDisk::new(seed) });
//!
//! # let make: eraft_conformance::MakeEnv<'_> = &|seed| Box::new(MyEnv { disk: MemoryDisk::new(seed) });
//! # eraft_conformance::cases::find("line_04_an_append_extends_the_log").test(make);
//! ```
//!
//! What a backend cannot be put through it takes out of its [`Capabilities`], with the reason; the cases that need it
//! print `SKIPPED <case>: <reason>`. With the capability's name in `ERAFT_REQUIRE` (names separated by commas) such a
//! case fails instead. Each case runs under several seeds: `ERAFT_SEEDS` says how many, `ERAFT_SEED` gives the only one.
//!
//! The suite may assume nothing about a backend but the contract, and must never look behind it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "the suite's answer to a broken promise is a failed test, which is a panic"
)]

mod capability;
pub mod cases;
pub mod crash_states;
mod env;
mod lab;
pub mod make;
mod model;
pub mod mutants;
mod run;

pub use capability::{Capabilities, Capability};
pub use env::{Crash, Damage, Engine, Env};
pub use lab::{CLUSTER, Handle, Lab, NODE};
pub use model::{Content, Model};
pub use run::{Case, MakeEnv, Outcome};

/// Makes one test of every case; takes what makes an [`Env`] from a seed.
#[macro_export]
macro_rules! conformance {
    ($env:expr) => {
        $crate::__each_case! { __conformance_tests $env }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($env:expr; $($topic:ident :: $name:ident [$($need:ident)*];)*) => {
        $(
            #[test]
            fn $name() {
                $crate::cases::find(stringify!($name)).test(&|seed| {
                    let make = $env;
                    Box::new(make(seed))
                });
            }
        )*
    };
}
