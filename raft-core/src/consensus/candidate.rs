//! The candidate: asks for votes in a term of its own (section 5.2).
//!
//! It votes for itself, and that vote counts, and is spoken of, only once it is durable: a candidate that crashed and
//! forgot it could vote for another in the same term.

use std::collections::BTreeSet;

use super::{Now, pre_candidate::voters_but_self, quorum, server::Server};
use crate::{message::MessageBody, types::NodeId};

/// A node that asks for votes.
///
/// Invariant: the server's vote is its own.
#[derive(Debug)]
pub(super) struct Candidate {
    /// When it gives up; it does not while its own vote is on its way to the disk.
    pub(super) deadline: Now,
    granted: BTreeSet<NodeId>,
}

impl Candidate {
    /// Enters a new term, votes for itself, and asks every other voter once that is durable.
    pub(super) fn campaign(server: &mut Server) -> Candidate {
        server.enter_term(server.term.next());
        server.vote_for(server.id());
        let last = server.log.last();
        for voter in voters_but_self(server) {
            server.send(voter, MessageBody::RequestVote { last });
        }
        Candidate { deadline: Now::NEVER, granted: BTreeSet::new() }
    }

    /// Begins to wait for votes when its own is durable, because only then is anybody asked. A disk slower than the
    /// election timeout would never see a campaign to its end if each were given up before it has begun.
    pub(super) fn saved(&mut self, server: &mut Server) {
        if self.deadline == Now::NEVER && server.saves.vote_is_durable() {
            self.deadline = server.draw_election_deadline();
        }
    }

    /// Counts a vote.
    pub(super) fn granted_by(&mut self, voter: NodeId) {
        self.granted.insert(voter);
    }

    /// Whether the election is won; not before its own vote is durable, however many others have sent theirs unasked.
    pub(super) fn has_won(&mut self, server: &Server) -> bool {
        if !server.saves.vote_is_durable() {
            return false;
        }
        self.granted.insert(server.id());
        quorum::agrees(server.conf(), &self.granted)
    }
}
