//! Elections: how a node moves from role to role (section 5.2, and section 9.6 of Ongaro's dissertation).
//!
//! Everything that makes a node campaign, vote, lead or step down is here. It must never vote twice in a term, nor help to
//! replace a leader that is alive.

use super::{
    Raft, candidate::Candidate, follower::Follower, leader::Leader, pre_candidate::PreCandidate, role::RoleState,
};
use crate::{
    message::MessageBody,
    types::{EntryId, LogIndex, NodeId, Term},
};

impl Raft {
    /// Time has passed: sends heartbeats, steps down, or asks whether a campaign would be won.
    pub(super) fn on_timeout(&mut self) {
        match &mut self.role {
            RoleState::Leader(leader) if leader.is_cut_off(&self.server) => self.follow(None),
            RoleState::Leader(leader) => leader.heartbeat_if_due(&mut self.server),
            other if self.server.now >= other.election_deadline() && self.server.may_campaign() => {
                let pre_candidate = PreCandidate::ask(&mut self.server);
                self.play(RoleState::PreCandidate(pre_candidate), None);
                self.campaign_if_promising();
            }
            _ => {}
        }
    }

    /// The state machine holds everything up to `index`. Where that ends a restore, this node has no reason any more to let
    /// the others campaign first.
    pub(super) fn on_applied(&mut self, index: LogIndex) {
        let had_its_state = self.server.has_its_state();
        self.server.applied_to(index);
        if !had_its_state
            && self.server.has_its_state()
            && let RoleState::Follower(follower) = &mut self.role
        {
            follower.deadline = follower.deadline.min(self.server.draw_election_deadline());
        }
    }

    /// Whether a leader is known to be alive: one that was heard of late, or this very node, which steps down when it no
    /// longer reaches a quorum.
    pub(super) fn leader_is_alive(&self) -> bool {
        match &self.role {
            RoleState::Follower(follower) => follower.leader_is_alive(&self.server),
            RoleState::PreCandidate(_) | RoleState::Candidate(_) => false,
            RoleState::Leader(leader) => !leader.is_cut_off(&self.server),
        }
    }

    /// Enters a newer term that a message bears, `leader` being its leader if that is known (section 5.1).
    pub(super) fn adopt(&mut self, term: Term, leader: Option<NodeId>) {
        self.server.enter_term(term);
        match &mut self.role {
            // It keeps its deadline: a stream of newer terms must not keep it from campaigning.
            RoleState::Follower(follower) => follower.forget_leader(),
            _ => self.follow(leader),
        }
    }

    /// Becomes a follower in the current term; `leader` leads, if known.
    pub(super) fn follow(&mut self, leader: Option<NodeId>) {
        let deadline = self.server.draw_election_deadline();
        self.play(RoleState::Follower(Follower::new(deadline)), leader);
    }

    /// Says whether it would vote for `from` in the term after this one; nothing changes by it.
    pub(super) fn on_request_pre_vote(&mut self, from: NodeId, last: EntryId) {
        let granted = self.server.is_up_to_date(last);
        self.server.send(from, MessageBody::PreVote { granted });
    }

    /// Votes for `from` if it has not voted for another, nor knows of a leader, and the log of `from` is up to date.
    pub(super) fn on_request_vote(&mut self, from: NodeId, last: EntryId) {
        let free = match self.server.vote {
            Some(vote) => vote == from,
            None => self.role.leader(self.server.id()).is_none(),
        };
        let granted = free && self.server.is_up_to_date(last);
        if granted {
            self.server.vote_for(from);
            // Whoever has a vote to give is no candidate, and now leaves `from` the time to win.
            self.follow(None);
        }
        self.server.send(from, MessageBody::Vote { granted });
    }

    /// Counts a pre-vote. Whether it was asked for.
    pub(super) fn on_pre_vote(&mut self, from: NodeId, granted: bool) -> bool {
        let RoleState::PreCandidate(pre_candidate) = &mut self.role else { return false };
        if granted {
            pre_candidate.granted_by(from);
            self.campaign_if_promising();
        }
        true
    }

    /// Counts a vote. Whether it was asked for.
    pub(super) fn on_vote(&mut self, from: NodeId, granted: bool) -> bool {
        let RoleState::Candidate(candidate) = &mut self.role else { return false };
        if granted {
            candidate.granted_by(from);
            self.lead_if_elected();
        }
        true
    }

    /// Leads, if it is a candidate that has won.
    pub(super) fn lead_if_elected(&mut self) {
        if let RoleState::Candidate(candidate) = &mut self.role
            && candidate.has_won(&self.server)
        {
            let leader = Leader::begin(&mut self.server);
            self.play(RoleState::Leader(Box::new(leader)), None);
        }
    }

    /// Campaigns, if it is a pre-candidate that would win.
    fn campaign_if_promising(&mut self) {
        if let RoleState::PreCandidate(pre_candidate) = &self.role
            && pre_candidate.would_win(&self.server)
        {
            let candidate = Candidate::campaign(&mut self.server);
            self.play(RoleState::Candidate(candidate), None);
            self.lead_if_elected();
        }
    }

    fn play(&mut self, role: RoleState, leader: Option<NodeId>) {
        if let RoleState::Leader(lost) = std::mem::replace(&mut self.role, role) {
            lost.end(&mut self.server, leader);
        }
    }
}
