//! The two lanes to one peer: messages without entries, and one range of entries.
//!
//! The loop pushes and never waits: a message too many is dropped and the core is told, as if the network had lost it.
//! Ranges that follow each other are joined, so that a peer that is slower than the loop gets few, large messages, and one
//! range is all there ever is.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use eraft_core::{Entry, LogIndex, Message, Replicate, Term};
use tokio::sync::Notify;

use super::window::Window;
use crate::PeerQueues;

/// What waits for one peer, shared by the loop (which fills) and the peer's task (which empties).
#[derive(Debug)]
pub(crate) struct Lanes {
    max_messages: usize,
    max_inflight_bytes: u64,
    state: Mutex<LaneState>,
    wake: Notify,
    unreachable: AtomicBool,
    dropped: AtomicU64,
    sends_failed: AtomicU64,
}

/// Invariants:
/// - `range`, where there is one, is not empty;
/// - `epoch` counts how often it was made void, and `window` holds what was sent since.
#[derive(Debug, Default)]
struct LaneState {
    messages: VecDeque<Message>,
    range: Option<Replicate>,
    /// The term of the last range, and the index that the next one continues with.
    next: (Term, LogIndex),
    epoch: u64,
    window: Window,
}

/// What the peer's task should do about entries.
#[derive(Debug)]
pub(super) enum NextRead {
    /// Nothing waits.
    Nothing,
    /// Too much is under way: wait for an acknowledgement.
    WindowFull,
    /// Read from the start of this range, then [`Lanes::take`] what was found.
    Read { replicate: Replicate, epoch: u64 },
}

impl Lanes {
    pub(crate) fn new(max_messages: usize, max_inflight_bytes: u64) -> Lanes {
        Lanes {
            max_messages,
            max_inflight_bytes,
            state: Mutex::default(),
            wake: Notify::new(),
            unreachable: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            sends_failed: AtomicU64::new(0),
        }
    }

    /// Queues a message without entries.
    pub(crate) fn push_message(&self, message: Message) {
        let mut state = self.lock();
        if state.messages.len() >= self.max_messages {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.unreachable.store(true, Ordering::Release);
            return;
        }
        state.messages.push_back(message);
    }

    /// Queues a range of entries. One that does not continue the last makes what waits void: the core has gone back.
    pub(crate) fn push_replicate(&self, replicate: Replicate) {
        if replicate.range.is_empty() {
            return;
        }
        let mut state = self.lock();
        if state.next != (replicate.term, replicate.range.start) {
            state.restart();
        }
        state.next = (replicate.term, replicate.range.end);
        match &mut state.range {
            // What is said of commit and round later holds for earlier entries too: they leave later as well.
            Some(waiting) => {
                waiting.range.end = replicate.range.end;
                waiting.commit = waiting.commit.max(replicate.commit);
                waiting.round = waiting.round.max(replicate.round);
            }
            empty => *empty = Some(replicate),
        }
    }

    /// The peer has said that its log matches up to `matched`: what was sent up to there is no longer under way.
    pub(crate) fn acknowledge(&self, matched: LogIndex) {
        self.lock().window.acknowledge(matched);
    }

    /// Wakes the task, once everything of a turn has been pushed.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Whether anything was lost on its way there since last asked.
    pub(crate) fn take_unreachable(&self) -> bool {
        self.unreachable.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn queues(&self) -> PeerQueues {
        let state = self.lock();
        PeerQueues {
            messages: state.messages.len() as u64,
            entries: state.range.as_ref().map_or(0, |waiting| waiting.range.end.0 - waiting.range.start.0),
            inflight_bytes: state.window.bytes(),
            dropped: self.dropped.load(Ordering::Relaxed),
            unreachable: self.sends_failed.load(Ordering::Relaxed),
        }
    }

    /// Resolves after the next [`Lanes::wake`], at once if there was one since last asked.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn pop_message(&self) -> Option<Message> {
        self.lock().messages.pop_front()
    }

    /// What to read for the peer next.
    pub(super) fn next_read(&self) -> NextRead {
        let state = self.lock();
        match &state.range {
            None => NextRead::Nothing,
            Some(_) if state.window.bytes() >= self.max_inflight_bytes => NextRead::WindowFull,
            Some(waiting) => NextRead::Read { replicate: waiting.clone(), epoch: state.epoch },
        }
    }

    /// `entries`, which begin the range, are about to be sent. Whether they still should be: not if the range has been made
    /// void since it was read.
    pub(super) fn take(&self, epoch: u64, entries: &[Entry]) -> bool {
        let mut state = self.lock();
        let Some(last) = entries.last() else { return false };
        if state.epoch != epoch {
            return false;
        }
        state.window.sent(last.index, entries.iter().map(Entry::size_bytes).sum());
        if let Some(waiting) = &mut state.range {
            waiting.prev = last.id();
            waiting.range.start = last.index.next();
        }
        if state.range.as_ref().is_some_and(|waiting| waiting.range.is_empty()) {
            state.range = None;
        }
        true
    }

    /// Nothing of what waits or is under way counts any longer.
    pub(super) fn restart(&self) {
        self.lock().restart();
    }

    /// What is under way has not been acknowledged for too long to wait any longer.
    pub(super) fn forget_inflight(&self) {
        self.lock().window = Window::default();
    }

    /// Something could not be handed on: the entries that wait behind it would only be refused by the peer, and the core
    /// is to be told.
    pub(super) fn failed(&self) {
        self.sends_failed.fetch_add(1, Ordering::Relaxed);
        self.restart();
        self.unreachable.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LaneState {
    fn restart(&mut self) {
        self.range = None;
        self.next = (Term::ZERO, LogIndex::ZERO);
        self.window = Window::default();
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use eraft_core::{EntryId, NodeId};

    use super::*;

    fn replicate(term: u64, first: u64, end: u64) -> Replicate {
        Replicate {
            to: NodeId(2),
            term: Term(term),
            prev: EntryId::new(1, first - 1),
            range: LogIndex(first)..LogIndex(end),
            commit: LogIndex(first),
            round: end,
        }
    }

    fn waiting(lanes: &Lanes) -> Option<(u64, Replicate)> {
        match lanes.next_read() {
            NextRead::Read { replicate, epoch } => Some((epoch, replicate)),
            _ => None,
        }
    }

    #[test]
    fn ranges_that_follow_each_other_are_joined() {
        let lanes = Lanes::new(4, 1 << 20);
        lanes.push_replicate(replicate(1, 5, 6));
        lanes.push_replicate(replicate(1, 6, 9));
        let (_, joined) = waiting(&lanes).unwrap();
        assert_eq!((joined.prev, joined.range), (EntryId::new(1, 4), LogIndex(5)..LogIndex(9)));
        assert_eq!((joined.commit, joined.round), (LogIndex(6), 9));
    }

    #[test]
    fn a_range_that_goes_back_makes_what_was_read_void() {
        let lanes = Lanes::new(4, 1 << 20);
        lanes.push_replicate(replicate(1, 5, 9));
        let (epoch, _) = waiting(&lanes).unwrap();
        lanes.push_replicate(replicate(1, 3, 4));
        assert!(!lanes.take(epoch, &[Entry::command(Term(1), LogIndex(5), "x")]));
        assert_eq!(waiting(&lanes).unwrap().1.range, LogIndex(3)..LogIndex(4));
    }

    #[test]
    fn a_range_of_another_term_makes_what_waits_void() {
        let lanes = Lanes::new(4, 1 << 20);
        lanes.push_replicate(replicate(1, 5, 9));
        lanes.push_replicate(replicate(2, 9, 10));
        assert_eq!(waiting(&lanes).unwrap().1.range, LogIndex(9)..LogIndex(10));
    }

    #[test]
    fn what_is_left_of_a_range_follows_the_last_entry_sent() {
        let lanes = Lanes::new(4, 1 << 20);
        lanes.push_replicate(replicate(3, 5, 7));
        let (epoch, _) = waiting(&lanes).unwrap();
        assert!(lanes.take(epoch, &[Entry::command(Term(2), LogIndex(5), "x")]));
        let (epoch, left) = waiting(&lanes).unwrap();
        assert_eq!((left.prev, left.range), (EntryId::new(2, 5), LogIndex(6)..LogIndex(7)));
        assert!(lanes.take(epoch, &[Entry::command(Term(3), LogIndex(6), "x")]));
        assert!(waiting(&lanes).is_none());
        // What comes next continues, so what is under way still counts.
        lanes.push_replicate(replicate(3, 7, 8));
        assert_eq!(lanes.queues().inflight_bytes, 66);
    }

    #[test]
    fn a_full_window_waits_for_an_acknowledgement() {
        let lanes = Lanes::new(4, 33);
        lanes.push_replicate(replicate(1, 5, 9));
        let (epoch, _) = waiting(&lanes).unwrap();
        assert!(lanes.take(epoch, &[Entry::command(Term(1), LogIndex(5), "x")]));
        assert!(matches!(lanes.next_read(), NextRead::WindowFull));
        lanes.acknowledge(LogIndex(4));
        assert!(matches!(lanes.next_read(), NextRead::WindowFull));
        lanes.acknowledge(LogIndex(5));
        assert!(waiting(&lanes).is_some());
    }
}
