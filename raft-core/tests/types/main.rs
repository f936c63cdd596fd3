//! The types against models that are right at a glance.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod codec;
mod conf_state;
mod make;
mod outline;
mod plain;
mod state;
