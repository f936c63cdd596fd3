//! Consensus: the Raft paper as a state machine without I/O.
//!
//! Events go in, one [`Ready`] comes out; this folder reads as the table of contents.

mod config;
mod event;
mod ready;
mod restore;
mod status;
mod time;

use std::collections::BTreeMap;

pub use config::Config;
pub use event::{Event, RequestId};
pub use ready::{ProposeOutcome, ReadOutcome, Ready, Replicate, Save, SaveId};
pub use restore::bootstrap;
pub use status::{DropReason, PeerStatus, Role, Status};
pub use time::Now;

use crate::types::{ConfState, LogIndex, RaftState};

/// One member of one Raft group, without I/O: time and events come in, a [`Ready`] and a deadline come out.
#[derive(Debug)]
pub struct Raft {
    config: Config,
    state: RaftState,
    applied: LogIndex,
}

impl Raft {
    /// A core that goes on from what its store holds. (The ancestor's `readPersist`.)
    ///
    /// `applied` is what the state machine already has; entries after it are handed to `apply` again.
    #[doc(alias = "readPersist")]
    pub fn restore(config: Config, state: RaftState, applied: LogIndex, _now: Now) -> Raft {
        Raft { config, state, applied }
    }

    /// Takes in one event. Never fails, never blocks.
    pub fn step(&mut self, _now: Now, _event: Event) {}

    /// Everything to do since last asked.
    pub fn ready(&mut self) -> Ready {
        Ready::default()
    }

    /// When to step [`Event::Timeout`] next; it may move with every step.
    pub fn deadline(&self) -> Now {
        Now::NEVER
    }

    /// What people and metrics want to know.
    pub fn status(&self) -> Status {
        Status {
            id: self.config.id,
            role: Role::Follower,
            term: self.state.hard_state.term,
            leader: None,
            commit: self.state.hard_state.commit,
            applied: self.applied,
            durable: self.state.outline.last_index(),
            base: self.state.outline.base(),
            last: self.state.outline.last(),
            conf_state: ConfState::default(),
            peers: BTreeMap::new(),
            dropped: BTreeMap::new(),
        }
    }
}
