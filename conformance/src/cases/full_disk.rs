//! Line 14: a full disk is `Full`, harms nothing, and is told beforehand.

use std::time::Duration;

use bytes::Bytes;
use eraft_core::{
    Entry, EntryKind,
    StorageErrorKind::{Full, Poisoned},
    Term,
};

use crate::{Handle, Lab, Model, make::*};

/// A disk that takes more than this after it was filled was not filled.
const MAX_FILL_BYTES: u64 = 64 * 1024 * 1024;

/// Room that is not told after this is never told.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

/// So many entries of 100 kB are more than a backend keeps back for itself, or gives back only with what follows.
const COMPACTED: u64 = 120;

/// What is merged or moved after an opening is by then.
const SETTLES_WITHIN: Duration = Duration::from_millis(500);

/// What is left of a room that is used up: an entry takes more than its payload.
const NO_ROOM_BYTES: u64 = 64;

/// The save that does not fit fails whole; what was acknowledged before is there, on the full disk as on the freed one.
pub async fn line_14_a_full_disk_is_full_and_harms_nothing(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    lab.env().fill_disk().await;
    fill(lab, &storage, &mut model, 3000).await;
    let storage = lab.reopen_after_failure().await;
    lab.shows(&storage, &model, "opened again on the full disk").await;
    lab.close().await;
    lab.env().free_disk().await;
    let storage = lab.open().await;
    lab.shows(&storage, &model, "opened on the freed disk").await;
    let last = model.state.outline.last_index().0;
    lab.save(&storage, &mut model, append(entries(2, last + 1, last + 100))).await;
    lab.shows(&storage, &model, "after more saves").await;
}

/// Appends until the disk is full. The model holds what was acknowledged.
async fn fill(lab: &Lab, storage: &Handle, model: &mut Model, size_bytes: usize) {
    let mut taken = 0;
    loop {
        let index = model.state.outline.last_index().0 + 1;
        let update = append(vec![bulky(1, index, size_bytes)]);
        match storage.save_raft_state(update.clone()).await {
            Ok(()) => model.apply(&update, None).unwrap(),
            Err(error) => return lab.refused::<()>("the save that does not fit", Err(error), Full),
        }
        taken += size_bytes as u64;
        lab.holds("the disk is full at some point", taken < MAX_FILL_BYTES, || format!("it took {taken} bytes"));
    }
}

/// One large save, larger than whatever is left: all of it or nothing.
pub async fn line_14_a_save_that_does_not_fit_fails_whole(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    lab.env().fill_disk().await;
    let large = append((3..=6).map(|index| bulky(2, index, MAX_PAYLOAD_BYTES)).collect());
    lab.refused("four megabytes in place of two entries", storage.save_raft_state(large).await, Full);
    lab.refused("a save after it", storage.save_raft_state(set(voted(2, 0))).await, Poisoned);
    let storage = lab.reopen_after_failure().await;
    lab.shows(&storage, &model, "opened again on the full disk").await;
}

/// `room_bytes` is a promise: entries of that size are still taken.
pub async fn line_14_room_is_told_beforehand(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.env().fill_disk().await;
    // A store may look at its disk only when it saves.
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    let at_first = storage.room_bytes();
    lab.holds("the room is bounded", at_first < MAX_FILL_BYTES, || format!("{at_first} bytes on a full disk"));
    for _ in 0..200 {
        let room = storage.room_bytes();
        let Some(payload_bytes) = room.checked_sub(NO_ROOM_BYTES) else { break };
        let payload_bytes = lab.random.u64(..=payload_bytes.min(20_000)) as usize;
        let index = model.state.outline.last_index().0 + 1;
        // Queued saves count at once, before they are durable.
        let receipt = lab.submit(&storage, &mut model, append(vec![bulky(1, index, payload_bytes)]));
        let left = storage.room_bytes();
        lab.holds("a queued save takes room", left < room, || format!("{left} of {room} bytes after one was queued"));
        let saved = receipt.await;
        lab.holds("what fits the room is taken", saved.is_ok(), || {
            format!("{payload_bytes} of {room} bytes: {saved:?}")
        });
    }
    lab.shows(&storage, &model, "when the room is used up").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// A bounded store counts down; an unbounded one says so.
pub async fn line_14_room_sinks_with_every_save_or_is_unbounded(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let before = storage.room_bytes();
    lab.save(&storage, &mut model, append(vec![bulky(1, 1, 100_000)])).await;
    let after = storage.room_bytes();
    let honest = after <= before.saturating_sub(100_000) || (before, after) == (u64::MAX, u64::MAX);
    lab.holds("the room after a large save", honest, || format!("{before} bytes before, {after} after"));
}

/// A full store is given nothing to save: if it looked at its disk with saves alone, it would stay full.
pub async fn line_14_room_that_others_give_back_is_told_without_a_save(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    lab.env().fill_disk().await;
    // A store may give away what it held for itself, and count that as room; it is used up as well.
    lab.save(&storage, &mut model, set(voted(2, 0))).await;
    use_up(lab, &storage, &mut model).await;
    lab.env().free_disk().await;
    takes_entries_again(lab, &storage, &mut model, "on the freed disk").await;
}

/// What is compacted gives its room back: a node on a full disk that took a snapshot before goes on by itself.
pub async fn line_14_a_full_disk_takes_entries_again_once_the_log_is_compacted(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for index in 1..=COMPACTED {
        lab.save(&storage, &mut model, append(vec![bulky(1, index, 100_000)])).await;
    }
    // What a backend still does with that in the background is another promise than this one's. And a handle of before may
    // keep files open.
    drop(storage);
    let storage = lab.reopen().await;
    tokio::time::sleep(SETTLES_WITHIN).await;
    let snapshot = chunks(1, 1, 10);
    let staged = lab.stage(&storage, meta(1, COMPACTED), &snapshot).await;
    lab.env().fill_disk().await;
    lab.save(&storage, &mut model, set(voted(2, 0))).await;
    use_up(lab, &storage, &mut model).await;
    model.apply(&keep(), Some(&crate::Content::new(meta(1, COMPACTED), &snapshot))).unwrap();
    let published = storage.save_state_and_snapshot(keep(), staged).await;
    lab.holds("publishing at zero room", published.is_ok(), || format!("{published:?}"));
    lab.save(&storage, &mut model, compact(1, COMPACTED)).await;
    takes_entries_again(lab, &storage, &mut model, "once the log is compacted").await;
}

/// That room is told, without a save, and holds.
async fn takes_entries_again(lab: &Lab, storage: &Handle, model: &mut Model, when: &str) {
    let told = async {
        while storage.room_bytes() < NO_ROOM_BYTES {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let told = tokio::time::timeout(TOLD_WITHIN, told).await;
    lab.holds(&format!("the room {when}"), told.is_ok(), || format!("none after {} s", TOLD_WITHIN.as_secs()));
    let payload_bytes = storage.room_bytes().saturating_sub(NO_ROOM_BYTES).min(100_000) as usize;
    let index = model.state.outline.last_index().0 + 1;
    lab.save(storage, model, append(vec![bulky(1, index, payload_bytes)])).await;
    lab.shows(storage, model, when).await;
}

/// Appends until next to no room is told any more.
async fn use_up(lab: &Lab, storage: &Handle, model: &mut Model) {
    while storage.room_bytes() >= NO_ROOM_BYTES {
        let payload_bytes = storage.room_bytes().saturating_sub(NO_ROOM_BYTES).min(100_000) as usize;
        let index = model.state.outline.last_index().0 + 1;
        lab.save(storage, model, append(vec![bulky(1, index, payload_bytes)])).await;
    }
}

/// A node on a full disk can still vote, lead (which begins with a no-op), and free room: it compacts.
pub async fn line_14_at_zero_room_the_reserve_saves_votes_and_compactions(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    let snapshot = chunks(1, 1, 10);
    let staged = lab.stage(&storage, meta(1, 4), &snapshot).await;
    lab.env().fill_disk().await;
    use_up(lab, &storage, &mut model).await;
    lab.save(&storage, &mut model, set(voted(2, 3))).await;
    let index = model.state.outline.last_index().next();
    let noop = Entry { index, term: Term(2), kind: EntryKind::Noop, payload: Bytes::new() };
    lab.save(&storage, &mut model, append(vec![noop])).await;
    model.apply(&keep(), Some(&crate::Content::new(meta(1, 4), &snapshot))).unwrap();
    let published = storage.save_state_and_snapshot(keep(), staged).await;
    lab.holds("publishing at zero room", published.is_ok(), || format!("{published:?}"));
    lab.save(&storage, &mut model, compact(1, 4)).await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "opened again on the full disk").await;
}
