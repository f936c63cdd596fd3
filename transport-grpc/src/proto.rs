//! The protocol as it was compiled from `proto/raft.proto`. For tests and tools that speak it themselves; what the rest
//! of the crate takes from it is checked before it is believed.

#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    rust_2018_idioms,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

tonic::include_proto!("eraft.v1");
