//! Line 6: `Reset` empties the log and sets its base, only together with the snapshot that covers it.

use eraft_core::{LogIndex, StorageErrorKind::Compacted, StorageErrorKind::Invalid};

use crate::{Lab, make::*};

/// What a follower does with a snapshot that disagrees with its log, or lies beyond it.
pub async fn line_06_a_reset_empties_the_log_and_sets_its_base(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    lab.publish(&storage, &mut model, reset(3, 50), meta(3, 50), &chunks(1, 3, 100)).await;
    lab.shows(&storage, &model, "after a reset beyond the end").await;
    let old = storage.read_entries(LogIndex(5)..LogIndex(11), u64::MAX).await;
    lab.refused("reading the old log", old, Compacted);
    lab.save(&storage, &mut model, append(entries(3, 51, 55))).await;
    lab.shows(&storage, &model, "entries after the reset").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// A blank store takes its whole state from a snapshot.
pub async fn line_06_a_blank_store_may_begin_with_a_reset(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let mut update = reset(7, 1000);
    update.hard_state = Some(voted(9, 1000));
    lab.publish(&storage, &mut model, update, meta(7, 1000), &chunks(1, 1, 5000)).await;
    lab.shows(&storage, &model, "after the reset").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// Within the log, too: a conflicting suffix does not survive an installed snapshot.
pub async fn line_06_a_reset_within_the_log_drops_the_suffix(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    lab.publish(&storage, &mut model, reset(2, 5), meta(2, 5), &chunks(1, 1, 100)).await;
    lab.shows(&storage, &model, "after the reset").await;
    lab.save(&storage, &mut model, append(entries(2, 6, 6))).await;
    lab.shows(&storage, &model, "one entry after it").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
    let gone = storage.read_entries(LogIndex(7)..LogIndex(11), u64::MAX).await.unwrap();
    lab.equal("the old suffix", gone, vec![]);
}

/// The base is the snapshot's last entry, or the save is a mistake.
pub async fn line_06_a_reset_without_its_snapshot_is_invalid(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    lab.publish(&storage, &mut model, keep(), meta(1, 5), &chunks(1, 1, 10)).await;
    lab.refused("no snapshot at all", storage.save_raft_state(reset(2, 20)).await, Invalid);
    lab.refused("only the one published before", storage.save_raft_state(reset(1, 5)).await, Invalid);
    for (what, update) in [("another index", reset(2, 21)), ("another term", reset(3, 20))] {
        let staged = lab.stage(&storage, meta(2, 20), &chunks(2, 1, 10)).await;
        lab.refused(what, storage.save_state_and_snapshot(update, staged).await, Invalid);
    }
    lab.shows(&storage, &model, "after the refusals").await;
}

/// Snapshots go forward.
pub async fn line_06_a_snapshot_older_than_the_published_one_is_invalid(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(2, 1, 10))).await;
    lab.publish(&storage, &mut model, keep(), meta(2, 6), &chunks(1, 1, 10)).await;
    let staged = lab.stage(&storage, meta(2, 5), &chunks(2, 1, 10)).await;
    lab.refused("one entry older", storage.save_state_and_snapshot(keep(), staged).await, Invalid);
    let staged = lab.stage(&storage, meta(2, 5), &chunks(2, 1, 10)).await;
    lab.refused("older, with a reset", storage.save_state_and_snapshot(reset(2, 5), staged).await, Invalid);
    let staged = lab.stage(&storage, meta(1, 20), &chunks(2, 1, 10)).await;
    lab.refused("of an older term", storage.save_state_and_snapshot(reset(1, 20), staged).await, Invalid);
    let staged = lab.stage(&storage, meta(3, 6), &chunks(2, 1, 10)).await;
    lab.refused(
        "of another term at the same index",
        storage.save_state_and_snapshot(reset(3, 6), staged).await,
        Invalid,
    );
    lab.shows(&storage, &model, "after the refusals").await;
    lab.publish(&storage, &mut model, keep(), meta(2, 6), &chunks(3, 1, 10)).await;
    lab.shows(&storage, &model, "the same entry again").await;
}
