//! Consensus: the Raft paper as a state machine without I/O.
//!
//! Events go in, one [`Ready`] comes out; this folder reads as the table of contents.

mod config;
mod event;
mod ready;
mod status;
mod time;

pub use config::Config;
pub use event::{Event, RequestId};
pub use ready::{ProposeOutcome, ReadOutcome, Ready, Replicate, Save, SaveId};
pub use status::{DropReason, PeerStatus, Role, Status};
pub use time::Now;
