//! A three-node key-value cluster on RocksDB, or one node of it.
//!
//! ```text
//! cargo run --release --features rocksdb --example rocksdb_node      # three nodes on loopback, data in ./eraft-rocksdb-data
//! cargo run --release --features rocksdb --example rocksdb_node -- --help
//! ```
//!
//! All that is particular to this backend is below. The service is in `examples/kv`, the set-up in `examples/cluster`;
//! the nodes of other backends share both.

#![allow(unreachable_pub, reason = "in a program, `pub` says what a module offers to the others")]

mod cluster;
mod kv;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    cluster::main::<cluster::InTheStore>(cluster::Backend {
        scheme: "rocksdb",
        name: "RocksDB",
        data: "eraft-rocksdb-data",
    })
    .await
}
