//! S3 over plain files on the simulated disk passes the suite while its bucket is away from first to last: every snapshot is kept in the
//! local store, through power cuts, faults and damage.
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

eraft_conformance::conformance!(|seed| over::S3Env::away(seed, env::FileEnv::new(seed)));
