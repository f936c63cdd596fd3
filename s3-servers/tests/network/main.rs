//! `S3Storage` and a server that is cut off, stalls, slows down, stops, pauses and comes back in the midst of what it does.
//!
//! The server is the best that this machine has: one in a container that is stopped and paused, or else the stand-in in this
//! process, which is dropped and started again at its address. Between it and the store is a proxy on the loopback. Time is
//! real here, so the store's own times are short.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests, over real connections and in real time"
)]

mod connections;
mod proxy;
mod servers;
mod store;
