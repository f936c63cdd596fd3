//! Every state in which a crash may leave a disk, made and put to the test: for backends that write through a seam.
//!
//! A workload is recorded once, operation by operation. Then a disk is built as it may be after a crash at every point
//! (all lost, all kept, one operation lost or kept, subsets, torn writes, lost lengths, names undone, garbage where
//! nothing was ever synced), within what [docs/TESTING.md] calls "the disk we assume", no kinder and no crueller. On each
//! the store must open, hold everything acknowledged, show nothing that was never saved and nothing that was replaced;
//! then it acknowledges more, the power is cut again, and it must hold that, too.
//!
//! The author of a backend writes a [`Backend`], whose stores do their input and output on a [`Disk`], and calls [`run`].
//! The parts, from the bottom up:
//!
//! - `journal`: operations as plain data; `sector`, `file`, `names`, `image`: what a disk holds, and what a crash leaves;
//!   `fates`: the questions that a crash asks; `disk`: the seam, which records;
//! - `steps`, `history`, `driver`, `workload`: saves of every kind, and what must be seen after them;
//! - `category`, `choice`, `states`: which crashes there are, and their states one after the other;
//! - `check`, `run`, `report`: what each must stand, on all cores, and a table.
//!
//! It may assume that the backend is deterministic under the seeds that it is given, and writes only while a call or a
//! save is under way. It must never tell a backend more than a disk and a clockless world would.
//!
//! [docs/TESTING.md]: https://github.com/eraft-rs/eraft/blob/main/docs/TESTING.md

mod category;
mod check;
mod choice;
mod disk;
mod driver;
mod fates;
mod file;
pub(crate) mod history;
mod image;
mod journal;
mod names;
mod report;
mod run;
mod sector;
mod states;
pub(crate) mod steps;
mod workload;

use eraft_core::{ClusterId, Expected, Identity, NodeId, Result};

pub use category::Category;
pub use disk::{Disk, DiskFile, DiskLock, Node};
pub use fates::{Fates, Filler, LengthChange};
pub use image::Image;
pub use journal::{Inode, Journal, Mark, Operation, OperationId};
pub use report::Report;
pub use run::{Plan, run};
pub use sector::SECTOR_BYTES;

use crate::Engine;

/// How stores of a backend come to stand on a [`Disk`].
///
/// Both calls must do all their input and output on the disk that they are given, and draw everything random from `seed`.
/// Nothing may be written but while a call is under way or a save waits for its receipt: no timer, no idle work.
pub trait Backend: Send + Sync {
    /// The backend's `create`, at a place of its own choice, always the same.
    ///
    /// # Errors
    /// As the backend's own.
    fn create(&self, disk: &Disk, cluster: ClusterId, node: NodeId, seed: u64) -> Result<Identity>;

    /// The backend's `open` of that place.
    ///
    /// # Errors
    /// As the backend's own.
    fn open(&self, disk: &Disk, expected: Expected, seed: u64) -> Result<Box<dyn Engine>>;

    /// The same for a process that waits for each save before it makes the next: there are three to each state. A backend
    /// that can do its work in the caller's thread then is enumerated faster.
    ///
    /// # Errors
    /// As [`Backend::open`].
    fn open_alone(&self, disk: &Disk, expected: Expected, seed: u64) -> Result<Box<dyn Engine>> {
        self.open(disk, expected, seed)
    }
}
