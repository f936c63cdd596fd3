//! How many bytes of entries are under way to one peer. (The core's own window counts messages.)

use std::collections::VecDeque;

use eraft_core::LogIndex;

/// What was sent and is not acknowledged. Invariant: indexes rise, and `bytes` is the sum.
#[derive(Debug, Default)]
pub(super) struct Window {
    sent: VecDeque<(LogIndex, u64)>,
    bytes: u64,
}

impl Window {
    /// `bytes` of entries that end with `last` were sent.
    pub(super) fn sent(&mut self, last: LogIndex, bytes: u64) {
        self.sent.push_back((last, bytes));
        self.bytes += bytes;
    }

    /// The peer holds everything up to `matched`.
    pub(super) fn acknowledge(&mut self, matched: LogIndex) {
        while let Some((_, bytes)) = self.sent.pop_front_if(|(last, _)| *last <= matched) {
            self.bytes -= bytes;
        }
    }

    /// Bytes under way.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}
