//! What `S3Storage` does when the bucket is down, slow or lying.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "tests, whose clock is paused"
)]

mod bucket;
mod drops;
mod itself;
mod judge;
mod kept;
mod life;
mod sweep;
