//! Consensus: the Raft paper as a state machine without I/O.
//!
//! Events go in, one [`Ready`] comes out. It may assume that its driver does what a [`Ready`] says, and nothing about
//! what peers say. It must never read a clock, wait, or keep a payload after the save that holds it was handed out.
//!
//! The folder as a table of contents: `server` is what a node has in every role, and `follower`, `pre_candidate`,
//! `candidate` and `leader` are the roles; `inbound` admits messages, `claims` says what no correct node sends,
//! `elections` moves a node from role to role; `saves` knows what is durable, `progress` what a peer holds, `reads`
//! which reads are confirmed, `quorum` what a majority has done, `snapshot` what becomes of snapshots.

mod candidate;
mod claims;
mod config;
mod elections;
mod event;
mod follower;
mod inbound;
mod leader;
mod pre_candidate;
mod progress;
mod quorum;
mod reads;
mod ready;
mod restore;
mod role;
mod saves;
mod server;
mod snapshot;
mod status;
mod time;

use self::{follower::Follower, role::RoleState, server::Server};

pub use config::Config;
pub use event::{Event, RequestId};
pub use ready::{ProposeOutcome, ReadOutcome, Ready, Replicate, Save, SaveId, SendSnapshot};
pub use restore::bootstrap;
pub use status::{DropReason, PeerStatus, Role, Status, Summary};
pub use time::Now;

use crate::types::{LogIndex, Term};

/// One member of one Raft group, without I/O: time and events come in, a [`Ready`] and a deadline come out.
///
/// What it holds at all times (checked after every step, release builds included):
/// - neither term nor commit index ever moves back;
/// - `base <= commit <= last` (but for a base that a received snapshot has set, until that is published), `durable <= last`,
///   and no entry bears a term above the node's own;
/// - nothing is dropped from the log that no snapshot holds, published or in the queue before it;
/// - a candidate has voted for itself; a leader's vote for itself is durable, and its log ends with an entry of its term;
/// - a follower has told its leader of nothing beyond what the leader's appends have matched;
/// - what a leader knows of a peer fits its log, and no window and no queue of requests is overfull.
#[derive(Debug)]
pub struct Raft {
    server: Server,
    role: RoleState,
    /// Term and commit index as of the last check.
    checked: (Term, LogIndex),
}

impl Raft {
    /// Takes in one event. Never fails, never blocks. `now` never goes back; if it does, it counts as standing still.
    ///
    /// # Panics
    /// If an invariant is broken, or the driver reports what cannot be: a save that was not handed out, or entries applied
    /// that were not. A node in such a state must not go on.
    pub fn step(&mut self, now: Now, event: Event) {
        self.server.now = self.server.now.max(now);
        match event {
            Event::Timeout => self.on_timeout(),
            Event::Message(message) => self.on_message(message),
            Event::Propose { id, payload } => match &mut self.role {
                RoleState::Leader(leader) => leader.propose(&mut self.server, id, payload),
                other => {
                    let leader = other.leader(self.server.id());
                    self.server.answer_proposal(id, ProposeOutcome::NotLeader { leader });
                }
            },
            Event::ReadIndex { id } => match &mut self.role {
                RoleState::Leader(leader) => leader.read(&mut self.server, id),
                other => {
                    let leader = other.leader(self.server.id());
                    self.server.answer_read(id, ReadOutcome::NotLeader { leader });
                }
            },
            Event::Saved { id } => self.on_saved(id),
            Event::Applied { index } => self.on_applied(index),
            Event::Unreachable { peer } => {
                if let RoleState::Leader(leader) = &mut self.role {
                    leader.unreachable(peer);
                }
            }
            Event::SnapshotTaken { staged, scarce } => self.snapshot(staged, scarce),
            Event::SnapshotStaged { from, term, staged } => self.cond_install_snapshot(from, term, staged),
            Event::SnapshotSent { to, term, ok } => {
                if let RoleState::Leader(leader) = &mut self.role
                    && term == self.server.term
                {
                    leader.snapshot_sent(to, ok, self.server.now);
                }
            }
            Event::Compacted { peer } => {
                if let RoleState::Leader(leader) = &mut self.role {
                    leader.compacted(peer);
                }
            }
        }
        self.check_invariants();
    }

    /// Everything to do since last asked; many events may be stepped before, and the more there were the larger the
    /// batches.
    pub fn ready(&mut self) -> Ready {
        match &mut self.role {
            RoleState::Follower(follower) => follower.answer(&mut self.server),
            RoleState::Leader(leader) => leader.flush(&mut self.server),
            RoleState::PreCandidate(_) | RoleState::Candidate(_) => {}
        }
        let ready = self.server.take_ready();
        self.check_invariants();
        ready
    }

    /// When to step [`Event::Timeout`] next; it may move with every step.
    pub fn deadline(&self) -> Now {
        match &self.role {
            RoleState::Leader(leader) => leader.deadline(&self.server),
            _ if self.server.may_campaign() => self.role.election_deadline(),
            _ => Now::NEVER,
        }
    }

    /// What a driver looks at after every turn.
    pub fn summary(&self) -> Summary {
        let server = &self.server;
        Summary {
            role: self.role.role(),
            term: server.term,
            leader: self.role.leader(server.id()),
            commit: server.commit,
            applied: server.applied(),
        }
    }

    /// What people and metrics want to know.
    pub fn status(&self) -> Status {
        let server = &self.server;
        let peers = match &self.role {
            RoleState::Leader(leader) => leader.peers().map(|(id, progress)| (id, progress.status())).collect(),
            _ => Default::default(),
        };
        Status {
            id: server.id(),
            role: self.role.role(),
            term: server.term,
            vote: server.vote,
            leader: self.role.leader(server.id()),
            commit: server.commit,
            applied: server.applied(),
            durable: server.saves.durable(),
            base: server.log.base(),
            last: server.log.last(),
            snapshot: server.snapshots.published(),
            conf_state: server.conf().clone(),
            peers,
            dropped: server.dropped().clone(),
        }
    }

    fn on_saved(&mut self, id: SaveId) {
        self.server.saved(id);
        match &mut self.role {
            RoleState::Candidate(candidate) => {
                candidate.saved(&mut self.server);
                self.lead_if_elected();
            }
            RoleState::Leader(leader) => leader.commit(&mut self.server),
            RoleState::Follower(_) | RoleState::PreCandidate(_) => {}
        }
    }

    /// Checks the invariants listed on the type.
    fn check_invariants(&mut self) {
        let (term, commit) = self.checked;
        assert!(
            self.server.term >= term && self.server.commit >= commit,
            "term or commit moved back: from {term} and {commit} to {} and {}",
            self.server.term,
            self.server.commit
        );
        self.checked = (self.server.term, self.server.commit);
        self.server.check();
        match &self.role {
            RoleState::Follower(follower) => follower.check(&self.server),
            RoleState::PreCandidate(_) => {}
            RoleState::Candidate(_) => assert_eq!(
                self.server.vote,
                Some(self.server.id()),
                "a candidate in term {} without a vote for itself",
                self.server.term
            ),
            RoleState::Leader(leader) => leader.check(&self.server),
        }
    }
}
