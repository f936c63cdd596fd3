//! The server: what every role shares ("all servers" in figure 2 of the paper).
//!
//! Term, vote, log outline, commit index, saves, and what gathers for the next [`Ready`]. It computes and keeps the rules
//! that hold in every role; who does what when is decided above it.

use std::collections::BTreeMap;

use super::{Config, DropReason, Now, ProposeOutcome, ReadOutcome, Ready, RequestId, SaveId, saves::Saves};
use crate::{
    message::{Message, MessageBody},
    types::{ConfState, Entry, EntryId, HardState, LogIndex, LogOutline, NodeId, SnapshotMeta, Term},
};

/// The highest term a node enters or believes: beyond it none would be left to campaign in.
pub(super) const MAX_TERM: Term = Term(u64::MAX - 1);

/// What a node has in every role.
///
/// Invariants ([`Server::check`]), beside those of [`Saves`]:
/// - `base <= commit <= last`, and no entry bears a term above the node's own;
/// - `applied <= handed_out`: nothing was applied that was not handed out.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) config: Config,
    pub(super) now: Now,
    pub(super) term: Term,
    pub(super) vote: Option<NodeId>,
    pub(super) log: LogOutline,
    pub(super) commit: LogIndex,
    pub(super) saves: Saves,
    /// What gathers until it is asked for.
    pub(super) out: Ready,
    /// The configuration as of the log's base.
    base_conf: ConfState,
    applied: LogIndex,
    /// Up to where entries were handed out to be applied.
    handed_out: LogIndex,
    rng: fastrand::Rng,
    dropped: BTreeMap<DropReason, u64>,
}

impl Server {
    /// A server that goes on from what was durable.
    pub(super) fn new(
        config: Config,
        hard_state: HardState,
        log: LogOutline,
        snapshot: SnapshotMeta,
        applied: LogIndex,
        now: Now,
    ) -> Server {
        Server {
            now,
            term: hard_state.term,
            vote: hard_state.vote,
            commit: hard_state.commit.max(applied).max(snapshot.last.index).min(log.last_index()),
            saves: Saves::new(hard_state, log.last_index()),
            out: Ready::default(),
            base_conf: snapshot.conf_state,
            applied,
            handed_out: applied,
            rng: fastrand::Rng::with_seed(config.seed),
            dropped: BTreeMap::new(),
            log,
            config,
        }
    }

    /// This node.
    pub(super) fn id(&self) -> NodeId {
        self.config.id
    }

    /// The configuration in force: the last one in the log, committed or not (section 6).
    pub(super) fn conf(&self) -> &ConfState {
        self.log.configs().last().map_or(&self.base_conf, |(_, conf)| conf)
    }

    /// Whether this node may campaign: only voters do, and only while there are terms and indexes left.
    pub(super) fn may_campaign(&self) -> bool {
        self.conf().is_voter(self.id()) && self.term < MAX_TERM && self.log.last_index() < LogIndex::MAX
    }

    /// The index of the last entry that the state machine has reported applied.
    pub(super) fn applied(&self) -> LogIndex {
        self.applied
    }

    /// What was dropped, by reason.
    pub(super) fn dropped(&self) -> &BTreeMap<DropReason, u64> {
        &self.dropped
    }

    /// Enters a newer term, in which nobody has this node's vote yet (section 5.1).
    pub(super) fn enter_term(&mut self, term: Term) {
        assert!(term > self.term, "entering term {term} from term {}", self.term);
        self.term = term;
        self.vote = None;
        self.saves.vote_changed();
    }

    /// Votes for `candidate` in the current term; the answer waits until that is durable.
    pub(super) fn vote_for(&mut self, candidate: NodeId) {
        if self.vote == Some(candidate) {
            return;
        }
        assert_eq!(self.vote, None, "a second vote in term {}", self.term);
        self.vote = Some(candidate);
        self.saves.vote_changed();
    }

    /// Whether a log that ends with `last` is at least as up to date as this one (section 5.4.1).
    pub(super) fn is_up_to_date(&self, last: EntryId) -> bool {
        last >= self.log.last()
    }

    /// Sends a message in the current term, once term and vote are durable.
    pub(super) fn send(&mut self, to: NodeId, body: MessageBody) {
        let message = Message { from: self.id(), to, term: self.term, body };
        self.out.messages.extend(self.saves.pass(message));
    }

    /// The save `id` is durable, and every earlier one: what waited for it may leave.
    pub(super) fn saved(&mut self, id: SaveId) {
        self.saves.complete(id);
        while let Some(message) = self.saves.release() {
            self.out.messages.push(message);
        }
    }

    /// Counts something received that goes no further.
    pub(super) fn drop(&mut self, reason: DropReason) {
        let count = self.dropped.entry(reason).or_default();
        *count = count.saturating_add(1);
    }

    /// Appends entries to outline and saves.
    ///
    /// # Errors
    /// If they do not fit; nothing has changed then.
    pub(super) fn append(&mut self, entries: &[Entry]) -> crate::storage::Result<()> {
        self.log.append(entries)?;
        self.saves.append(entries);
        Ok(())
    }

    /// Knows of a commit index; it never moves back.
    pub(super) fn commit_to(&mut self, index: LogIndex) {
        self.commit = self.commit.max(index);
    }

    /// The state machine has applied everything up to `index`.
    pub(super) fn applied_to(&mut self, index: LogIndex) {
        assert!(index <= self.handed_out, "{index} applied, but only {} was handed out", self.handed_out);
        self.applied = self.applied.max(index);
    }

    /// Answers a proposal.
    pub(super) fn answer_proposal(&mut self, id: RequestId, outcome: ProposeOutcome) {
        self.out.proposals.push((id, outcome));
    }

    /// Answers a read.
    pub(super) fn answer_read(&mut self, id: RequestId, outcome: ReadOutcome) {
        self.out.reads.push((id, outcome));
    }

    /// A deadline by which a leader must have been heard, drawn anew so that not all campaign at once (section 5.2).
    pub(super) fn draw_election_deadline(&mut self) -> Now {
        let timeout = self.config.election_timeout;
        let spread_nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.now + timeout + std::time::Duration::from_nanos(self.rng.u64(0..spread_nanos))
    }

    /// Everything gathered, with the next save, and what is both committed and durable to be applied.
    pub(super) fn take_ready(&mut self) -> Ready {
        let mut ready = std::mem::take(&mut self.out);
        let hard_state = HardState { term: self.term, vote: self.vote, commit: self.commit };
        ready.saves.extend(self.saves.take(hard_state));
        let end = self.commit.min(self.saves.durable());
        if end > self.handed_out {
            ready.apply = Some(self.handed_out.next()..end.next());
            self.handed_out = end;
        }
        ready
    }

    /// Checks the invariants listed on the type.
    pub(super) fn check(&self) {
        let (base, last) = (self.log.base().index, self.log.last());
        assert!(
            base <= self.commit && self.commit <= last.index,
            "commit {} lies outside the log, which has base {base} and ends at {last}",
            self.commit
        );
        assert!(last.term <= self.term, "the log ends with {last} in term {}", self.term);
        assert!(self.applied <= self.handed_out, "{} applied of {} handed out", self.applied, self.handed_out);
        self.saves.check(last.index);
    }
}
