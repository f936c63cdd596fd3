//! S3 servers for tests: one by which snapshots in object storage are tried on every machine, and others that we did not write.
//!
//! [`fixture::server`] gives the best server that this machine has: one that it was told of, one in a container, or else the
//! stand-in in this process, and says in one line which and why. [`stand_in`] is our own server, [`container`] whatever an image
//! holds, [`moto`] the one of the Python package. All of them are an [`Access`] to a bucket, and some can be stopped, paused and
//! started again.
//!
//! This crate serves tests and benchmarks alone; nothing that is shipped may depend on it. What fails here fails the test that
//! asked, so functions panic with the reason where a server does not do what it must.
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::expect_used,
    reason = "servers for tests: they start processes, threads and containers, wait for them, and read files"
)]

mod access;
pub mod container;
pub mod fixture;
mod lifeline;
pub mod moto;
mod ports;
pub mod stand_in;

pub use access::Access;
