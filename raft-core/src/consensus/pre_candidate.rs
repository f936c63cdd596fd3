//! The pre-candidate: asks whether it would win, before its campaign costs anyone a term (section 9.6 of Ongaro's
//! dissertation).
//!
//! A node that was cut off asks in vain, so its return disturbs nobody. Nothing here is durable, nor needs to be.

use std::collections::BTreeSet;

use super::{Now, quorum, server::Server};
use crate::{message::MessageBody, types::NodeId};

/// A node that asks for pre-votes.
#[derive(Debug)]
pub(super) struct PreCandidate {
    /// When it asks again.
    pub(super) deadline: Now,
    granted: BTreeSet<NodeId>,
}

impl PreCandidate {
    /// Asks every voter; its own pre-vote is granted.
    pub(super) fn ask(server: &mut Server) -> PreCandidate {
        let last = server.log.last();
        for voter in voters_but_self(server) {
            server.send(voter, MessageBody::RequestPreVote { last });
        }
        PreCandidate { deadline: server.draw_election_deadline(), granted: BTreeSet::from([server.id()]) }
    }

    /// Counts a pre-vote.
    pub(super) fn granted_by(&mut self, voter: NodeId) {
        self.granted.insert(voter);
    }

    /// Whether an election would be won.
    pub(super) fn would_win(&self, server: &Server) -> bool {
        quorum::agrees(server.conf(), &self.granted)
    }
}

/// Whom to ask for a vote.
pub(super) fn voters_but_self(server: &Server) -> Vec<NodeId> {
    server.conf().peers(server.id()).filter(|id| server.conf().is_voter(*id)).collect()
}
