//! What a node tells of itself, for people and metrics.

use std::collections::BTreeMap;

use eraft_core::{Identity, NodeId, Role, Status, Term};

use crate::StopCause;

/// Who leads, as this node knows it; [`Node::watch`](crate::Node::watch) tells every change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// This node's role.
    pub role: Role,
    /// This node's term.
    pub term: Term,
    /// Who leads, as far as is known.
    pub leader: Option<NodeId>,
}

/// How a node is doing. Each number is read on its own, so they may differ by a moment.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// Whose data it runs on.
    pub identity: Identity,
    /// What the core tells.
    pub raft: Status,
    /// Requests that await their answer.
    pub pending_requests: u64,
    /// Messages that have arrived and wait for the loop.
    pub inbox_messages: u64,
    /// Saves whose receipt is out.
    pub unsaved_saves: u64,
    /// Bytes of entries in them.
    pub unsaved_bytes: u64,
    /// Entries in the cache.
    pub cached_entries: u64,
    /// Bytes of entries in the cache.
    pub cached_bytes: u64,
    /// Live bytes of state and log ([`Storage::raft_state_size`](eraft_core::Storage::raft_state_size)).
    pub raft_state_size_bytes: u64,
    /// Live bytes of the published snapshot.
    pub snapshot_size_bytes: u64,
    /// Bytes that entries may still take in the store.
    pub room_bytes: u64,
    /// What the store tells of itself beside that ([`Storage::facts`](eraft_core::Storage::facts)).
    pub storage_facts: Vec<(&'static str, String)>,
    /// Appends that were dropped because the store could not take more.
    pub dropped_appends: u64,
    /// Snapshots under way, and those that are done.
    pub snapshots: SnapshotActivity,
    /// What waits for each peer.
    pub peers: BTreeMap<NodeId, PeerQueues>,
    /// Why the node has ended, if it has.
    pub stopped: Option<StopCause>,
}

/// What a node does about snapshots; which one is published is in [`Status::snapshot`], how large it is in
/// [`NodeStatus::snapshot_size_bytes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotActivity {
    /// Whether one is being taken of the state machine.
    pub taking: bool,
    /// How many are being sent.
    pub sending: u64,
    /// Whether one is coming in.
    pub receiving: bool,
    /// How many were taken and staged since the start.
    pub taken: u64,
    /// How many were sent, and staged by their peer, since the start.
    pub sent: u64,
    /// How many were received and staged since the start.
    pub received: u64,
}

/// What waits for one peer, and what was lost on its way there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerQueues {
    /// Messages without entries that wait to be sent.
    pub messages: u64,
    /// Entries that wait to be read and sent.
    pub entries: u64,
    /// Bytes of entries sent and not yet acknowledged.
    pub inflight_bytes: u64,
    /// Messages dropped because the queue was full.
    pub dropped: u64,
    /// Messages that the transport could not hand on.
    pub unreachable: u64,
}
