//! Plain files on the simulated disk pass the suite, power cuts, faults and damage included.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod env;
mod mount;

eraft_conformance::conformance!(env::FileEnv::new);
