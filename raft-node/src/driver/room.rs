//! How much may still come into the log: what the disk has not confirmed, what the store has room for, and how far applying
//! lags.

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

    /// Whether a leader's entries may come in. Applying counts for nothing here: they may be committed already.
    pub(super) fn takes_append(&self, bytes: u64) -> bool {
        let fits = self.unsaved_bytes.saturating_add(bytes) <= self.max_unsaved_bytes;
        (fits || self.unsaved_bytes == 0) && bytes <= self.store_bytes
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

    /// Something of this size has come in.
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
