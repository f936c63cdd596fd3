//! Line 9: `Invalid` is found at submission and harms nothing; any other failed save poisons the engine.

use std::error::Error as _;

use eraft_core::{RaftStateUpdate, StorageError, StorageErrorKind, StorageErrorKind::Invalid};

use crate::{Crash, Lab, Model, make::*};

/// Nothing of it is written: not the hard state that came with it, not at the next open.
pub async fn line_09_an_invalid_save_changes_nothing(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    let update = RaftStateUpdate { hard_state: Some(voted(9, 5)), ..append(entries(1, 7, 7)) };
    lab.refused("a gap beside a hard state", storage.save_raft_state(update).await, Invalid);
    let staged = lab.stage(&storage, meta(1, 3), &chunks(1, 1, 10)).await;
    let update = RaftStateUpdate { hard_state: Some(voted(9, 5)), ..compact(1, 4) };
    let outcome = storage.save_state_and_snapshot(update, staged).await;
    lab.refused("a compaction beyond the snapshot it publishes", outcome, Invalid);
    lab.shows(&storage, &model, "after the refusals").await;
    lab.save(&storage, &mut model, append(entries(1, 6, 6))).await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after a valid save and opening again").await;
}

/// What is queued counts: a save that continues a queued one is valid, one that contradicts it is not.
pub async fn line_09_validity_is_judged_against_what_is_queued(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let mut receipts = vec![lab.submit(&storage, &mut model, append(entries(1, 1, 50)))];
    receipts.push(lab.submit(&storage, &mut model, append(entries(2, 20, 20))));
    let gap = storage.save_raft_state(append(entries(2, 51, 51)));
    receipts.push(lab.submit(&storage, &mut model, append(entries(2, 21, 22))));
    let back = storage.save_raft_state(append(entries(1, 23, 23)));
    receipts.push(lab.submit(&storage, &mut model, append(entries(2, 23, 30))));
    lab.refused("after the end that the queue leaves", gap.await, Invalid);
    lab.refused("a term below the queue's last", back.await, Invalid);
    for receipt in receipts {
        receipt.await.unwrap();
    }
    lab.shows(&storage, &model, "after the valid ones").await;
}

/// However many come, whatever they are.
pub async fn line_09_invalid_saves_do_not_poison(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(2, 1, 5))).await;
    for _ in 0..50 {
        let last = model.state.outline.last_index().0;
        let gap = append(entries(2, last + 2, last + 3));
        let back = append(entries(1, last + 1, last + 1));
        let wrong = [gap, back, compact(2, 1), reset(2, 3), append(entries(2, 0, 0))];
        let nth = lab.random.usize(..wrong.len());
        lab.refused("a wrong save", storage.save_raft_state(wrong[nth].clone()).await, Invalid);
        lab.save(&storage, &mut model, append(entries(2, last + 1, last + 1))).await;
    }
    lab.shows(&storage, &model, "after fifty of each").await;
}

/// A sync that failed is never asked again: the pages it was about count as clean.
pub async fn line_09_a_failed_sync_poisons_the_engine(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    lab.env().fail_next_sync().await;
    let failed = storage.save_raft_state(append(entries(1, 6, 6))).await;
    poisoned_by(lab, &storage, failed).await;
}

/// A write that failed likewise.
pub async fn line_09_a_failed_write_poisons_the_engine(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    lab.env().fail_next_write().await;
    let failed = storage.save_raft_state(append(entries(1, 6, 6))).await;
    poisoned_by(lab, &storage, failed).await;
}

/// The first save failed, and every later one is `Poisoned` and names that failure.
async fn poisoned_by(lab: &Lab, storage: &crate::Handle, failed: eraft_core::Result<()>) {
    let Err(first) = failed else { return lab.fails("the save under which the disk failed", failed) };
    lab.holds("the failure is no mistake of the caller's", first.kind() != Invalid, || first.to_string());
    for update in [append(entries(1, 6, 6)), set(voted(2, 0)), append(vec![])] {
        let later = storage.save_raft_state(update).await;
        lab.refused("a later save", later.clone(), StorageErrorKind::Poisoned);
        let told = later.unwrap_err();
        lab.holds("it names the first failure", names(&told, &first), || format!("{told}; the first was {first}"));
    }
}

/// In its text or as its source.
fn names(error: &StorageError, first: &StorageError) -> bool {
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    error.to_string().contains(first.detail()) || source.contains(first.detail())
}

/// Saves queued behind the one that fails do not slip through.
pub async fn line_09_everything_queued_behind_a_failure_fails(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    lab.env().fail_next_sync().await;
    let receipts: Vec<_> = (6..=40).map(|index| storage.save_raft_state(append(vec![bulky(1, index, 3000)]))).collect();
    let mut failed = None;
    for (nth, receipt) in receipts.into_iter().enumerate() {
        let outcome = receipt.await;
        match failed {
            None if outcome.is_err() => failed = Some(nth),
            None => {}
            Some(first) => lab.fails(&format!("save {nth}, after save {first} failed"), outcome),
        }
    }
    lab.holds("one of them met the failed sync", failed.is_some(), || "all succeeded".into());
}

/// The poison lasts until the store is opened again, which holds all that was acknowledged and works.
pub async fn line_09_opening_again_after_a_failed_sync_loses_nothing(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    for round in 1..=4 {
        let mut history = vec![model.clone()];
        lab.env().fail_next_sync().await;
        let last = model.state.outline.last_index().0;
        let failed = lab.submit(&storage, &mut model, append(vec![bulky(round, last + 1, 9000)])).await;
        lab.fails("the save under which the sync failed", failed);
        history.push(model.clone());
        storage = lab.crash(Crash::Kill).await;
        let kept = lab.shows_one_of(&storage, &history, 0, &format!("after failed sync {round} and a kill")).await;
        model = history.swap_remove(kept);
        let last = model.state.outline.last_index().0;
        lab.save(&storage, &mut model, append(entries(round, last + 1, last + 3))).await;
        lab.shows(&storage, &model, "after a save in the opened store").await;
    }
}

/// One log and one sync serve all groups, so one failure ends all of them.
pub async fn line_09_the_poison_reaches_every_group(lab: &mut Lab) {
    let first = lab.fresh().await;
    let second = lab.group(7).await;
    let mut models: Vec<Model> = vec![lab.blank_model(), lab.blank_model()];
    lab.save(&first, &mut models[0], append(entries(1, 1, 5))).await;
    lab.save(&second, &mut models[1], append(entries(1, 1, 3))).await;
    lab.env().fail_next_sync().await;
    lab.fails("the save under which the sync failed", second.save_raft_state(append(entries(1, 4, 4))).await);
    let other = first.save_raft_state(append(entries(1, 6, 6))).await;
    lab.refused("a save of the other group", other, StorageErrorKind::Poisoned);
}
