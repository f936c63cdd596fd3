//! eRaft: consensus for your own service, on storage whose durability is proven.
//!
//! This crate is the door: it re-exports the pieces and holds no logic. Plug in a [`StateMachine`], pick a backend by a
//! cargo feature, and a [`Node`] never loses an acknowledged write.

pub use eraft_core::*;
pub use eraft_node::*;
