//! The backend over a bucket in memory, and a local store in memory: what it asks, in which order, and what it makes of answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod collecting;
mod fencing;
mod listing;
mod metrics;
mod outages;
mod reads;
mod restoring;
mod snapshots;
mod support;
mod uploads;
