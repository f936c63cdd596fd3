//! ReadIndex: linearizable reads without a log entry (section 6.4 of Ongaro's dissertation).
//!
//! A read waits for a round of heartbeats that began after it was asked: when a quorum has acknowledged that round, this
//! node still led at a moment after the question, so everything committed by then is at or below its commit index. An
//! acknowledgement that was already under way when the question came proves nothing: a newer leader may have been elected
//! between it and the question.

use std::collections::VecDeque;

use super::RequestId;
use crate::types::LogIndex;

/// How many rounds may be under way for reads; further reads gather for the next one.
const MAX_ROUNDS: usize = 4;

/// The reads of one leader.
///
/// Invariant: `confirming` rises by round and by index; every read in it was asked before its round began.
#[derive(Debug, Default)]
pub(super) struct Reads {
    asked: Vec<RequestId>,
    confirming: VecDeque<Confirming>,
}

#[derive(Debug)]
struct Confirming {
    round: u64,
    index: LogIndex,
    reads: Vec<RequestId>,
}

impl Reads {
    /// A client asks to read.
    pub(super) fn ask(&mut self, id: RequestId) {
        self.asked.push(id);
    }

    /// How many await their outcome.
    pub(super) fn len(&self) -> usize {
        self.asked.len() + self.confirming.iter().map(|batch| batch.reads.len()).sum::<usize>()
    }

    /// Whether reads wait that a new round would serve.
    pub(super) fn want_round(&self) -> bool {
        !self.asked.is_empty() && self.confirming.len() < MAX_ROUNDS
    }

    /// A new round begins: it confirms every read asked so far, at `commit`, which covers an entry of the current term.
    pub(super) fn begin_round(&mut self, round: u64, commit: LogIndex) {
        if !self.asked.is_empty() {
            self.confirming.push_back(Confirming { round, index: commit, reads: std::mem::take(&mut self.asked) });
        }
    }

    /// A quorum has acknowledged `round`: the reads that this confirms, each with the index it needs applied.
    pub(super) fn confirm(&mut self, round: u64) -> Vec<(RequestId, LogIndex)> {
        let mut confirmed = Vec::new();
        while let Some(batch) = self.confirming.pop_front_if(|batch| batch.round <= round) {
            confirmed.extend(batch.reads.into_iter().map(|id| (id, batch.index)));
        }
        confirmed
    }

    /// Everything that still waits, when leadership is lost.
    pub(super) fn into_unanswered(self) -> impl Iterator<Item = RequestId> {
        self.confirming.into_iter().flat_map(|batch| batch.reads).chain(self.asked)
    }
}
