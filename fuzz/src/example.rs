//! The example's own files, which are in no library.
#![allow(dead_code, reason = "the example needs more of them")]

#[path = "../../examples/kv/codec.rs"]
pub(crate) mod codec;
#[path = "../../examples/kv/commands.rs"]
mod commands;
#[path = "../../examples/kv/request.rs"]
pub(crate) mod request;
#[path = "../../examples/kv/session.rs"]
mod session;
#[path = "../../examples/kv/store.rs"]
pub(crate) mod store;
