//! Line 13: one opener at a time, one handle per group; `close` completes what is queued.

use eraft_core::{ClusterId, Expected, GroupId, LogIndex, StorageErrorKind};

use crate::{CLUSTER, Crash, Handle, Lab, Model, NODE, make::*};

/// Refused before anything is read: also one who would be refused for another reason.
pub async fn line_13_a_second_opener_is_locked_out(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    for expected in [Expected::exactly(CLUSTER, NODE), Expected::any(), Expected::exactly(ClusterId(1), NODE)] {
        let opened = lab.env().open(expected).await;
        lab.refused(&format!("a second opener, {expected:?}"), opened.map(drop), StorageErrorKind::Locked);
    }
    lab.save(&storage, &mut model, append(entries(1, 6, 6))).await;
    lab.shows(&storage, &model, "the first opener, afterwards").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after the first has closed").await;
}

/// One handle per group at a time: two would each believe to know what is queued.
pub async fn line_13_a_second_handle_of_a_group_is_locked_out(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    let second = lab.engine().group(GroupId::ZERO).await;
    lab.refused("a second handle", second.map(drop), StorageErrorKind::Locked);
    storage.close().await.unwrap();
    let again = lab.group(0).await;
    lab.shows(&again, &model, "a handle after the first was closed").await;
    drop((storage, again));
    let dropped = lab.engine().group(GroupId::ZERO).await;
    lab.holds("a handle after one was dropped", dropped.is_ok(), || format!("{:?}", dropped.as_ref().err()));
}

/// Nothing queued is lost by closing.
pub async fn line_13_closing_completes_what_is_queued(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for round in 1..=4 {
        let last = model.state.outline.last_index().0;
        let receipts: Vec<_> = (last + 1..=last + 50)
            .map(|index| lab.submit(&storage, &mut model, append(vec![bulky(round, index, 2000)])))
            .collect();
        if round % 2 == 0 {
            storage.close().await.unwrap();
        } else {
            lab.close().await;
        }
        for receipt in receipts {
            receipt.await.unwrap();
        }
        if round % 2 == 0 {
            lab.close().await;
        }
        storage = lab.open().await;
        lab.shows(&storage, &model, &format!("after closing with 50 saves under way, round {round}")).await;
    }
}

/// A handle that was closed is no way in.
pub async fn line_13_a_closed_handle_is_refused(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    let staged = lab.stage(&storage, meta(1, 3), &chunks(1, 1, 10)).await;
    storage.close().await.unwrap();
    lab.fails("a save", storage.save_raft_state(append(entries(1, 6, 6))).await);
    lab.fails("publishing", storage.save_state_and_snapshot(keep(), staged).await);
    lab.fails("staging", storage.stage_snapshot(meta(1, 4)).await.map(drop));
    lab.fails("reading the state", storage.read_raft_state().await);
    lab.fails("reading entries", storage.read_entries(LogIndex(1)..LogIndex(6), u64::MAX).await);
    let again = lab.group(0).await;
    lab.shows(&again, &model, "another handle").await;
}

/// A dead process holds no lock.
pub async fn line_13_a_kill_frees_the_lock(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for term in 1..=3 {
        lab.save(&storage, &mut model, set(voted(term, 0))).await;
        storage = lab.crash(Crash::Kill).await;
        lab.shows(&storage, &model, &format!("after kill {term}")).await;
    }
}

/// How often another opener tries: a lock that is given up soon after a failure must be caught.
const TRIES: usize = 10;

/// A store that has failed is not free: its handles may still read it, and whoever opened it would change it under them.
pub async fn line_13_a_poisoned_engine_keeps_its_lock_until_it_is_closed(lab: &mut Lab) {
    let (storage, model) = poisoned(lab).await;
    lab.close_failed().await;
    drop(storage);
    let storage = unlocked(lab).await;
    lab.shows(&storage, &model, "after closing it").await;
}

/// The same where nobody closes: it goes with the last of what has it open.
pub async fn line_13_a_poisoned_engine_keeps_its_lock_until_it_is_dropped(lab: &mut Lab) {
    let (storage, model) = poisoned(lab).await;
    drop(storage);
    lab.drop_engine();
    let storage = unlocked(lab).await;
    lab.shows(&storage, &model, "after dropping it").await;
}

/// Opens a store whose lock is free. An `Env` may have planned the failure for each kind of sync that there is: openings
/// meet those that are left.
async fn unlocked(lab: &mut Lab) -> Handle {
    for _ in 0..TRIES {
        match lab.try_open().await {
            Ok(storage) => return storage,
            Err(error) => lab.holds("the lock", error.kind() != StorageErrorKind::Locked, || error.to_string()),
        }
    }
    lab.open().await
}

/// A store whose last sync has failed, and which nobody else can open. What it would have saved changes nothing, so that
/// it may be there or not.
async fn poisoned(lab: &mut Lab) -> (Handle, Model) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    lab.save(&storage, &mut model, set(voted(2, 3))).await;
    lab.env().fail_next_sync().await;
    lab.fails("the save whose sync fails", storage.save_raft_state(set(voted(2, 3))).await);
    lab.refused("a save after it", storage.save_raft_state(set(voted(2, 3))).await, StorageErrorKind::Poisoned);
    for nth in 1..=TRIES {
        let opened = lab.env().open(Expected::exactly(CLUSTER, NODE)).await;
        lab.refused(&format!("a second opener, try {nth}"), opened.map(drop), StorageErrorKind::Locked);
    }
    (storage, model)
}

/// An engine that is dropped without a word frees its lock, too.
pub async fn line_13_dropping_everything_frees_the_lock(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    drop(storage);
    lab.drop_engine();
    let storage = lab.open().await;
    lab.shows(&storage, &model, "the next opener").await;
}
