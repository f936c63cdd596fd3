//! The suite out of process: for an engine that has no seam of ours under it, so that nothing but a real kill ends it and
//! nothing but a real file system forgets what it did not sync.
//!
//! A *host* process has the store open on a loop-mounted file system and does what this one asks; a kill is `SIGKILL`, a
//! power cut shuts the file system down under it, a failing system call is `strace`'s work. The author writes an
//! [`Opener`], and one line that makes all the tests:
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use eraft_conformance::{Engine, remote::{Location, Opener}};
//! use eraft_core::{ClusterId, Expected, Identity, NodeId, Result};
//! # use eraft_core::{GroupId, MemoryEngine, Storage};
//! # struct MyEngine(MemoryEngine);
//! # #[async_trait]
//! # impl Engine for MyEngine {
//! #     async fn group(&self, id: GroupId) -> Result<Arc<dyn Storage>> { Ok(Arc::new(self.0.group(id)?)) }
//! #     async fn groups(&self) -> Result<Vec<GroupId>> { Ok(self.0.groups()) }
//! #     async fn close(&self) -> Result<()> { self.0.close() }
//! # }
//! # mod my_backend {
//! #     use eraft_core::*;
//! #     pub async fn create(_: &std::path::Path, c: ClusterId, n: NodeId) -> Result<Identity> { MemoryEngine::create(&MemoryDisk::new(1), c, n) }
//! #     pub async fn open(_: &std::path::Path, e: Expected) -> Result<MemoryEngine> { MemoryEngine::open(&MemoryDisk::new(1), e) }
//! # }
//!
//! struct MyOpener;
//!
//! #[async_trait]
//! impl Opener for MyOpener {
//!     async fn create(&self, at: &Location, cluster: ClusterId, node: NodeId) -> Result<Identity> {
//!         my_backend::create(&at.directory, cluster, node).await
//!     }
//!     async fn open(&self, at: &Location, expected: Expected) -> Result<Box<dyn Engine>> {
//!         Ok(Box::new(MyEngine(my_backend::open(&at.directory, expected).await?)))
//!     }
//! }
//!
//! eraft_conformance::remote_conformance!(MyOpener);
//! ```
//!
//! Each test is its own host: started again with a variable set, it holds stores instead of testing. What the machine
//! lacks (probes `loop-ext4`, `loop-xfs`, `strace`) it does not declare, and says so. A case runs under one seed unless
//! `ERAFT_SEEDS` or `ERAFT_LONG` ask for more: a power cut takes a tenth of a second here.
//!
//! The host may be asked anything that the ports offer, in any order, and must behave as the backend would in process.
//! What shows at one moment alone (receipts that resolve in the wrong order in one go) may be over when this process looks:
//! cases about order and concurrency are stronger in process.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the machine of a test: real files, processes, threads and time"
)]

mod env;
mod ground;
mod host;
mod process;
mod proxy;
mod wire;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use eraft_core::{ClusterId, Expected, Identity, NodeId, Result};
use serde::{Deserialize, Serialize};

pub use env::RemoteEnv;
pub use host::{host, is_host};
pub use process::HostCommand;

use crate::{Capabilities, Engine, cases};

/// How many seeds a case runs under when `ERAFT_LONG` is set: half of them on ext4, half on XFS.
const LONG_SEEDS: u64 = 8;

/// Where a store is to lie.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Location {
    /// It does not exist before the store is created; the directory that it is in does.
    pub directory: PathBuf,
    /// For options that are best varied: the same for all stores of a case, another under another seed.
    pub seed: u64,
}

/// How a backend's stores come to be and are opened; all that its author writes.
#[async_trait]
pub trait Opener: Send + Sync + 'static {
    /// The backend's `create`; called in the host.
    async fn create(&self, at: &Location, cluster: ClusterId, node: NodeId) -> Result<Identity>;

    /// The backend's `open`; called in the host.
    async fn open(&self, at: &Location, expected: Expected) -> Result<Box<dyn Engine>>;

    /// What the backend can be put through; what the machine lacks is taken away from it.
    fn capabilities(&self) -> Capabilities {
        Capabilities::all()
    }

    /// Whether a failed sync or write of this file is the backend's concern: an engine's own journal of what it does may
    /// fail without harm. Where no such file exists yet, the first call on any file fails.
    fn can_fail(&self, _file: &Path) -> bool {
        true
    }

    /// Whether damage to this file could do harm: room that is merely kept back holds nothing, and would draw most of the
    /// damage to itself.
    fn holds_data(&self, _file: &Path) -> bool {
        true
    }
}

/// Runs a case as a test of what `opener` opens, or, in a process that was started to, holds its stores.
#[doc(hidden)]
pub fn test(module: &str, case: &str, opener: Arc<dyn Opener>) {
    if is_host() {
        return host(opener);
    }
    // libtest's names begin below the crate.
    let name = module.split_once("::").map_or_else(|| case.to_owned(), |(_, module)| format!("{module}::{case}"));
    let seeds = if std::env::var("ERAFT_LONG").is_ok_and(|long| long == "1") { LONG_SEEDS } else { 1 };
    cases::find(case)
        .test_under(seeds, &|seed| Box::new(RemoteEnv::new(seed, opener.clone(), HostCommand::this_test(&name))));
}

/// Makes one test of every case, each run out of process; takes an [`Opener`](crate::remote::Opener).
#[macro_export]
macro_rules! remote_conformance {
    ($opener:expr) => {
        $crate::__each_case! { __remote_conformance_tests $opener }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __remote_conformance_tests {
    ($opener:expr; $($topic:ident :: $name:ident [$($need:ident)*];)*) => {
        $(
            #[test]
            fn $name() {
                $crate::remote::test(module_path!(), stringify!($name), ::std::sync::Arc::new($opener));
            }
        )*
    };
}
