//! A key-value service on top of eRaft: it speaks enough of Redis' protocol for redis-cli, redis-benchmark and
//! Redis' cluster clients.
//!
//! This is what embedding eRaft takes, in reading order:
//!
//! 1. [`store`]: the state machine. It alone changes the data, one committed command at a time.
//! 2. [`service`]: what a client's request becomes. A write is `node.propose(..)` and its reply; a read is
//!    `node.linearizable_read()` and a look at the store; an error of either becomes a redirection or an honest refusal.
//! 3. [`connection`]: one client, its pipeline, its bounds. [`server`]: all of them.
//! 4. [`codec`], [`request`], [`commands`], [`session`] and [`info`]: Redis' language, which has nothing to do with Raft.
//!
//! The service never answers a write with anything but an error before it is committed and applied, and never reads
//! without having asked whether the store is current.

mod codec;
mod commands;
mod connection;
mod info;
mod request;
mod server;
mod service;
mod session;
mod store;

pub use server::Server;
pub use service::Service;
pub use store::Store;
