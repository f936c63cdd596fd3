//! Who decides what a crash does: everything that the fault model leaves open is one question here.
//!
//! [`Image::crash`](super::Image::crash) asks, and an answer can never lead outside the model: what is durable is not
//! asked about, and answers that contradict each other (a rename kept of a file whose creation is not) are mended by the
//! image.

use super::journal::{Inode, OperationId};

/// What a sector reads as that holds nothing synced and has lost what was written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filler {
    /// Zeros.
    Zeros,
    /// Noise from this seed.
    Noise(u64),
    /// What another file holds at the same place; which one, by this seed.
    Stale(u64),
}

/// A change of a file's length that is not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthChange {
    /// A write ended here.
    AtLeast(u64),
    /// The length was set.
    Exactly(u64),
}

impl LengthChange {
    /// The length in it.
    pub fn len_bytes(self) -> u64 {
        match self {
            LengthChange::AtLeast(len_bytes) | LengthChange::Exactly(len_bytes) => len_bytes,
        }
    }
}

/// The answers.
pub trait Fates {
    /// Whether a creation, rename or removal survives.
    fn keeps_name(&mut self, operation: OperationId) -> bool;

    /// Whether a sector survives as this write left it. Asked from the newest write of the sector to the oldest, until one
    /// survives.
    fn keeps_sector(&mut self, operation: OperationId, inode: Inode, sector: usize) -> bool;

    /// How long a file is: its durable length, or one of those in `changes`.
    fn length(&mut self, inode: Inode, durable: u64, changes: &[(OperationId, LengthChange)]) -> u64;

    /// What a lost sector without anything synced holds.
    fn filler(&mut self, inode: Inode, sector: usize) -> Filler;
}
