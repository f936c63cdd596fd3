//! The server: what every role shares ("all servers" in figure 2 of the paper).
//!
//! Term, vote, log outline, commit index, saves, and what gathers for the next [`Ready`]. It computes and keeps the rules
//! that hold in every role; who does what when is decided above it.

use std::collections::BTreeMap;

use super::{
    Config, DropReason, Now, ProposeOutcome, ReadOutcome, Ready, RequestId, SaveId,
    saves::Saves,
    snapshot::{Origin, Snapshots},
};
use crate::{
    message::{Message, MessageBody},
    types::{
        ConfState, Entry, EntryId, HardState, LogChange, LogIndex, LogOutline, NodeId, SnapshotMeta, StagedSnapshot,
        Term,
    },
};

/// The highest term a node enters or believes: beyond it none would be left to campaign in.
pub(super) const MAX_TERM: Term = Term(u64::MAX - 1);

/// What a node has in every role.
///
/// Invariants ([`Server::check`]), beside those of [`Saves`] and [`Snapshots`]:
/// - `base <= commit <= last`, but for the base that a received snapshot has set, until that is published; and no entry
///   bears a term above the node's own;
/// - the base lies in the latest snapshot, published or in the queue;
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
    pub(super) snapshots: Snapshots,
    /// What gathers until it is asked for.
    pub(super) out: Ready,
    /// The configuration as of the latest snapshot. Where the log still holds entries of that, a configuration among them is
    /// this one.
    base_conf: ConfState,
    applied: LogIndex,
    /// Up to where entries, or a snapshot of them, were handed out to the state machine.
    handed_out: LogIndex,
    /// What the state machine must hold before it is given more: what it was told to restore.
    restoring: LogIndex,
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
        // A machine that ends before the log begins can only be restored.
        let restore = (applied < log.base().index).then(|| snapshot.clone());
        let restoring = restore.as_ref().map_or(LogIndex::ZERO, |meta| meta.last.index);
        Server {
            now,
            term: hard_state.term,
            vote: hard_state.vote,
            commit: hard_state.commit.max(applied).max(snapshot.last.index).min(log.last_index()),
            saves: Saves::new(hard_state, log.last_index()),
            snapshots: Snapshots::new(snapshot.last),
            out: Ready { restore, ..Ready::default() },
            base_conf: snapshot.conf_state,
            applied,
            handed_out: applied.max(restoring),
            restoring,
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

    /// Whether `id` is a member. A node without a configuration, which waits to be told one, believes whoever speaks to it.
    pub(super) fn may_be_member(&self, id: NodeId) -> bool {
        let members = &self.conf().members;
        id != self.id() && (members.is_empty() || members.contains_key(&id))
    }

    /// What a snapshot of the state after entry `index` stands for, if one can be made that is newer than the latest.
    pub(super) fn snapshot_meta(&self, index: LogIndex) -> Option<SnapshotMeta> {
        if index > self.applied || index <= self.snapshots.queued().index {
            return None;
        }
        let term = self.log.term(index)?;
        let conf = self.log.configs().iter().rev().find(|(at, _)| *at <= index);
        let conf_state = conf.map_or(&self.base_conf, |(_, conf)| conf).clone();
        Some(SnapshotMeta { last: EntryId { term, index }, conf_state })
    }

    /// The term of the last committed entry, as far as the log tells.
    pub(super) fn commit_term(&self) -> Term {
        self.log.term(self.commit).unwrap_or(Term::ZERO)
    }

    /// Up to where what is durable here may be acknowledged: not what a snapshot holds that is still to be published.
    pub(super) fn vouched(&self) -> LogIndex {
        let durable = self.saves.durable();
        if self.snapshots.is_installing() { durable.min(self.commit) } else { durable }
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
        if let Some(installed) = self.snapshots.complete(id) {
            self.installed(installed);
        }
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

    /// Knows of a commit index; it never moves back. Before a received snapshot is published, it does not move: a crash
    /// would bring the old log back, which may hold another's entries there. The leader tells it again.
    pub(super) fn commit_to(&mut self, index: LogIndex) {
        if !self.snapshots.is_installing() {
            self.commit = self.commit.max(index);
        }
    }

    /// Changes the log and publishes `staged`, in one save.
    pub(super) fn publish(&mut self, staged: StagedSnapshot, log: LogChange, origin: Origin) {
        let meta = staged.meta.clone();
        let changed = match &log {
            LogChange::CompactTo(id) => self.log.compact_to(*id),
            LogChange::Reset { base } => {
                self.log.reset(*base);
                Ok(())
            }
            LogChange::Keep | LogChange::Append(_) => Ok(()),
        };
        assert!(changed.is_ok(), "a snapshot at {} does not fit the log: {changed:?}", meta.last);
        self.base_conf = meta.conf_state.clone();
        let id = self.saves.publish(self.hard_state(), staged, log);
        self.snapshots.publishing(id, meta, origin);
    }

    /// A stage is not wanted.
    pub(super) fn discard(&mut self, staged: StagedSnapshot) {
        self.out.discard.push(staged);
    }

    /// A stage is not wanted, and counted, because something is wrong with it.
    pub(super) fn refuse_snapshot(&mut self, staged: StagedSnapshot, reason: DropReason) {
        self.drop(reason);
        self.discard(staged);
    }

    /// The state machine holds everything up to `index`. A restore may have found a newer snapshot than the one it was
    /// asked for.
    pub(super) fn applied_to(&mut self, index: LogIndex) {
        let reachable = self.handed_out.max(self.snapshots.queued().index);
        assert!(index <= reachable, "{index} applied, but only {reachable} was handed out");
        self.applied = self.applied.max(index);
        self.handed_out = self.handed_out.max(index);
    }

    /// Answers a proposal.
    pub(super) fn answer_proposal(&mut self, id: RequestId, outcome: ProposeOutcome) {
        self.out.proposals.push((id, outcome));
    }

    /// Answers a read.
    pub(super) fn answer_read(&mut self, id: RequestId, outcome: ReadOutcome) {
        self.out.reads.push((id, outcome));
    }

    /// A deadline by which a leader must have been heard, drawn anew so that not all campaign at once (section 5.2). A node
    /// that waits for its state would lead and answer nothing: it lets the others go first.
    pub(super) fn draw_election_deadline(&mut self) -> Now {
        let timeout = self.config.election_timeout;
        let spread_nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).max(1);
        let others_first = if self.has_its_state() { std::time::Duration::ZERO } else { timeout };
        self.now + others_first + timeout + std::time::Duration::from_nanos(self.rng.u64(0..spread_nanos))
    }

    /// Everything gathered, with the next save, and what is both committed and durable to be applied.
    pub(super) fn take_ready(&mut self) -> Ready {
        let mut ready = std::mem::take(&mut self.out);
        ready.saves = self.saves.take(self.hard_state());
        let end = self.commit.min(self.saves.durable());
        // Not between a received snapshot and its restore: the log may not hold what comes before it any more.
        if end > self.handed_out && self.has_its_state() {
            ready.apply = Some(self.handed_out.next()..end.next());
            self.handed_out = end;
        }
        ready
    }

    /// Whether the state machine has what the snapshot holds that it was told to take.
    pub(super) fn has_its_state(&self) -> bool {
        self.applied >= self.restoring && !self.snapshots.is_installing()
    }

    /// Checks the invariants listed on the type.
    pub(super) fn check(&self) {
        let (base, last) = (self.log.base().index, self.log.last());
        assert!(
            (base <= self.commit || self.snapshots.is_installing()) && self.commit <= last.index,
            "commit {} lies outside the log, which has base {base} and ends at {last}",
            self.commit
        );
        assert!(last.term <= self.term, "the log ends with {last} in term {}", self.term);
        assert!(self.applied <= self.handed_out, "{} applied of {} handed out", self.applied, self.handed_out);
        let snapshot = self.snapshots.queued();
        assert!(base <= snapshot.index, "the log begins after {base}, but no snapshot goes beyond {snapshot}");
        self.saves.check(last.index);
        self.snapshots.check();
    }

    /// A received snapshot is published: what it holds is committed, and the state machine is told to take it.
    fn installed(&mut self, meta: SnapshotMeta) {
        let index = meta.last.index;
        self.commit = self.commit.max(index);
        if index > self.applied {
            self.restoring = index;
            self.handed_out = self.handed_out.max(index);
            self.out.restore = Some(meta);
        }
    }

    fn hard_state(&self) -> HardState {
        HardState { term: self.term, vote: self.vote, commit: self.commit }
    }
}
