//! The engine over both disks: what comes back after a close, a kill, a power cut and damage.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod crash;
mod directory;
mod durable;
mod imitation;
mod lives;
mod metrics;
mod model;
mod reopen;
mod room;
mod snapshots;
mod support;
mod torn;
