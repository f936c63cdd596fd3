//! How much may still come into the log: what the disk has not confirmed, what the store has room for, and how far applying
//! lags.

use eraft_core::{Entry, EntryKind};

/// The room of one turn; what is taken in lessens it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    unsaved_bytes: u64,
    max_unsaved_bytes: u64,
    store_bytes: u64,
    unapplied_entries: u64,
}

impl Room {
    /// `unsaved_bytes` of at most `max_unsaved_bytes` are under way to the store, which can take `store_bytes` more; so
    /// many more entries may be committed and not applied.
    pub(super) fn new(unsaved_bytes: u64, max_unsaved_bytes: u64, store_bytes: u64, unapplied_entries: u64) -> Room {
        Room { unsaved_bytes, max_unsaved_bytes, store_bytes, unapplied_entries }
    }

    /// Whether another proposal may come in. The last one may overshoot, so that a large one is not held back for ever.
    pub(super) fn is_open(&self) -> bool {
        self.unsaved_bytes < self.max_unsaved_bytes && self.unapplied_entries > 0
    }

    /// How many of a leader's entries may come in, from the first on. Applying counts for nothing here: they may be
    /// committed already.
    pub(super) fn fitting_entries(&self, entries: &[Entry]) -> usize {
        let unsaved_bytes: u64 = entries.iter().map(Entry::size_bytes).sum();
        let fits = self.unsaved_bytes.saturating_add(unsaved_bytes) <= self.max_unsaved_bytes;
        if !fits && self.unsaved_bytes > 0 {
            return 0;
        }
        let mut left_bytes = Some(self.store_bytes);
        let fits = |entry: &&Entry| {
            left_bytes = left_bytes.and_then(|left| left.checked_sub(store_bytes(entry)));
            left_bytes.is_some()
        };
        entries.iter().take_while(fits).count()
    }

    /// A leader's entries have come in.
    pub(super) fn take_entries(&mut self, entries: &[Entry]) {
        self.unsaved_bytes = self.unsaved_bytes.saturating_add(entries.iter().map(Entry::size_bytes).sum());
        self.store_bytes = self.store_bytes.saturating_sub(entries.iter().map(store_bytes).sum());
    }

    /// How many proposals of these sizes may come in, one after the other.
    pub(super) fn fitting(mut self, sizes: impl Iterator<Item = u64>) -> usize {
        let fits = |bytes: &u64| {
            let open = self.is_open();
            self.take(*bytes);
            open
        };
        sizes.take_while(fits).count()
    }

    /// A proposal of this size has come in.
    pub(super) fn take(&mut self, bytes: u64) {
        self.unsaved_bytes = self.unsaved_bytes.saturating_add(bytes);
        self.store_bytes = self.store_bytes.saturating_sub(bytes);
        self.unapplied_entries = self.unapplied_entries.saturating_sub(1);
    }

    /// Bytes that the store can still take.
    pub(super) fn store_bytes(&self) -> u64 {
        self.store_bytes
    }
}

/// What an entry takes of the store's room. A no-op takes none: it ends an election as a vote begins it, from the store's
/// reserve, and a cluster whose disks are full must still get a leader that commits.
fn store_bytes(entry: &Entry) -> u64 {
    if entry.kind == EntryKind::Noop && entry.payload.is_empty() { 0 } else { entry.size_bytes() }
}
