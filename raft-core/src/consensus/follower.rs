//! The follower: takes entries from its leader, and says what it holds of them durably (section 5.3).
//!
//! What comes in is a claim: entries that would replace what is committed or what this very leader has matched are
//! refused. What goes out is a promise: it exceeds neither what is durable here nor what this leader's appends have
//! matched, since a durable suffix of an older leader vouches for nothing.

use super::{
    DropReason, Now,
    server::Server,
    snapshot::{Origin, log_change},
};
use crate::{
    message::MessageBody,
    types::{Entry, EntryId, LogIndex, NodeId, StagedSnapshot},
};

/// A node that follows a leader, or waits for one.
#[derive(Debug)]
pub(super) struct Follower {
    /// When it campaigns unless it hears from a leader.
    pub(super) deadline: Now,
    following: Option<Following>,
}

/// The leader of this term, and what it was told.
#[derive(Debug)]
struct Following {
    leader: NodeId,
    /// When it was last heard.
    heard: Now,
    /// The highest round seen from it.
    round: u64,
    /// Up to where its appends have matched this log, durable or not; the base, which is committed, counts as matched.
    verified: LogIndex,
    /// Up to where it was told so.
    acknowledged: LogIndex,
    /// Whether it waits for an answer even if there is nothing new to say.
    owes_answer: bool,
}

/// What `AppendEntries` says, beside who says it.
#[derive(Debug)]
pub(super) struct Append {
    /// The entry before the first one.
    pub(super) prev: EntryId,
    /// The entries, checked to follow `prev` without a gap; may be empty.
    pub(super) entries: Vec<Entry>,
    /// What the leader knows to be committed.
    pub(super) commit: LogIndex,
    /// The leader's round.
    pub(super) round: u64,
}

impl Follower {
    /// A follower that knows of no leader yet.
    pub(super) fn new(deadline: Now) -> Follower {
        Follower { deadline, following: None }
    }

    /// Whom it follows.
    pub(super) fn leader(&self) -> Option<NodeId> {
        self.following.as_ref().map(|following| following.leader)
    }

    /// Whether a leader was heard so recently that nobody may be helped to replace it: within the shortest election
    /// timeout (section 6, third issue).
    pub(super) fn leader_is_alive(&self, server: &Server) -> bool {
        (self.following.as_ref()).is_some_and(|following| server.now - following.heard < server.config.election_timeout)
    }

    /// A new term has begun, and with it the waiting for its leader.
    pub(super) fn forget_leader(&mut self) {
        self.following = None;
    }

    /// Takes an append from `leader`, who leads in the current term.
    pub(super) fn append(&mut self, server: &mut Server, leader: NodeId, append: Append) {
        let Some(following) = self.hear(server, leader) else { return server.drop(DropReason::Impossible) };
        following.round = following.round.max(append.round);
        let Append { prev, entries, commit, .. } = append;
        // What lies before the base is committed, so the leader's log holds it too, and refusing it would tell nothing.
        if prev.index >= server.log.base().index && !server.log.contains(prev) {
            // The leader goes on from the last entry that can agree.
            let hint = server.log.last_not_after(prev.index, prev.term).unwrap_or(server.log.base());
            return server.send(leader, MessageBody::Rejected { prev, hint, round: following.round });
        }
        let new = entries.get(already_held(server, &entries)..).unwrap_or_default();
        let replaces_matched = new.first().is_some_and(|first| first.index <= server.commit.max(following.verified));
        if replaces_matched || server.append(new).is_err() {
            return server.drop(DropReason::Impossible);
        }
        following.matched(server, prev.index, &entries, commit);
    }

    /// Takes a snapshot from `leader`, who leads in the current term, if it goes beyond what is committed here.
    pub(super) fn install(&mut self, server: &mut Server, leader: NodeId, staged: StagedSnapshot) {
        let Some(following) = self.hear(server, leader) else {
            return server.refuse_snapshot(staged, DropReason::Impossible);
        };
        let last = staged.meta.last;
        let latest = server.snapshots.queued();
        let conflicts = server.log.term(last.index).is_some_and(|term| term != last.term);
        let brings_something = last.index > server.commit.max(latest.index);
        let impossible = if brings_something {
            last.term < latest.term.max(server.commit_term()) || (conflicts && last.index <= following.verified)
        } else {
            conflicts
        };
        if impossible {
            return server.refuse_snapshot(staged, DropReason::Impossible);
        }
        following.owes_answer = true;
        if !brings_something {
            // What is committed here, every leader's log holds.
            following.verified = following.verified.max(server.commit);
            return server.discard(staged);
        }
        let log = log_change(server, last);
        server.publish(staged, log, Origin::Received);
        following.verified = following.verified.max(last.index);
    }

    /// Says what is durable, if the leader waits for that or has not heard it; not before the term is durable too.
    pub(super) fn answer(&mut self, server: &mut Server) {
        let Some(following) = &mut self.following else { return };
        let matched = following.verified.min(server.vouched());
        if (following.owes_answer || matched > following.acknowledged) && server.saves.vote_is_durable() {
            following.owes_answer = false;
            following.acknowledged = matched;
            server.send(following.leader, MessageBody::Appended { matched, round: following.round });
        }
    }

    /// Has heard from `leader`; `None` if another one leads in this term.
    fn hear(&mut self, server: &mut Server, leader: NodeId) -> Option<&mut Following> {
        let following = self.following.get_or_insert(Following {
            leader,
            heard: server.now,
            round: 0,
            verified: LogIndex::ZERO,
            acknowledged: LogIndex::ZERO,
            owes_answer: false,
        });
        if following.leader != leader {
            return None;
        }
        following.heard = server.now;
        self.deadline = server.draw_election_deadline();
        Some(following)
    }

    /// Checks that nothing counts as matched beyond the end of the log.
    pub(super) fn check(&self, server: &Server) {
        if let Some(following) = &self.following {
            assert!(
                following.acknowledged <= following.verified && following.verified <= server.log.last_index(),
                "{following:?} does not fit a log that ends at {}",
                server.log.last()
            );
        }
    }
}

impl Following {
    /// The log now agrees with the leader's up to the end of `entries`, which follow `prev`.
    fn matched(&mut self, server: &mut Server, prev: LogIndex, entries: &[Entry], leader_commit: LogIndex) {
        let end = entries.last().map_or(prev, |entry| entry.index).max(server.log.base().index);
        self.verified = self.verified.max(end);
        // Beyond `end` this log may hold entries that no leader's log holds: they are not what was committed.
        server.commit_to(leader_commit.min(end));
        // A heartbeat is answered at once; entries when they are durable.
        self.owes_answer |= entries.is_empty() || server.saves.durable() >= end;
    }
}

/// How many of `entries` the log holds already. Only from a real conflict on is it cut, or an old and shorter append would
/// delete what a newer one has brought.
fn already_held(server: &Server, entries: &[Entry]) -> usize {
    let base = server.log.base().index;
    let held = |entry: &Entry| entry.index <= base || server.log.contains(entry.id());
    entries.iter().position(|entry| !held(entry)).unwrap_or(entries.len())
}
