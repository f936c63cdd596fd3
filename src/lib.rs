//! eRaft: consensus for your own service, on storage whose durability is proven.
//!
//! This crate is the door: it re-exports the pieces and holds no logic. Plug in a [`StateMachine`], pick a backend by a
//! cargo feature, and a [`Node`] never loses an acknowledged write.

pub use eraft_core::*;
pub use eraft_node::*;
// Not the core's, which only makes the first save, but the node's, which also checks the store and awaits the receipt.
pub use eraft_node::bootstrap;

/// Plain files: a segmented write-ahead log and snapshot files.
#[cfg(feature = "file")]
pub use eraft_storage_file as file;
/// gRPC between nodes.
#[cfg(feature = "grpc")]
pub use eraft_transport_grpc as grpc;
