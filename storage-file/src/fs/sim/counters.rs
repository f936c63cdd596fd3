//! What a simulated disk has seen: so that a test can assert a cost, and that the rare state it is about was reached.

use std::collections::BTreeMap;

use super::Call;

/// Calls and bytes since the disk was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls of each kind, failed ones included.
    pub calls: BTreeMap<Call, u64>,
    /// Bytes that reads gave.
    pub read_bytes: u64,
    /// Bytes that writes took.
    pub written_bytes: u64,
}

impl Counters {
    /// Calls of one kind.
    pub fn of(&self, call: Call) -> u64 {
        self.calls.get(&call).copied().unwrap_or(0)
    }

    /// Calls that change what is stored, or what of it is durable.
    pub fn mutating(&self) -> u64 {
        self.calls.iter().filter(|(call, _)| call.is_mutating()).map(|(_, count)| count).sum()
    }
}

/// How often a crash has really done each of the things it may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Power cuts.
    pub crashes: u64,
    /// Process kills.
    pub kills: u64,
    /// Unsynced sectors that survived.
    pub sectors_kept: u64,
    /// Sectors that lost at least the newest of their unsynced versions.
    pub sectors_lost: u64,
    /// Writes of which one sector survived and another did not.
    pub writes_torn: u64,
    /// Crashes after which a later write was there and an earlier one was not.
    pub writes_reordered: u64,
    /// Lost sectors without synced content that read as zeros.
    pub sectors_zeroed: u64,
    /// Lost sectors without synced content that read as something else.
    pub sectors_garbled: u64,
    /// Files that were shorter afterwards.
    pub lengths_lost: u64,
    /// Unsynced directory operations that survived.
    pub names_kept: u64,
    /// Files and directories whose creation was undone.
    pub creates_undone: u64,
    /// Removals that were undone: the file is back.
    pub removes_undone: u64,
    /// Renames that were undone.
    pub renames_undone: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Sectors that a failed sync lost while they count as clean.
    pub sectors_lost_by_failed_sync: u64,
}
