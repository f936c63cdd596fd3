//! Whole nodes under `strace`, and what its record shows of the order of things: nothing that vouches for a write leaves a
//! node before the sync that covers the write has returned.
//!
//! One `strace` follows all nodes, so that its lines stand in one order. A thread waits at the beginning and at the end of
//! each call that is recorded until the line is written, so what happened before and could be known stands before. A sync
//! *covers* a write if it is of the same file and began after the write had returned; in a file that was created or renamed
//! while the record ran, a write counts once the directory was synced, too.
//!
//! - [`supervisor`] starts and kills the nodes, [`load`] writes to them and remembers what it asked.
//! - [`calls`] reads the record. [`disks`] follows what is durable where, [`streams`] what the sockets were given.
//! - [`order`] holds the one against the other.
//!
//! It knows nothing of how a store lays out its bytes but this: a command, and a hard state as
//! `eraft_core::codec` writes it, stand somewhere in one piece in what is written, neither compressed nor encrypted.

pub mod calls;
pub mod disks;
pub mod load;
pub mod order;
pub mod streams;
pub mod supervisor;

/// How a command is told among other bytes: eight digits follow.
pub const MARK: &str = "mark-";

/// Every command that stands in these bytes.
pub fn marks(bytes: &[u8]) -> Vec<u32> {
    let mut found = Vec::new();
    for at in 0..bytes.len().saturating_sub(MARK.len() + 7) {
        if let Some(digits) = bytes[at..].strip_prefix(MARK.as_bytes()) {
            found.extend(std::str::from_utf8(&digits[..8]).ok().and_then(|digits| digits.parse::<u32>().ok()));
        }
    }
    found
}
