//! Inbound: which messages are admitted, and what their term does (section 5.1).
//!
//! The one place where a message meets the node's term. Whatever a peer sends, it is dropped and counted, answered with
//! our term, or handed to the role that expects it; nothing here panics.

use super::{DropReason, Raft, claims, follower::Append, role::RoleState};
use crate::{
    message::{Message, MessageBody},
    types::{EntryId, NodeId},
};

impl Raft {
    /// Takes one message from the network.
    pub(super) fn on_message(&mut self, message: Message) {
        if let Some(reason) = self.refuse(&message) {
            return self.server.drop(reason);
        }
        if message.term < self.server.term {
            return self.answer_lower_term(message);
        }
        // A leader that a quorum hears is not replaced by a node that does not hear it. Its own term is not adopted
        // either: that would depose the leader just the same.
        if is_vote_request(&message.body) && self.leader_is_alive() {
            return self.server.drop(DropReason::LeaderAlive);
        }
        if message.term > self.server.term {
            let leader = matches!(message.body, MessageBody::AppendEntries { .. }).then_some(message.from);
            self.adopt(message.term, leader);
            if !is_request(&message.body) {
                // An answer in a newer term: that there is one is all it has to say.
                return;
            }
        }
        self.dispatch(message.from, message.body);
    }

    /// Why a message is dropped before its term is even looked at.
    fn refuse(&self, message: &Message) -> Option<DropReason> {
        if message.to != self.server.id() || message.from == self.server.id() {
            Some(DropReason::NotForUs)
        } else if !self.server.may_be_member(message.from) {
            Some(DropReason::NotAMember)
        } else if !claims::is_plausible(message) {
            Some(DropReason::Impossible)
        } else {
            None
        }
    }

    /// A request of a lower term is answered with ours, pre-votes included, so that a stale leader steps down and nobody
    /// asks for ever; an answer of a lower term is of no use.
    fn answer_lower_term(&mut self, message: Message) {
        let body = match message.body {
            MessageBody::RequestPreVote { .. } => MessageBody::PreVote { granted: false },
            MessageBody::RequestVote { .. } => MessageBody::Vote { granted: false },
            MessageBody::AppendEntries { prev, .. } => MessageBody::Rejected { prev, hint: EntryId::ZERO, round: 0 },
            MessageBody::PreVote { .. }
            | MessageBody::Vote { .. }
            | MessageBody::Appended { .. }
            | MessageBody::Rejected { .. } => return self.server.drop(DropReason::StaleTerm),
        };
        self.server.send(message.from, body);
    }

    /// Hands a message of the current term to whom it concerns.
    fn dispatch(&mut self, from: NodeId, body: MessageBody) {
        let expected = match body {
            MessageBody::RequestPreVote { last } => return self.on_request_pre_vote(from, last),
            MessageBody::RequestVote { last } => return self.on_request_vote(from, last),
            MessageBody::AppendEntries { prev, entries, commit, round } => {
                return self.on_append(from, Append { prev, entries, commit, round });
            }
            MessageBody::PreVote { granted } => self.on_pre_vote(from, granted),
            MessageBody::Vote { granted } => self.on_vote(from, granted),
            MessageBody::Appended { matched, round } => match &mut self.role {
                RoleState::Leader(leader) => {
                    if !leader.appended(&mut self.server, from, matched, round) {
                        self.server.drop(DropReason::Impossible);
                    }
                    true
                }
                _ => false,
            },
            MessageBody::Rejected { prev, hint, round } => match &mut self.role {
                RoleState::Leader(leader) => leader.rejected(&mut self.server, from, prev, hint, round),
                _ => false,
            },
        };
        if !expected {
            self.server.drop(DropReason::Unexpected);
        }
    }

    fn on_append(&mut self, from: NodeId, append: Append) {
        match &self.role {
            // A term has one leader, and this is it.
            RoleState::Leader(_) => return self.server.drop(DropReason::Impossible),
            RoleState::PreCandidate(_) | RoleState::Candidate(_) => self.follow(Some(from)),
            RoleState::Follower(_) => {}
        }
        if let RoleState::Follower(follower) = &mut self.role {
            follower.append(&mut self.server, from, append);
        }
    }
}

fn is_request(body: &MessageBody) -> bool {
    is_vote_request(body) || matches!(body, MessageBody::AppendEntries { .. })
}

fn is_vote_request(body: &MessageBody) -> bool {
    matches!(body, MessageBody::RequestVote { .. } | MessageBody::RequestPreVote { .. })
}
