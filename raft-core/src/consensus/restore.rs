//! How a node begins: the first save of a founder, and going on from what a store holds. (The ancestor's `readPersist`.)
//!
//! A blank store never starts by itself: its only way into a cluster is [`bootstrap`], once, on every founder alike. What
//! is restored is durable: that is the storage's promise.

use super::{Config, Follower, Now, Raft, role::RoleState, server::Server};
use crate::{
    codec,
    types::{ConfState, Entry, EntryKind, HardState, LogChange, LogIndex, RaftState, RaftStateUpdate, Term},
};

impl Raft {
    /// A core that goes on from what its store holds.
    ///
    /// `applied` is what the state machine already has; entries after it are handed out to be applied. That, and what the
    /// snapshot holds, is committed whatever the store's own commit index says. If it lies beyond the end of the log, the
    /// store has lost what the machine holds: a driver refuses to start such a node, and one whose log ends in a term
    /// above the hard state's.
    #[doc(alias = "readPersist")]
    pub fn restore(config: Config, state: RaftState, applied: LogIndex, now: Now) -> Raft {
        // Without a snapshot, one of nothing.
        let snapshot = state.snapshot.unwrap_or_default();
        let config = Config { max_inflight_messages: config.max_inflight_messages.max(1), ..config };
        let mut server = Server::new(config, state.hard_state, state.outline, snapshot, applied, now);
        let alone = server.conf().voters.len() == 1 && server.conf().voters_outgoing.is_empty();
        // The only voter has nobody to wait for.
        let deadline = if alone && server.may_campaign() { now } else { server.draw_election_deadline() };
        Raft { checked: (server.term, server.commit), role: RoleState::Follower(Follower::new(deadline)), server }
    }
}

/// The first save of every founder of a cluster: entry 1 of term 1 holds the configuration, and is committed.
///
/// It is the same on every founder, so their logs agree before any of them has spoken. Only for a blank store.
pub fn bootstrap(founders: &ConfState) -> RaftStateUpdate {
    let index = LogIndex(1);
    let term = Term(1);
    let entry = Entry { index, term, kind: EntryKind::Config, payload: codec::encode(founders) };
    RaftStateUpdate {
        hard_state: Some(HardState { term, vote: None, commit: index }),
        log: LogChange::Append(vec![entry]),
    }
}
