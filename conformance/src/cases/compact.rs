//! Line 5: compaction drops a prefix that a snapshot covers, and never more.

use eraft_core::{LogIndex, StorageErrorKind::Compacted, StorageErrorKind::Invalid};

use crate::{Lab, make::*};

/// Up to and including; the term of what was dropped last stays known.
pub async fn line_05_compaction_drops_entries_up_to_and_including_one(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append([entries(1, 1, 4), entries(2, 5, 10)].concat())).await;
    lab.publish(&storage, &mut model, keep(), meta(2, 8), &chunks(1, 2, 100)).await;
    for (term, index) in [(1, 1), (1, 4), (2, 5), (2, 8)] {
        lab.save(&storage, &mut model, compact(term, index)).await;
        lab.shows(&storage, &model, &format!("compacted to {index}")).await;
    }
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// Whoever reads too far back learns that a snapshot is needed.
pub async fn line_05_reading_at_or_below_the_base_is_compacted(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let from_zero = storage.read_entries(LogIndex(0)..LogIndex(1), u64::MAX).await;
    lab.refused("reading the position before the first entry", from_zero, Compacted);
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    lab.publish(&storage, &mut model, compact(1, 6), meta(1, 6), &chunks(1, 1, 10)).await;
    for start in [1, 5, 6] {
        let found = storage.read_entries(LogIndex(start)..LogIndex(11), u64::MAX).await;
        lab.refused(&format!("reading from {start}, with the base at 6"), found, Compacted);
    }
    let found = storage.read_entries(LogIndex(7)..LogIndex(11), u64::MAX).await.unwrap();
    lab.equal("reading from the first entry kept", found, model.entries.clone());
    let storage = lab.reopen().await;
    let found = storage.read_entries(LogIndex(6)..LogIndex(11), u64::MAX).await;
    lab.refused("reading the base after opening again", found, Compacted);
}

/// Without a snapshot nothing may go; with one, nothing above it.
pub async fn line_05_compaction_beyond_the_snapshot_is_invalid(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    lab.refused("compaction without a snapshot", storage.save_raft_state(compact(1, 1)).await, Invalid);
    lab.publish(&storage, &mut model, keep(), meta(1, 5), &chunks(1, 1, 10)).await;
    lab.refused("compaction one beyond the snapshot", storage.save_raft_state(compact(1, 6)).await, Invalid);
    lab.shows(&storage, &model, "after the refusals").await;
    lab.save(&storage, &mut model, compact(1, 5)).await;
    lab.shows(&storage, &model, "compacted to the snapshot").await;
}

/// An id names one entry; its term must agree, and it must be there.
pub async fn line_05_compaction_to_an_entry_the_log_does_not_hold_is_invalid(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(2, 1, 10))).await;
    lab.publish(&storage, &mut model, compact(2, 4), meta(2, 8), &chunks(1, 1, 10)).await;
    lab.refused("another term", storage.save_raft_state(compact(1, 6)).await, Invalid);
    lab.refused("below the base", storage.save_raft_state(compact(2, 3)).await, Invalid);
    lab.refused("beyond the end", storage.save_raft_state(compact(2, 11)).await, Invalid);
    lab.shows(&storage, &model, "after the refusals").await;
    lab.save(&storage, &mut model, compact(2, 4)).await;
    lab.shows(&storage, &model, "compacted to the base again").await;
}

/// The snapshot that a save publishes counts for the compaction of the same save.
pub async fn line_05_a_save_may_compact_to_the_snapshot_it_publishes(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    for index in [3, 7] {
        lab.publish(&storage, &mut model, compact(1, index), meta(1, index), &chunks(index, 2, 100)).await;
        lab.shows(&storage, &model, &format!("snapshot and base at {index}")).await;
    }
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// An empty log keeps its anchor, and goes on from it.
pub async fn line_05_a_log_compacted_to_its_end_goes_on(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(4, 1, 5))).await;
    lab.publish(&storage, &mut model, compact(4, 5), meta(4, 5), &chunks(1, 1, 10)).await;
    lab.shows(&storage, &model, "an empty log").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "an empty log, opened again").await;
    lab.refused("a term below the base's", storage.save_raft_state(append(entries(3, 6, 6))).await, Invalid);
    lab.save(&storage, &mut model, append(entries(4, 6, 8))).await;
    lab.shows(&storage, &model, "entries after the base").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// base <= snapshot <= last, with agreeing terms: an append cannot take the snapshot's entry away.
pub async fn line_05_an_append_that_contradicts_the_snapshot_is_invalid(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    lab.publish(&storage, &mut model, compact(1, 3), meta(1, 6), &chunks(1, 1, 10)).await;
    lab.refused("a log that ends before it", storage.save_raft_state(append(entries(1, 4, 5))).await, Invalid);
    lab.refused("another term at its entry", storage.save_raft_state(append(entries(2, 6, 9))).await, Invalid);
    lab.refused("another term below it", storage.save_raft_state(append(entries(2, 5, 9))).await, Invalid);
    lab.shows(&storage, &model, "after the refusals").await;
    lab.save(&storage, &mut model, append(entries(1, 4, 6))).await;
    lab.shows(&storage, &model, "a log that ends at it").await;
    lab.save(&storage, &mut model, append(entries(2, 7, 7))).await;
    lab.shows(&storage, &model, "another term after it").await;
}

/// A snapshot stands on an entry that is there.
pub async fn line_05_publishing_a_snapshot_the_log_disagrees_with_is_invalid(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(2, 1, 5))).await;
    for (what, meta) in [("another term", meta(1, 3)), ("beyond the end", meta(2, 6))] {
        let staged = lab.stage(&storage, meta, &chunks(1, 1, 10)).await;
        lab.refused(what, storage.save_state_and_snapshot(keep(), staged).await, Invalid);
    }
    lab.shows(&storage, &model, "after the refusals").await;
    let staged = lab.stage(&storage, meta(2, 6), &chunks(2, 1, 10)).await;
    let update = append(entries(2, 6, 7));
    let content = crate::Content::new(meta(2, 6), &chunks(2, 1, 10));
    model.apply(&update, Some(&content)).unwrap();
    let published = storage.save_state_and_snapshot(update, staged).await;
    lab.holds("one on an entry that the same save appends", published.is_ok(), || format!("{published:?}"));
    lab.shows(&storage, &model, "after publishing").await;
}
