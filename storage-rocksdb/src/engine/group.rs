//! One group of an engine: what is committed of it.

use std::sync::Arc;

use eraft_core::{GroupId, RaftState};

use crate::{rows::GroupState, snapshot::held::Held};

/// One group, as its handle, the writer thread and readers share it.
pub(crate) type Group = eraft_storage_kit::Group<Committed>;

/// What reads see.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) state: RaftState,
    pub(crate) live_bytes: u64,
    /// The published snapshot, whose chunks stay for as long as anybody has it.
    pub(crate) snapshot: Option<Arc<Held>>,
    /// Whether anything was ever saved.
    pub(crate) exists: bool,
}

/// A group as it was found.
pub(crate) fn found(id: GroupId, group: &GroupState, snapshot: Option<Arc<Held>>, exists: bool) -> Group {
    let state = group.state.clone();
    Group::new(id, state.clone(), Committed { state, live_bytes: group.live_bytes(), snapshot, exists })
}
