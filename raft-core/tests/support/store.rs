//! Where a machine keeps what must survive it.
//!
//! A machine always knows what the saves that have completed must have made: its [`Disk`]. A [`Store`] is where they
//! really go, and it says at the next start what became of those that had not completed.

use std::fmt;

use eraft_core::{Save, SnapshotMeta, StagedSnapshot};
use fastrand::Rng;

use super::{Disk, Entries};

/// What it had to do failed. Where that was a save, or the machine has no power any more, the node has ended.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) ends_the_node: bool,
}

pub(crate) trait Store: fmt::Debug {
    /// Takes a save, and begins nothing yet.
    fn save(&mut self, save: &Save);
    /// Makes the oldest `saves` durable that have not completed, together.
    fn complete(&mut self, saves: usize) -> Result<(), Failed>;
    /// Stages a snapshot of these entries.
    fn stage(&mut self, meta: &SnapshotMeta, entries: &Entries) -> Result<StagedSnapshot, Failed>;
    fn discard(&mut self, staged: &StagedSnapshot);
    /// A chance to see whether reads find what is in `disk`.
    fn look(&mut self, disk: &Disk);
    /// What a reader of the published snapshot gets; `disk` is what must be there.
    fn read_snapshot(&mut self, disk: &Disk) -> (SnapshotMeta, Entries);
    /// The machine is gone.
    fn crash(&mut self);
    /// Opens again. `after` is what must be there if none of the saves under way was made, if the first was, and so on:
    /// says which it is, or `None` where opening failed and is to be tried again.
    fn reopen(&mut self, after: &[Disk]) -> Option<usize>;
    /// No faults any more.
    fn heal(&mut self);
}

/// A store that is nothing but what its machine knows already.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Draws how many of the saves under way a crash has left; without it, all that the test itself has left.
    rng: Option<Rng>,
    staged: u64,
}

impl Memory {
    /// A crash loses what the test says.
    pub(crate) fn obedient() -> Memory {
        Memory { rng: None, staged: 0 }
    }

    /// A crash loses any number of the saves that were under way.
    pub(crate) fn forgetful(rng: Rng) -> Memory {
        Memory { rng: Some(rng), staged: 0 }
    }
}

impl Store for Memory {
    fn save(&mut self, _: &Save) {}

    fn complete(&mut self, _: usize) -> Result<(), Failed> {
        Ok(())
    }

    fn stage(&mut self, meta: &SnapshotMeta, entries: &Entries) -> Result<StagedSnapshot, Failed> {
        self.staged += 1;
        let size_bytes = entries.iter().map(eraft_core::Entry::size_bytes).sum();
        Ok(StagedSnapshot { meta: meta.clone(), size_bytes, id: format!("stage-{}", self.staged) })
    }

    fn discard(&mut self, _: &StagedSnapshot) {}

    fn look(&mut self, _: &Disk) {}

    fn read_snapshot(&mut self, disk: &Disk) -> (SnapshotMeta, Entries) {
        (disk.state.snapshot.clone().expect("only what is published is read"), disk.snapshot_entries())
    }

    fn crash(&mut self) {}

    fn reopen(&mut self, after: &[Disk]) -> Option<usize> {
        let all = after.len() - 1;
        Some(self.rng.as_mut().map_or(all, |rng| rng.usize(..=all)))
    }

    fn heal(&mut self) {}
}
