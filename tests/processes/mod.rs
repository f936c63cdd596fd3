//! Real processes for the tests: the example's nodes, started, killed and talked to as any user would.
//!
//! Nothing here may look inside a node: what a test knows of it, it was told over a socket, a pipe or an exit status.

#![allow(dead_code, unused_imports, reason = "each test uses the part it needs")]

mod binary;
mod clock;
mod help;
mod hosts;
mod leading;
mod meter;
mod mounts;
mod nodes;
mod ports;
mod refusal;
mod resp;
mod scale;
mod starter;

pub use binary::{Program, file_node};
pub use clock::Clock;
pub use help::{flags_missing, flags_unnamed, subcommands};
pub use hosts::Hosts;
pub use leading::AtLeader;
pub use meter::{Disk, Memory, mib};
pub use mounts::Mounted;
pub use nodes::{Node, Trio, alone, init, wait_until};
pub use ports::free_base_port;
pub use refusal::{refused, refused_by};
pub use resp::{Client, Reply};
pub use scale::is_large;
pub use starter::{Starter, kill, lives};
