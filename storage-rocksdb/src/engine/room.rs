//! How much room there is, and the reserve: a file that holds a part of the disk until it is needed.
//!
//! On a disk that others have filled, votes, publishing and compaction still have to be written, tables flushed, and the
//! store opened again. So entries are refused while there is still the reserve, and the file that holds it is emptied when
//! the disk is nearly full. RocksDB's log takes room as tables do, until they hold all of it.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use eraft_core::Result;

use crate::{error, files};

/// What a save may take beside its entries.
const PER_SAVE_BYTES: u64 = 1024;

/// What is known of the room for more, measured by the writer thread, by stages, and by whoever asks where there is little.
#[derive(Debug)]
pub(crate) struct Room {
    reserve: PathBuf,
    reserve_bytes: u64,
    /// The longest that RocksDB's log gets.
    log_bytes: u64,
    /// What the reserve's file holds of it.
    held_bytes: AtomicU64,
    /// What is free for anybody: what is promised goes by it.
    free_bytes: AtomicU64,
    /// What is free for this process: what is refused goes by it.
    usable_bytes: AtomicU64,
    /// What of it was there when the reserve was given free, for that was not enough: a file system may say of more than it
    /// gives.
    unsure_bytes: AtomicU64,
    /// What a merge may take that is under way, and stages may not.
    lent_bytes: AtomicU64,
    /// What is in memory and will become tables.
    unflushed_bytes: AtomicU64,
    /// Whether the file system gives no reserve, which is told once.
    refused: AtomicBool,
}

impl Room {
    /// The room of a store whose reserve is, or may be, at `reserve`, and whose log gets `log_bytes` long at most.
    pub(crate) fn new(reserve: PathBuf, reserve_bytes: u64, log_bytes: u64) -> Room {
        let zero = || AtomicU64::new(0);
        Room {
            reserve,
            reserve_bytes,
            log_bytes,
            held_bytes: zero(),
            free_bytes: zero(),
            usable_bytes: zero(),
            unsure_bytes: zero(),
            lent_bytes: zero(),
            unflushed_bytes: zero(),
            refused: AtomicBool::new(false),
        }
    }

    /// Before the database is opened: finds what is held, and gives it free where the disk has not enough without for
    /// the tables that `log_bytes` of RocksDB's log become.
    pub(crate) fn prepare(&self, log_bytes: u64) -> Result<()> {
        let found = files::find(&self.reserve).map_err(|error| self.failed(error))?;
        let held_bytes = found.map_or(0, |found| found.len_bytes.min(found.allocated_bytes));
        self.held_bytes.store(held_bytes, Ordering::Relaxed);
        self.keep_free(log_bytes)
    }

    /// Looks how much of the disk is free, with so many bytes still to be flushed; gives the reserve free where others
    /// have filled the disk.
    pub(crate) fn measure(&self, unflushed_bytes: u64) -> Result<()> {
        self.unflushed_bytes.store(unflushed_bytes, Ordering::Relaxed);
        self.keep_free(0)
    }

    /// Gives the reserve free where less is free than a quarter of it and `bytes`.
    fn keep_free(&self, bytes: u64) -> Result<()> {
        let least = self.reserve_bytes / 4;
        if self.look() < least.saturating_add(bytes) && self.held_bytes.load(Ordering::Relaxed) > 0 {
            self.unsure_bytes.store(self.usable_bytes.load(Ordering::Relaxed).min(least), Ordering::Relaxed);
            self.cut()?;
            tracing::warn!(reserve = %self.reserve.display(), "the disk is nearly full: the reserve is given free");
        }
        Ok(())
    }

    /// Holds the reserve again where there is room for it. That there is none is no failure.
    pub(crate) fn refill(&self) {
        let wanted = self.reserve_bytes;
        if self.held_bytes.load(Ordering::Relaxed) < wanted && self.look() >= wanted + wanted / 2 {
            match files::allocate(&self.reserve, wanted) {
                Ok(()) => {
                    self.held_bytes.store(wanted, Ordering::Relaxed);
                    self.unsure_bytes.store(0, Ordering::Relaxed);
                    self.refused.store(false, Ordering::Relaxed);
                }
                Err(error) if self.refused.swap(true, Ordering::Relaxed) => {
                    tracing::debug!(%error, "still no reserve is held")
                }
                Err(error) => tracing::warn!(reserve = %self.reserve.display(), %error, "no reserve is held"),
            }
            self.look();
        }
    }

    /// Bytes that entries may still take, when `queued_bytes` of `queued_saves` are on their way. On the low side.
    pub(crate) fn bytes(&self, queued_bytes: u64, queued_saves: u64) -> u64 {
        let bytes = self.bytes_seen(queued_bytes, queued_saves);
        if bytes >= self.reserve_bytes {
            return bytes;
        }
        // Others, and merges, may have made room since anything was saved; and where there is none, nothing is.
        self.look();
        self.bytes_seen(queued_bytes, queued_saves)
    }

    /// The same by the last look.
    ///
    /// An entry takes its room twice, in the log and in the table that it becomes, until the log is no longer needed.
    fn bytes_seen(&self, queued_bytes: u64, queued_saves: u64) -> u64 {
        let unflushed = self.unflushed_bytes.load(Ordering::Relaxed);
        let queued = queued_bytes.saturating_add((queued_saves + 1) * PER_SAVE_BYTES);
        let taken = unflushed.saturating_add(queued).saturating_mul(2);
        // No more than a batch is let take then.
        let taken = taken.saturating_add(self.unsure_bytes.load(Ordering::Relaxed));
        let room = self.beside(&self.free_bytes, self.reserve_bytes).saturating_sub(taken);
        room - (room / 2).min(self.log_bytes)
    }

    /// What a batch of entries may count for, in the log and as tables together. More than what was told beforehand, by an eighth of the reserve: what was
    /// promised is kept also where RocksDB's log has grown, a flush has taken room for a moment, or others have taken it all.
    pub(crate) fn batch_bytes(&self) -> u64 {
        let kept_back = self.reserve_bytes - self.reserve_bytes / 8 + self.unsure_bytes.load(Ordering::Relaxed);
        let unflushed = self.unflushed_bytes.load(Ordering::Relaxed);
        self.beside(&self.usable_bytes, kept_back).saturating_sub(unflushed)
    }

    /// What a stage may take.
    pub(crate) fn stage_bytes(&self) -> u64 {
        self.look();
        self.beside(&self.free_bytes, self.reserve_bytes).saturating_sub(self.lent_bytes.load(Ordering::Relaxed))
    }

    /// Whether tables of so many bytes may be merged, which may take as much again. Once they are, what a merge takes while
    /// it is under way does not end it: not before half of that is left.
    pub(crate) fn may_compact(&self, compacts: bool, table_bytes: u64) -> bool {
        let wanted = if compacts { table_bytes / 2 } else { table_bytes };
        self.beside(&self.free_bytes, self.reserve_bytes) >= wanted
    }

    /// Whether so many bytes can be written now, for which the reserve lends up to half of itself. No stage takes them until
    /// [`Room::take_back`].
    pub(crate) fn lend(&self, bytes: u64) -> Result<bool> {
        let wanted = bytes.saturating_add(self.reserve_bytes / 2);
        let free_bytes = self.look();
        if free_bytes < wanted && self.beside(&self.free_bytes, 0) >= wanted {
            self.cut()?;
        }
        let lent = self.free_bytes.load(Ordering::Relaxed) >= wanted;
        self.lent_bytes.store(if lent { wanted } else { 0 }, Ordering::Relaxed);
        Ok(lent)
    }

    /// What was lent is written, or not needed any more.
    pub(crate) fn take_back(&self) {
        self.lent_bytes.store(0, Ordering::Relaxed);
    }

    /// Gives the reserve free.
    fn cut(&self) -> Result<()> {
        files::cut(&self.reserve, 0).map_err(|error| self.failed(error))?;
        self.held_bytes.store(0, Ordering::Relaxed);
        self.look();
        Ok(())
    }

    fn beside(&self, free_bytes: &AtomicU64, kept_back: u64) -> u64 {
        let (free, held) = (free_bytes.load(Ordering::Relaxed), self.held_bytes.load(Ordering::Relaxed));
        free.saturating_add(held).saturating_sub(kept_back)
    }

    /// Looks what is free, and tells what of it anybody may use. Unknown counts as none: saves of no entries go on all
    /// the same, and meet a full disk when there is one.
    fn look(&self) -> u64 {
        let (free, usable) = files::free_bytes(crate::paths::parent(&self.reserve)).unwrap_or((0, 0));
        self.free_bytes.store(free, Ordering::Relaxed);
        self.usable_bytes.store(usable, Ordering::Relaxed);
        free
    }

    fn failed(&self, source: std::io::Error) -> eraft_core::StorageError {
        error::io("giving the reserve free", &self.reserve, source)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const RESERVE_BYTES: u64 = 1 << 20;

    /// Counts warnings.
    #[derive(Clone, Default)]
    struct Warnings(Arc<AtomicU64>);

    impl tracing::Subscriber for Warnings {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn event(&self, event: &tracing::Event<'_>) {
            if *event.metadata().level() == tracing::Level::WARN {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }

    fn room(dir: &tempfile::TempDir) -> Room {
        Room::new(dir.path().join("RESERVE"), RESERVE_BYTES, 1000)
    }

    fn held(room: &Room) -> u64 {
        room.held_bytes.load(Ordering::Relaxed)
    }

    #[test]
    fn the_reserve_goes_before_an_opening_whose_log_needs_its_room() {
        let dir = tempfile::tempdir().unwrap();
        files::allocate(&room(&dir).reserve, RESERVE_BYTES).unwrap();
        let enough = room(&dir);
        enough.prepare(1).unwrap();
        assert_eq!(held(&enough), RESERVE_BYTES);
        let scarce = room(&dir);
        scarce.prepare(u64::MAX).unwrap();
        assert_eq!((held(&scarce), files::find(&scarce.reserve).unwrap().unwrap().len_bytes), (0, 0));
    }

    #[test]
    fn a_reserve_with_holes_counts_for_what_it_takes() {
        let dir = tempfile::tempdir().unwrap();
        let room = room(&dir);
        files::create(&room.reserve, &[]).unwrap();
        files::cut(&room.reserve, RESERVE_BYTES).unwrap();
        room.prepare(0).unwrap();
        assert_eq!(held(&room), 0);
        room.refill();
        let reserve = files::find(&room.reserve).unwrap().unwrap();
        assert!(reserve.allocated_bytes >= RESERVE_BYTES, "{reserve:?}");
    }

    #[test]
    fn an_entry_takes_its_room_twice_until_the_log_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let room = room(&dir);
        let of = |bytes| {
            room.free_bytes.store(RESERVE_BYTES + 2 * PER_SAVE_BYTES + bytes, Ordering::Relaxed);
            room.bytes_seen(0, 0)
        };
        assert_eq!((of(0), of(1000), of(5000)), (0, 500, 4000));
        room.unflushed_bytes.store(100, Ordering::Relaxed);
        assert_eq!(of(1000), 400);
        assert!(room.bytes(0, 0) > of(1000), "what was made free meanwhile is told without a save");
    }

    #[test]
    fn a_merge_under_way_does_not_end_merging_by_what_it_takes() {
        let dir = tempfile::tempdir().unwrap();
        let room = room(&dir);
        let free = |bytes| room.free_bytes.store(RESERVE_BYTES + bytes, Ordering::Relaxed);
        free(1000);
        assert!(room.may_compact(false, 1000) && !room.may_compact(false, 1001));
        free(500);
        assert!(room.may_compact(true, 1000) && !room.may_compact(false, 1000) && !room.may_compact(true, 1002));
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "what stands in the reserve's place here is no file of the backend's"
    )]
    fn that_no_reserve_is_held_is_told_once_until_one_was() {
        let dir = tempfile::tempdir().unwrap();
        let (room, warnings) = (room(&dir), Warnings::default());
        let refuse_thrice = || {
            std::fs::create_dir(&room.reserve).unwrap();
            room.held_bytes.store(0, Ordering::Relaxed);
            tracing::subscriber::with_default(warnings.clone(), || (0..3).for_each(|_| room.refill()));
            std::fs::remove_dir(&room.reserve).unwrap();
            (held(&room), warnings.0.load(Ordering::Relaxed))
        };
        assert_eq!(refuse_thrice(), (0, 1));
        room.refill();
        assert_eq!(held(&room), RESERVE_BYTES);
        std::fs::remove_file(&room.reserve).unwrap();
        assert_eq!(refuse_thrice(), (0, 2));
    }

    #[test]
    fn the_reserve_lends_half_of_itself_where_that_is_needed_and_is_held_again() {
        let dir = tempfile::tempdir().unwrap();
        files::allocate(&room(&dir).reserve, RESERVE_BYTES).unwrap();
        let room = room(&dir);
        room.prepare(0).unwrap();
        assert!(room.lend(1000).unwrap());
        assert_eq!(held(&room), RESERVE_BYTES, "there is enough beside it");
        // Others change what is free of this disk: told by more than there can be.
        assert!(room.lent_bytes.swap(u64::MAX, Ordering::Relaxed) >= 1000);
        assert_eq!(room.stage_bytes(), 0, "no stage takes what was lent");
        room.take_back();
        assert!(room.stage_bytes() > 0);
        let too_much = room.free_bytes.load(Ordering::Relaxed).saturating_mul(2);
        assert!(!room.lend(too_much).unwrap());
        assert_eq!(held(&room), RESERVE_BYTES, "it is not given away in vain");
        room.cut().unwrap();
        assert_eq!(room.unsure_bytes.load(Ordering::Relaxed), 0);
        room.refill();
        assert_eq!(held(&room), RESERVE_BYTES);
    }

    #[test]
    fn no_more_is_told_than_a_batch_may_take_after_the_reserve_was_given_free() {
        // A log that is longer than what is free.
        let room = Room::new("RESERVE".into(), RESERVE_BYTES, 8 * RESERVE_BYTES);
        room.unsure_bytes.store(RESERVE_BYTES / 4, Ordering::Relaxed);
        for free in (0..4 * RESERVE_BYTES).step_by(10_007) {
            room.free_bytes.store(free, Ordering::Relaxed);
            room.usable_bytes.store(free, Ordering::Relaxed);
            let (told, taken) = (room.bytes_seen(0, 0), room.batch_bytes());
            assert!(2 * told <= taken, "{told} bytes of entries are told, and {taken} may be taken, of {free}");
        }
    }
}
