//! S3 over plain files on the simulated disk passes the suite, on the best server that this machine has: the stand-in in a container,
//! or whatever the environment names. Power cuts, faults and damage are those of the disk; the bucket stays.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

// Its paths begin at this crate's root.
#[path = "../../../storage-file/tests/conformance/env.rs"]
mod env;
#[path = "../../../storage-file/tests/conformance/mount.rs"]
mod mount;
#[path = "../over/mod.rs"]
mod over;

use eraft_s3_servers::fixture;

eraft_conformance::conformance!(
    |seed| over::S3Env::new(seed, env::FileEnv::new(seed), fixture::server().access()),
    // Every snapshot goes through a container: many seeds are for long runs.
    |_case| if std::env::var("ERAFT_LONG").is_ok_and(|long| long == "1") { eraft_conformance::SEEDS } else { 1 }
);
