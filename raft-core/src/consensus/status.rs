//! What the core tells of itself.

use std::collections::BTreeMap;

use crate::types::{ConfState, EntryId, LogIndex, NodeId, Term};

/// What part a node plays (section 5.1, and the pre-candidate of section 9.6 of the dissertation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether an election would be won.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// Why something received was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// Addressed to another node.
    NotForUs,
    /// From a node that is no member.
    NotAMember,
    /// An answer of an earlier term.
    StaleTerm,
    /// An answer to something that was not asked, or that no longer matters.
    Unexpected,
    /// Something no correct node sends: entries out of order, a second leader in one term, a match beyond the log.
    Impossible,
    /// A vote request while the leader is alive.
    LeaderAlive,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [DropReason; 6] = [
        DropReason::NotForUs,
        DropReason::NotAMember,
        DropReason::StaleTerm,
        DropReason::Unexpected,
        DropReason::Impossible,
        DropReason::LeaderAlive,
    ];

    /// Its name, in lower case with underscores.
    pub fn as_str(self) -> &'static str {
        match self {
            DropReason::NotForUs => "not_for_us",
            DropReason::NotAMember => "not_a_member",
            DropReason::StaleTerm => "stale_term",
            DropReason::Unexpected => "unexpected",
            DropReason::Impossible => "impossible",
            DropReason::LeaderAlive => "leader_alive",
        }
    }
}

/// A snapshot of a [`Raft`](super::Raft)'s state, for people and metrics.
#[derive(Clone, Debug)]
pub struct Status {
    /// This node.
    pub id: NodeId,
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<NodeId>,
    /// Who leads, as far as is known.
    pub leader: Option<NodeId>,
    /// The last index known to be committed.
    pub commit: LogIndex,
    /// The last index that the state machine has reported applied.
    pub applied: LogIndex,
    /// The last index that is durable here.
    pub durable: LogIndex,
    /// The entry before the first one kept.
    pub base: EntryId,
    /// The last entry, durable or not.
    pub last: EntryId,
    /// The last entry of the published snapshot; 0 without one.
    pub snapshot: EntryId,
    /// The configuration in force.
    pub conf_state: ConfState,
    /// On a leader, every other member.
    pub peers: BTreeMap<NodeId, PeerStatus>,
    /// What was dropped, by reason.
    pub dropped: BTreeMap<DropReason, u64>,
}

/// The part of a [`Status`] that a driver looks at after every turn: plain numbers, nothing to allocate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// Who leads, as far as is known.
    pub leader: Option<NodeId>,
    /// The last index known to be committed.
    pub commit: LogIndex,
    /// The last index that the state machine has reported applied.
    pub applied: LogIndex,
}

/// What a leader knows of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The last index known to be durable there.
    pub match_index: LogIndex,
    /// The next index to be sent.
    pub next_index: LogIndex,
    /// Messages under way, a snapshot among them.
    pub inflight: usize,
    /// Whether it needs a snapshot, or has just been sent one.
    pub needs_snapshot: bool,
}
