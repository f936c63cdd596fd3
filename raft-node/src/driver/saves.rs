//! Saves under way: submitted in order, completed in order, a batch at a time.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use eraft_core::{Entry, LogChange, LogIndex, Receipt, SaveId, StorageError};

/// One save whose receipt is out.
#[derive(Debug)]
struct UnderWay {
    id: SaveId,
    /// The first entry it appends, if any.
    first: Option<LogIndex>,
    bytes: u64,
    receipt: Receipt,
}

/// The saves whose receipts are out, oldest first. Invariant: `bytes` is the sum of theirs.
#[derive(Debug, Default)]
pub(super) struct Saves {
    under_way: VecDeque<UnderWay>,
    bytes: u64,
}

impl Saves {
    /// A save has been submitted.
    pub(super) fn submitted(&mut self, id: SaveId, log: &LogSize, receipt: Receipt) {
        self.bytes += log.bytes;
        self.under_way.push_back(UnderWay { id, first: log.first, bytes: log.bytes, receipt });
    }

    /// The latest save that is durable by now, with all before it; pending when none has completed since last asked.
    pub(super) fn poll_completed(&mut self, cx: &mut Context<'_>) -> Poll<Result<SaveId, StorageError>> {
        let mut latest = None;
        while let Some(save) = self.under_way.front_mut() {
            match Pin::new(&mut save.receipt).poll(cx) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {
                    latest = Some(save.id);
                    self.bytes -= save.bytes;
                    self.under_way.pop_front();
                }
            }
        }
        latest.map_or(Poll::Pending, |id| Poll::Ready(Ok(id)))
    }

    /// Resolves when everything submitted is durable.
    pub(super) async fn drain(&mut self) -> Result<(), StorageError> {
        while let Some(save) = self.under_way.pop_front() {
            self.bytes -= save.bytes;
            save.receipt.await?;
        }
        Ok(())
    }

    /// How many.
    pub(super) fn len(&self) -> u64 {
        self.under_way.len() as u64
    }

    /// Bytes of entries in them.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The first entry that no receipt vouches for yet. A later save may have cut back behind an earlier one's entries.
    pub(super) fn first_unsaved(&self) -> Option<LogIndex> {
        self.under_way.iter().filter_map(|save| save.first).min()
    }
}

/// What a save brings into the log.
#[derive(Debug)]
pub(super) struct LogSize {
    first: Option<LogIndex>,
    bytes: u64,
}

impl LogSize {
    pub(super) fn of(log: &LogChange) -> LogSize {
        let entries: &[Entry] = if let LogChange::Append(entries) = log { entries } else { &[] };
        LogSize { first: entries.first().map(|entry| entry.index), bytes: entries.iter().map(Entry::size_bytes).sum() }
    }
}
