//! Where every entry of one group stands: eight bytes per entry, and a few more wherever the segment changes.

use std::collections::VecDeque;

use eraft_core::LogIndex;

use crate::segment::{BLOCK_BYTES, record::Position};

/// The most that an entry counts for beyond its own bytes: the frame that it had for itself and the mark that confirmed
/// that, each to the end of a block. What lies beyond is another group's.
const MAX_PADDING_BYTES: u64 = 2 * BLOCK_BYTES;

/// Positions of the entries from `first` on.
///
/// Invariants:
/// - `runs` is empty exactly when `positions` is; else the first run begins at `first`, and runs rise strictly in index
///   and never fall in segment;
/// - `live_bytes` is the sum of what each entry takes ([`EntryIndex::taken_bytes`]).
///
/// While a store runs, `first` follows the log's base. During recovery it may lie higher, where entries before it stand in
/// segments that were deleted since; the records that follow must then show that they were compacted.
#[derive(Debug)]
pub(crate) struct EntryIndex {
    first: LogIndex,
    positions: VecDeque<Position>,
    runs: VecDeque<Run>,
    live_bytes: u64,
}

/// From `first` on, entries stand in `segment`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: LogIndex,
    segment: u64,
}

impl EntryIndex {
    /// No entry yet; the next one known is `first`.
    pub(crate) fn new(first: LogIndex) -> EntryIndex {
        EntryIndex { first, positions: VecDeque::new(), runs: VecDeque::new(), live_bytes: 0 }
    }

    /// The first entry whose place is known, or the next one to come.
    pub(crate) fn first(&self) -> LogIndex {
        self.first
    }

    /// Entries from `first` on stand in `segment` at `positions`; they replace whatever stood from there on. There is
    /// no gap: the outline has checked that.
    pub(crate) fn append(&mut self, first: LogIndex, segment: u64, positions: &[Position]) {
        if positions.is_empty() {
            return;
        }
        self.truncate(first);
        // What the last one took is known only now.
        self.live_bytes -= self.last_taken_bytes();
        let counted = self.positions.len().saturating_sub(1);
        if self.runs.back().is_none_or(|run| run.segment != segment) {
            self.runs.push_back(Run { first, segment });
        }
        self.positions.extend(positions);
        self.live_bytes += (counted..self.positions.len()).map(|at| self.taken_bytes(at)).sum::<u64>();
    }

    /// Forgets entries up to and including `upto`.
    pub(crate) fn compact_to(&mut self, upto: LogIndex) {
        if upto < self.first {
            return;
        }
        let gone = upto.0 - self.first.0 + 1;
        let gone = usize::try_from(gone).unwrap_or(usize::MAX).min(self.positions.len());
        self.live_bytes -= (0..gone).map(|at| self.taken_bytes(at)).sum::<u64>();
        self.positions.drain(..gone);
        self.first = upto.next();
        while self.runs.get(1).is_some_and(|run| run.first <= self.first) {
            self.runs.pop_front();
        }
        match self.runs.front_mut() {
            Some(run) if !self.positions.is_empty() => run.first = self.first,
            _ => self.runs.clear(),
        }
        // A log that shrank a hundredfold gives its memory back.
        if self.positions.capacity() > 4 * self.positions.len() + 1024 {
            self.positions.shrink_to(2 * self.positions.len());
        }
    }

    /// Forgets everything; the next entry is the one after `base`.
    pub(crate) fn reset(&mut self, base: LogIndex) {
        *self = EntryIndex::new(base.next());
    }

    /// The segment of the entry at `index`, and its place there.
    pub(crate) fn locate(&self, index: LogIndex) -> Option<(u64, Position)> {
        let at = usize::try_from(index.0.checked_sub(self.first.0)?).ok()?;
        let position = self.positions.get(at)?;
        let after = self.runs.partition_point(|run| run.first <= index);
        Some((self.runs.get(after.checked_sub(1)?)?.segment, *position))
    }

    /// The oldest segment that holds an entry.
    pub(crate) fn oldest_segment(&self) -> Option<u64> {
        self.runs.front().map(|run| run.segment)
    }

    /// Bytes that the live entries take of the log, with the padding and the marks that lone ones need: whoever keeps this
    /// bounded keeps the disk bounded.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// What the entry at this place takes: its own bytes, or up to where the next one begins.
    fn taken_bytes(&self, at: usize) -> u64 {
        let Some(position) = self.positions.get(at) else { return 0 };
        let own_bytes = 32 + u64::from(position.payload_bytes);
        // Where the next one stands in a later segment, it mostly has a lower offset.
        let next = self.positions.get(at + 1).and_then(|next| next.offset.checked_sub(position.offset));
        u64::from(next.unwrap_or(0)).clamp(own_bytes, own_bytes + MAX_PADDING_BYTES)
    }

    fn last_taken_bytes(&self) -> u64 {
        self.positions.len().checked_sub(1).map_or(0, |last| self.taken_bytes(last))
    }

    fn truncate(&mut self, from: LogIndex) {
        if from <= self.first {
            *self = EntryIndex::new(from);
            return;
        }
        let kept = usize::try_from(from.0 - self.first.0).unwrap_or(usize::MAX).min(self.positions.len());
        let cut = kept.saturating_sub(1);
        self.live_bytes -= (cut..self.positions.len()).map(|at| self.taken_bytes(at)).sum::<u64>();
        self.positions.truncate(kept);
        self.live_bytes += self.last_taken_bytes();
        while self.runs.back().is_some_and(|run| run.first >= from) {
            self.runs.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(count: u32) -> Vec<Position> {
        (0..count).map(|at| Position { offset: at * 100, payload_bytes: 10 }).collect()
    }

    #[test]
    fn entries_are_found_where_the_last_append_put_them() {
        let mut index = EntryIndex::new(LogIndex(1));
        index.append(LogIndex(1), 1, &positions(4));
        index.append(LogIndex(5), 2, &positions(4));
        index.append(LogIndex(3), 3, &positions(2));
        let segments: Vec<_> = (1..6).map(|at| index.locate(LogIndex(at)).map(|(segment, _)| segment)).collect();
        assert_eq!(segments, [Some(1), Some(1), Some(3), Some(3), None]);
        // Two at 0 and 100, the next at 0 and 100 of another segment, none behind either pair's last.
        assert_eq!(index.size_bytes(), 2 * (100 + 42));
    }

    #[test]
    fn what_lies_between_two_entries_counts_for_the_first_up_to_two_blocks() {
        let mut index = EntryIndex::new(LogIndex(1));
        let at = |offset| [Position { offset, payload_bytes: 10 }];
        for (next, offset, expected) in [(1, 0, 42), (2, 512, 512 + 42), (3, 8704, 512 + 8192 + 42)] {
            index.append(LogIndex(next), 1, &at(offset));
            assert_eq!(index.size_bytes(), expected, "with {next} entries");
        }
        index.append(LogIndex(4), 1, &at(1_000_000));
        assert_eq!(index.size_bytes(), 512 + 8192 + (42 + 8192) + 42, "what is further away is another group's");
        index.compact_to(LogIndex(1));
        assert_eq!(index.size_bytes(), 8192 + (42 + 8192) + 42);
        index.append(LogIndex(3), 1, &at(1_000_512));
        assert_eq!(index.size_bytes(), (42 + 8192) + 42);
        index.compact_to(LogIndex(3));
        assert_eq!(index.size_bytes(), 0);
    }

    #[test]
    fn compaction_frees_segments_and_bytes() {
        let mut index = EntryIndex::new(LogIndex(1));
        index.append(LogIndex(1), 1, &positions(4));
        index.append(LogIndex(5), 2, &positions(4));
        index.compact_to(LogIndex(3));
        assert_eq!((index.oldest_segment(), index.first()), (Some(1), LogIndex(4)));
        index.compact_to(LogIndex(4));
        assert_eq!((index.oldest_segment(), index.locate(LogIndex(4))), (Some(2), None));
        assert_eq!(index.locate(LogIndex(5)), Some((2, positions(1)[0])));
        index.compact_to(LogIndex(8));
        assert_eq!((index.oldest_segment(), index.size_bytes(), index.first()), (None, 0, LogIndex(9)));
    }

    #[test]
    fn what_stood_in_deleted_segments_is_known_to_be_missing_until_it_is_replaced_or_compacted() {
        let mut index = EntryIndex::new(LogIndex(101));
        index.append(LogIndex(50), 7, &positions(1));
        assert_eq!(index.first(), LogIndex(50));
        index.compact_to(LogIndex(49));
        assert_eq!((index.first(), index.oldest_segment()), (LogIndex(50), Some(7)));
    }
}
