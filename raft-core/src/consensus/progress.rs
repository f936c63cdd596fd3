//! Progress: what a leader knows of one peer's log, and how much it sends there unanswered.
//!
//! It computes; the leader sends. It may assume nothing about a peer's answers beyond what the leader checked, and must
//! never move `match_index` back: an answer that was long under way would uncommit what was counted.

use std::{collections::VecDeque, time::Duration};

use super::{Now, PeerStatus};
use crate::types::LogIndex;

/// One peer, as the leader of this term knows it.
///
/// Invariants ([`Progress::check`]):
/// - `match_index < next_index`;
/// - in a pipeline, `inflight` rises, lies above `match_index`, and ends just before `next_index`;
/// - no more is in flight than the window allows;
/// - a snapshot that was sent does not go beyond the log.
#[derive(Debug)]
pub(super) struct Progress {
    /// The last index known to be durable there; monotone within the term.
    pub(super) match_index: LogIndex,
    /// The next index to be sent.
    pub(super) next_index: LogIndex,
    /// The highest round it has acknowledged.
    pub(super) acked_round: u64,
    /// When it was last heard in this term.
    pub(super) heard: Now,
    /// The highest commit index it was told and could use.
    pub(super) told_commit: LogIndex,
    sending: Sending,
    /// Since when what is in flight has brought no progress.
    quiet_since: Now,
}

#[derive(Debug)]
enum Sending {
    /// Where the logs agree is unknown: one entry at a time, and none before the last was answered.
    Probe { awaits_answer: bool },
    /// The peer follows: entries leave as they come; what is in flight, by last index.
    Pipeline { inflight: VecDeque<LogIndex> },
    /// The peer lacks what the log has dropped; it gets heartbeats only. The snapshot for it holds at least everything up to
    /// `upto`.
    Snapshot { upto: LogIndex, stage: SnapshotStage },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SnapshotStage {
    /// The driver sends it.
    UnderWay,
    /// The peer has it staged, and is to say when it is durable.
    Sent,
    /// It did not arrive. Another is sent when the peer has been heard, at the pace of heartbeats.
    Failed,
}

impl Progress {
    /// A peer of a leader that has just been elected (section 5.3): nothing is known, so the first guess is that its log
    /// is like the leader's.
    pub(super) fn new(next_index: LogIndex, now: Now) -> Progress {
        Progress {
            match_index: LogIndex::ZERO,
            next_index,
            acked_round: 0,
            heard: now,
            told_commit: LogIndex::ZERO,
            sending: Sending::Probe { awaits_answer: false },
            quiet_since: now,
        }
    }

    /// The end (exclusive) of what may be sent now, from `next_index` on; `None` where nothing is to be sent or the
    /// window is full. Counts it as sent.
    pub(super) fn send(&mut self, last_index: LogIndex, window: usize, now: Now) -> Option<LogIndex> {
        if self.next_index > last_index {
            return None;
        }
        match &mut self.sending {
            Sending::Probe { awaits_answer: true } => None,
            Sending::Probe { awaits_answer } => {
                *awaits_answer = true;
                self.quiet_since = now;
                Some(self.next_index.next())
            }
            Sending::Pipeline { inflight } => {
                if inflight.len() >= window {
                    return None;
                }
                if inflight.is_empty() {
                    self.quiet_since = now;
                }
                inflight.push_back(last_index);
                self.next_index = last_index.next();
                Some(self.next_index)
            }
            Sending::Snapshot { .. } => None,
        }
    }

    /// Whether a snapshot is to be sent now, which holds at least everything up to `upto`: once. Counts it as sent.
    pub(super) fn send_snapshot(&mut self, upto: LogIndex) -> bool {
        if matches!(self.sending, Sending::Snapshot { .. }) {
            return false;
        }
        self.sending = Sending::Snapshot { upto, stage: SnapshotStage::UnderWay };
        true
    }

    /// What became of the snapshot under way, if one is.
    pub(super) fn snapshot_sent(&mut self, ok: bool, now: Now) {
        let Sending::Snapshot { upto, stage } = &mut self.sending else { return };
        if *stage != SnapshotStage::UnderWay {
            return;
        }
        self.quiet_since = now;
        if ok {
            *stage = SnapshotStage::Sent;
            self.next_index = self.next_index.max(upto.next());
        } else {
            *stage = SnapshotStage::Failed;
        }
    }

    /// What was to be sent is not in the log any more: the log begins behind it.
    pub(super) fn compacted(&mut self) {
        if !matches!(self.sending, Sending::Snapshot { .. }) {
            self.back_to_probe(false);
        }
    }

    /// The peer holds everything up to `matched`, durably. What is known already, or more, changes nothing.
    pub(super) fn matched(&mut self, matched: LogIndex, now: Now) {
        if matched <= self.match_index {
            return;
        }
        self.match_index = matched;
        self.quiet_since = now;
        match &mut self.sending {
            // The probe's own entry has arrived, so the logs agree up to it.
            Sending::Probe { .. } if matched >= self.next_index => {
                self.sending = Sending::Pipeline { inflight: VecDeque::new() };
            }
            Sending::Snapshot { upto, .. } if matched >= *upto => {
                self.sending = Sending::Pipeline { inflight: VecDeque::new() };
            }
            Sending::Probe { .. } | Sending::Snapshot { .. } => {}
            Sending::Pipeline { inflight } => inflight.retain(|last| *last > matched),
        }
        self.next_index = self.next_index.max(matched.next());
    }

    /// The peer refused entries that follow `prev`; the logs can agree at most up to `hint`, an index of the leader's own
    /// log. Whether that changed anything: a late or senseless refusal does not.
    pub(super) fn rejected(&mut self, prev: LogIndex, hint: LogIndex) -> bool {
        let current = match self.sending {
            Sending::Probe { .. } => prev.next() == self.next_index,
            Sending::Pipeline { .. } => prev < self.next_index,
            Sending::Snapshot { .. } => false,
        };
        let next_index = hint.max(self.match_index).next();
        if !current || prev <= self.match_index || next_index == prev.next() {
            return false;
        }
        self.next_index = next_index;
        self.sending = Sending::Probe { awaits_answer: false };
        true
    }

    /// The peer answers, so it lives; but what was sent this long ago has brought nothing: it was lost, or the peer's disk
    /// is slow. Goes back to one entry at a time, which costs little in the second case.
    pub(super) fn retry_if_quiet(&mut self, patience: Duration, now: Now) {
        if !self.awaits_anything() || now - self.quiet_since < patience {
            return;
        }
        self.quiet_since = now;
        match &mut self.sending {
            Sending::Probe { awaits_answer } => *awaits_answer = false,
            Sending::Pipeline { .. } => self.back_to_probe(false),
            // However long it takes: the driver says how it ends.
            Sending::Snapshot { stage: SnapshotStage::UnderWay, .. } => {}
            Sending::Snapshot { .. } => self.sending = Sending::Probe { awaits_answer: false },
        }
    }

    /// The transport has lost something on the way there. Nothing is sent again before the peer has been heard, or
    /// sending and failing would chase each other.
    pub(super) fn unreachable(&mut self) {
        if self.is_inflight() && !matches!(self.sending, Sending::Snapshot { .. }) {
            self.quiet_since = Now::default();
            if matches!(self.sending, Sending::Pipeline { .. }) {
                self.back_to_probe(true);
            }
        }
    }

    /// Whether something was sent that is not answered.
    pub(super) fn is_inflight(&self) -> bool {
        self.inflight() > 0
    }

    /// What the status tells of it.
    pub(super) fn status(&self) -> PeerStatus {
        PeerStatus {
            match_index: self.match_index,
            next_index: self.next_index,
            inflight: self.inflight(),
            needs_snapshot: matches!(self.sending, Sending::Snapshot { .. }),
        }
    }

    /// Checks the invariants listed on the type.
    pub(super) fn check(&self, last_index: LogIndex, window: usize) {
        assert!(
            self.match_index < self.next_index && self.next_index <= last_index.next(),
            "{self:?} does not fit a log that ends at {last_index}"
        );
        if let Sending::Snapshot { upto, .. } = &self.sending {
            assert!(*upto <= last_index, "{self:?} does not fit a log that ends at {last_index}");
        }
        if let Sending::Pipeline { inflight } = &self.sending {
            assert!(
                inflight.iter().is_sorted_by(|a, b| a < b)
                    && inflight.len() <= window
                    && inflight.front().is_none_or(|first| *first > self.match_index)
                    && inflight.back().is_none_or(|last| last.next() == self.next_index),
                "{self:?} is no pipeline of at most {window} messages"
            );
        }
    }

    fn inflight(&self) -> usize {
        match &self.sending {
            Sending::Probe { awaits_answer } => usize::from(*awaits_answer),
            Sending::Pipeline { inflight } => inflight.len(),
            Sending::Snapshot { stage, .. } => usize::from(*stage == SnapshotStage::UnderWay),
        }
    }

    /// Whether it is to answer something, or to get a snapshot: it has no use for a commit index before that, and every
    /// answer would bring the next one.
    pub(super) fn awaits_anything(&self) -> bool {
        self.is_inflight() || matches!(self.sending, Sending::Snapshot { .. })
    }

    fn back_to_probe(&mut self, awaits_answer: bool) {
        self.next_index = self.match_index.next();
        self.sending = Sending::Probe { awaits_answer };
    }
}
