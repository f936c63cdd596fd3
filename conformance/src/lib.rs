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
//!         use Capability::*;
//!         let without = |all: Capabilities, lacks| all.without(lacks, "there is no disk under it");
//!         [PowerLoss, FailedSync, FailedWrite, FullDisk, Reserve, Damage].into_iter().fold(Capabilities::all(), without)
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
//! print `SKIPPED <case>: <capability> is not declared: <reason>`, and count as passed (`cargo test -- --nocapture` shows
//! the lines). With the capability's name in `ERAFT_REQUIRE` (names separated by commas) such a case fails instead. Each
//! case runs under several seeds: `ERAFT_SEEDS` says how many, `ERAFT_SEED` gives the only one.
//!
//! An engine that has no seam under it is run out of process instead, by a macro of its own: see [`remote`].
//!
//! A test is a plain `#[test]` with a runtime of several threads for each seed, not one `#[tokio::test]`: what one seed
//! leaves running ends with its runtime, and the backend's crate needs no tokio of its own.
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

pub mod at_rest;
mod capability;
pub mod cases;
pub mod crash_states;
pub mod driven;
mod env;
pub mod faulty;
mod lab;
#[cfg(unix)]
pub mod machine;
pub mod make;
mod model;
pub mod mutants;
#[cfg(unix)]
pub mod remote;
mod run;
mod sample;
pub mod sweep;
mod walk;

#[doc(hidden)]
pub use async_trait::async_trait as __async_trait;
pub use capability::{Capabilities, Capability};
pub use env::{Crash, Damage, Engine, Env};
pub use lab::{CLUSTER, Handle, Lab, NODE};
pub use model::{Content, Model};
pub use run::{Case, MakeEnv, Outcome, SEEDS};

/// Makes an [`Engine`] called `$name` of a backend's own engine, whose `group(id)` answers a `Result` of a handle, whose `groups()`
/// tells the groups, and whose `close()` is awaited for a `Result`.
///
/// ```
/// # use eraft_core::{GroupId, Result};
/// # struct MyEngine(eraft_core::MemoryEngine);
/// # impl MyEngine {
/// #     fn group(&self, id: GroupId) -> Result<eraft_core::MemoryStorage> { self.0.group(id) }
/// #     fn groups(&self) -> Vec<GroupId> { self.0.groups() }
/// #     async fn close(&self) -> Result<()> { self.0.close() }
/// # }
/// eraft_conformance::engine!(Open(MyEngine));
///
/// fn open(engine: MyEngine) -> Box<dyn eraft_conformance::Engine> {
///     Box::new(Open(engine))
/// }
/// ```
#[macro_export]
macro_rules! engine {
    ($name:ident($engine:ty)) => {
        pub(crate) struct $name(pub(crate) $engine);

        #[$crate::__async_trait]
        impl $crate::Engine for $name {
            async fn group(
                &self,
                id: ::eraft_core::GroupId,
            ) -> ::eraft_core::Result<::std::sync::Arc<dyn ::eraft_core::Storage>> {
                Ok(::std::sync::Arc::new(self.0.group(id)?))
            }

            async fn groups(&self) -> ::eraft_core::Result<::std::vec::Vec<::eraft_core::GroupId>> {
                Ok(self.0.groups())
            }

            async fn close(&self) -> ::eraft_core::Result<()> {
                self.0.close().await
            }
        }
    };
}

/// Makes one test of every case; takes what makes an [`Env`] from a seed.
///
/// Where a seed is dear, or the backend needs what a machine may lack, a function comes second: by a case's name it says how many seeds
/// the case runs under unless the environment says otherwise, and 0 for one that cannot run here, after having told so
/// ([`machine::skip`]).
#[macro_export]
macro_rules! conformance {
    ($env:expr) => {
        $crate::conformance! { $env, |_case| $crate::SEEDS }
    };
    ($env:expr, $seeds:expr) => {
        $crate::__each_case! { __conformance_tests $env, $seeds }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($env:expr, $seeds:expr; $($topic:ident :: $name:ident [$($need:ident)*];)*) => {
        $(
            #[test]
            fn $name() {
                let seeds: fn(&str) -> u64 = $seeds;
                let seeds = seeds(stringify!($name));
                if seeds > 0 {
                    $crate::cases::find(stringify!($name)).test_under(seeds, &|seed| {
                        let make = $env;
                        Box::new(make(seed))
                    });
                }
            }
        )*
    };
}
