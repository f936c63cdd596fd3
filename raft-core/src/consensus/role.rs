//! Roles: each a struct that owns the fields only it has (section 5.1).

use super::{Now, Role, candidate::Candidate, follower::Follower, leader::Leader, pre_candidate::PreCandidate};
use crate::types::NodeId;

/// The role a node plays, with what belongs to it.
#[derive(Debug)]
pub(super) enum RoleState {
    Follower(Follower),
    PreCandidate(PreCandidate),
    Candidate(Candidate),
    Leader(Box<Leader>),
}

impl RoleState {
    /// Which one it is.
    pub(super) fn role(&self) -> Role {
        match self {
            RoleState::Follower(_) => Role::Follower,
            RoleState::PreCandidate(_) => Role::PreCandidate,
            RoleState::Candidate(_) => Role::Candidate,
            RoleState::Leader(_) => Role::Leader,
        }
    }

    /// Who leads, as far as a node in this role, with this id, knows.
    pub(super) fn leader(&self, own: NodeId) -> Option<NodeId> {
        match self {
            RoleState::Follower(follower) => follower.leader(),
            RoleState::PreCandidate(_) | RoleState::Candidate(_) => None,
            RoleState::Leader(_) => Some(own),
        }
    }

    /// When this role gives up waiting for an election or a leader; a leader's deadlines are its own matter.
    pub(super) fn election_deadline(&self) -> Now {
        match self {
            RoleState::Follower(follower) => follower.deadline,
            RoleState::PreCandidate(pre_candidate) => pre_candidate.deadline,
            RoleState::Candidate(candidate) => candidate.deadline,
            RoleState::Leader(_) => Now::NEVER,
        }
    }
}
