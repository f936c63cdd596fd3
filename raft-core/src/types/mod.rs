//! The nouns of Raft: ids, entries, configurations, the hard state, the outline of a log, snapshots.
//!
//! Types may assume nothing about where their values came from: whatever is decoded from bytes is checked by the
//! type's own `is_valid` before anything else sees it.

mod conf_state;
mod entry;
mod ids;
mod outline;
mod snapshot;
mod state;

pub use conf_state::{ConfState, Member};
pub use entry::{Entry, EntryKind};
pub use ids::{ClusterId, EntryId, GroupId, LogIndex, NodeId, StoreId, Term};
pub use outline::LogOutline;
pub use snapshot::{SnapshotMeta, SnapshotReader, StagedSnapshot};
pub use state::{Expected, HardState, Identity, LogChange, RaftState, RaftStateUpdate};
