//! What the writer thread promises, each promise a test: order, batches, poison, and that no receipt lies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests, which start threads to meet the writer's"
)]

mod batches;
mod ending;
mod handle;
mod poison;
mod rig;
mod stepped;
