//! The reference storage passes the suite; it skips what memory cannot be put through.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

eraft_conformance::conformance!(|seed| support::MemoryEnv::new(seed, std::sync::Arc::new(|storage| storage)));
