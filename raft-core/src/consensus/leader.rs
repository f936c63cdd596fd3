//! The leader: takes proposals, replicates them, and commits what a quorum holds (sections 5.3 and 5.4).
//!
//! It sends nothing while events are stepped; [`Leader::flush`] looks once, when everything is asked for, at what each
//! peer lacks. So many proposals make one batch, and many reads one round. It commits only by entries of its own term,
//! and counts itself at what is durable here, so that its disk and its peers' disks work in parallel.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{
    Now, ProposeOutcome, ReadOutcome, Replicate, RequestId, SendSnapshot, progress::Progress, quorum, reads::Reads,
    server::Server,
};
use crate::{
    message::MessageBody,
    types::{Entry, EntryId, EntryKind, LogIndex, NodeId},
};

/// How many heartbeat intervals a peer may answer without progress before what is in flight to it counts as lost.
const PATIENCE_INTERVALS: u32 = 2;

/// A node that leads in the current term.
///
/// Invariants ([`Leader::check`]):
/// - its own vote for this term is durable, so nothing it says has to wait;
/// - the log ends with an entry of its term, and every proposal is one of them;
/// - every other member has a valid [`Progress`], and no more requests are pending than configured.
#[derive(Debug)]
pub(super) struct Leader {
    peers: BTreeMap<NodeId, Progress>,
    /// Counts the rounds of heartbeats.
    round: u64,
    next_heartbeat: Now,
    /// What was proposed and is not committed, in log order.
    proposals: VecDeque<(LogIndex, RequestId)>,
    reads: Reads,
}

impl Leader {
    /// Begins to lead: with an entry of the new term, which commits what older terms left (section 5.4.2), and a
    /// heartbeat.
    pub(super) fn begin(server: &mut Server) -> Leader {
        let next_index = server.log.last_index().next();
        let peers = server.conf().peers(server.id()).map(|id| (id, Progress::new(next_index, server.now))).collect();
        let mut leader =
            Leader { peers, round: 0, next_heartbeat: server.now, proposals: VecDeque::new(), reads: Reads::default() };
        append_own(server, EntryKind::Noop, Bytes::new());
        leader.heartbeat(server);
        leader
    }

    /// What it knows of its peers.
    pub(super) fn peers(&self) -> impl Iterator<Item = (NodeId, &Progress)> {
        self.peers.iter().map(|(id, progress)| (*id, progress))
    }

    /// The transport has lost something on its way to `peer`.
    pub(super) fn unreachable(&mut self, peer: NodeId) {
        if let Some(progress) = self.peers.get_mut(&peer) {
            progress.unreachable();
        }
    }

    /// What became of the snapshot for `peer`.
    pub(super) fn snapshot_sent(&mut self, peer: NodeId, ok: bool, now: Now) {
        if let Some(progress) = self.peers.get_mut(&peer) {
            progress.snapshot_sent(ok, now);
        }
    }

    /// Entries for `peer` were compacted away before they could be read.
    pub(super) fn compacted(&mut self, peer: NodeId) {
        if let Some(progress) = self.peers.get_mut(&peer) {
            progress.compacted();
        }
    }

    /// Appends a command, or refuses it.
    pub(super) fn propose(&mut self, server: &mut Server, id: RequestId, payload: Bytes) {
        if self.is_busy(server) || server.log.last_index() >= LogIndex::MAX {
            return server.answer_proposal(id, ProposeOutcome::Busy);
        }
        append_own(server, EntryKind::Command, payload);
        self.proposals.push_back((server.log.last_index(), id));
    }

    /// Takes a read, or refuses it.
    pub(super) fn read(&mut self, server: &mut Server, id: RequestId) {
        if self.is_busy(server) {
            return server.answer_read(id, ReadOutcome::Busy);
        }
        self.reads.ask(id);
    }

    /// When it has to be woken: for a heartbeat, or because no quorum has been heard for too long.
    pub(super) fn deadline(&self, server: &Server) -> Now {
        if self.peers.is_empty() { Now::NEVER } else { self.next_heartbeat.min(self.quorum_deadline(server)) }
    }

    /// Whether no quorum has been heard within an election timeout: others may have elected a new leader, and clients
    /// should not wait here (section 6.2 of Ongaro's dissertation, check-quorum).
    pub(super) fn is_cut_off(&self, server: &Server) -> bool {
        server.now >= self.quorum_deadline(server)
    }

    /// Sends heartbeats if they are due.
    pub(super) fn heartbeat_if_due(&mut self, server: &mut Server) {
        if server.now >= self.next_heartbeat {
            self.heartbeat(server);
        }
    }

    /// A peer holds everything up to `matched` durably. Whether such a thing can be.
    pub(super) fn appended(&mut self, server: &mut Server, from: NodeId, matched: LogIndex, round: u64) -> bool {
        if matched > server.log.last_index() {
            return false;
        }
        let Some(progress) = self.acknowledged(server.now, from, round) else { return false };
        progress.matched(matched, server.now);
        progress.retry_if_quiet(server.config.heartbeat_interval * PATIENCE_INTERVALS, server.now);
        self.commit(server);
        self.confirm_reads(server);
        true
    }

    /// A peer's log does not hold `prev`, but may agree up to `hint`. Whether that changed anything.
    pub(super) fn rejected(
        &mut self,
        server: &mut Server,
        from: NodeId,
        prev: EntryId,
        hint: EntryId,
        round: u64,
    ) -> bool {
        let Some(progress) = self.acknowledged(server.now, from, round) else { return false };
        // The logs can agree at most up to our last entry that is neither beyond the hint nor of a larger term. If that lies
        // before the log, what the peer lacks can only come in a snapshot.
        let agree = server.log.last_not_after(hint.index, hint.term).map(|id| id.index);
        let moved = progress.rejected(prev.index, agree.unwrap_or(server.log.base().index.prev()));
        self.confirm_reads(server);
        moved
    }

    /// Commits what a quorum holds durably, if the last of it is of this term: an older entry may be held by a majority
    /// and still be replaced (section 5.4.2, figure 8).
    pub(super) fn commit(&mut self, server: &mut Server) {
        let Some(held) = quorum::reached(server.conf(), |id| self.held_by(server, id)) else { return };
        if held <= server.commit || server.log.term(held) != Some(server.term) {
            return;
        }
        server.commit_to(held);
        while let Some((index, id)) = self.proposals.pop_front_if(|(index, _)| *index <= held) {
            server.answer_proposal(id, ProposeOutcome::Committed(EntryId { term: server.term, index }));
        }
    }

    /// Sends what each peer lacks, begins a round if reads wait for one, and tells of a new commit index where nothing else
    /// carries it.
    pub(super) fn flush(&mut self, server: &mut Server) {
        if self.reads.want_round() && has_committed_in_its_term(server) {
            self.heartbeat(server);
        }
        let window = server.config.max_inflight_messages;
        for (to, progress) in &mut self.peers {
            let prev = progress.next_index.prev();
            let Some(prev_term) = server.log.term(prev) else {
                // What comes before the log can only come in a snapshot; until it is published, a read finds an older one.
                let published = server.snapshots.published().index;
                if published >= server.log.base().index && progress.send_snapshot(published) {
                    server.out.send_snapshots.push(SendSnapshot { to: *to, term: server.term });
                }
                continue;
            };
            if let Some(end) = progress.send(server.log.last_index(), window, server.now) {
                progress.told_commit = progress.told_commit.max(server.commit);
                server.out.replicates.push(Replicate {
                    to: *to,
                    term: server.term,
                    prev: EntryId { term: prev_term, index: prev },
                    range: prev.next()..end,
                    commit: server.commit,
                    round: self.round,
                });
            } else if !progress.awaits_anything() && server.commit.min(progress.match_index) > progress.told_commit {
                tell_commit(server, *to, progress, self.round);
            }
        }
    }

    /// Answers everything that is pending: leadership is lost to `leader`, if one is known.
    pub(super) fn end(self, server: &mut Server, leader: Option<NodeId>) {
        for (_, id) in self.proposals {
            server.answer_proposal(id, ProposeOutcome::LeadershipLost { leader });
        }
        for id in self.reads.into_unanswered() {
            server.answer_read(id, ReadOutcome::NotLeader { leader });
        }
    }

    /// Checks the invariants listed on the type.
    pub(super) fn check(&self, server: &Server) {
        let last = server.log.last();
        assert!(
            server.vote == Some(server.id()) && server.saves.vote_is_durable(),
            "leads in term {} without a durable vote of its own",
            server.term
        );
        assert!(!server.snapshots.is_installing(), "a leader installs a snapshot");
        assert_eq!(last.term, server.term, "the leader's log ends with {last}");
        assert!(self.proposals.back().is_none_or(|(index, _)| *index <= last.index), "a proposal beyond {last}");
        assert!(
            self.proposals.front().is_none_or(|(index, _)| *index > server.commit),
            "a committed proposal is unanswered"
        );
        assert!(self.pending() <= server.config.max_pending_requests, "{} requests are pending", self.pending());
        for progress in self.peers.values() {
            progress.check(last.index, server.config.max_inflight_messages);
        }
    }

    /// Begins a round: tells every peer that this node leads, asks for an answer, and confirms the reads asked so far with
    /// it.
    fn heartbeat(&mut self, server: &mut Server) {
        self.round = self.round.saturating_add(1);
        self.next_heartbeat = server.now + server.config.heartbeat_interval;
        if has_committed_in_its_term(server) {
            self.reads.begin_round(self.round, server.commit);
        }
        for (to, progress) in &mut self.peers {
            tell_commit(server, *to, progress, self.round);
        }
        // The only voter has no answer to wait for.
        self.confirm_reads(server);
    }

    /// Notes that `from` has followed this leader at or after `round`.
    fn acknowledged(&mut self, now: Now, from: NodeId, round: u64) -> Option<&mut Progress> {
        if round > self.round {
            return None;
        }
        let progress = self.peers.get_mut(&from)?;
        progress.heard = now;
        progress.acked_round = progress.acked_round.max(round);
        Some(progress)
    }

    fn confirm_reads(&mut self, server: &mut Server) {
        let acked = |id| {
            if id == server.id() { self.round } else { self.peers.get(&id).map_or(0, |progress| progress.acked_round) }
        };
        let Some(round) = quorum::reached(server.conf(), acked) else { return };
        for (id, index) in self.reads.confirm(round) {
            server.answer_read(id, ReadOutcome::ReadAt(index));
        }
    }

    fn held_by(&self, server: &Server, id: NodeId) -> LogIndex {
        if id == server.id() {
            return server.saves.durable();
        }
        self.peers.get(&id).map_or(LogIndex::ZERO, |progress| progress.match_index)
    }

    fn quorum_deadline(&self, server: &Server) -> Now {
        let heard = |id| {
            if id == server.id() { server.now } else { self.peers.get(&id).map_or(Now::default(), |peer| peer.heard) }
        };
        quorum::reached(server.conf(), heard).unwrap_or_default() + server.config.election_timeout
    }

    fn is_busy(&self, server: &Server) -> bool {
        self.pending() >= server.config.max_pending_requests
    }

    fn pending(&self) -> usize {
        self.proposals.len() + self.reads.len()
    }
}

/// A heartbeat: it follows what `progress` is known to hold, so that it never fails to match, may overtake what is in
/// flight, and carries no commit index beyond that.
fn tell_commit(server: &mut Server, to: NodeId, progress: &mut Progress, round: u64) {
    // A peer that holds less than our base needs a snapshot; until then it is only told who leads.
    let index = progress.match_index;
    let prev = server.log.term(index).map_or(EntryId::ZERO, |term| EntryId { term, index });
    let commit = server.commit.min(prev.index);
    progress.told_commit = progress.told_commit.max(commit);
    server.send(to, MessageBody::AppendEntries { prev, entries: Vec::new(), commit, round });
}

/// Reads may be served only then: before, the commit index may lag behind what earlier leaders committed and answered
/// (section 8).
fn has_committed_in_its_term(server: &Server) -> bool {
    server.log.term(server.commit) == Some(server.term)
}

fn append_own(server: &mut Server, kind: EntryKind, payload: Bytes) {
    let index = server.log.last_index().next();
    let appended = server.append(&[Entry { index, term: server.term, kind, payload }]);
    assert!(appended.is_ok(), "the leader's own entry {index} does not fit its log: {appended:?}");
}
