//! Lines 7 and 8: staged snapshots stay invisible, published ones switch with the state, readers outlive them.

use bytes::Bytes;
use eraft_core::{StagedSnapshot, StorageErrorKind::Invalid};
use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::{Content, Lab, Model, make::*};

/// Finished is not published.
pub async fn line_07_a_staged_snapshot_is_invisible_until_saved(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    let mut writer = storage.stage_snapshot(meta(1, 5)).await.unwrap();
    writer.write(Bytes::from_static(b"half of it")).await.unwrap();
    lab.shows(&storage, &model, "while it is written").await;
    let staged = writer.finish().await.unwrap();
    lab.equal("its size", staged.size_bytes, 10);
    lab.equal("its meta", staged.meta.clone(), meta(1, 5));
    lab.shows(&storage, &model, "when it is finished").await;
    lab.equal("the size of what is published", storage.snapshot_size(), 0);
    model.apply(&keep(), Some(&Content::new(meta(1, 5), &[Bytes::from_static(b"half of it")]))).unwrap();
    storage.save_state_and_snapshot(keep(), staged).await.unwrap();
    lab.shows(&storage, &model, "when it is saved").await;
}

/// A discarded one cannot be published any more, and the store goes on.
pub async fn line_07_a_discarded_snapshot_is_gone(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    let unwanted = lab.stage(&storage, meta(1, 5), &chunks(1, 2, 1000)).await;
    let wanted = lab.stage(&storage, meta(1, 5), &chunks(2, 2, 1000)).await;
    storage.discard_snapshot(unwanted.clone()).await.unwrap();
    lab.refused("publishing it", storage.save_state_and_snapshot(keep(), unwanted).await, Invalid);
    model.apply(&keep(), Some(&Content::new(meta(1, 5), &chunks(2, 2, 1000)))).unwrap();
    storage.save_state_and_snapshot(keep(), wanted).await.unwrap();
    lab.shows(&storage, &model, "after publishing the other one").await;
}

/// Nobody remembers a stage across an opening, so the store must not either.
pub async fn line_07_a_staged_snapshot_is_gone_at_the_next_open(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    let staged = lab.stage(&storage, meta(1, 5), &chunks(1, 2, 1000)).await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
    lab.refused("publishing it", storage.save_state_and_snapshot(keep(), staged).await, Invalid);
    lab.publish(&storage, &mut model, keep(), meta(1, 5), &chunks(2, 1, 1000)).await;
    lab.shows(&storage, &model, "after staging anew").await;
}

/// Whoever still holds a stage of an earlier opening must not publish, or remove, one of this: not even where both stand
/// for the same entry, have the same length, and were the same in number.
pub async fn line_07_a_stage_of_an_earlier_opening_never_names_a_newer_one(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    let mut earlier = Vec::new();
    for opening in 0..3 {
        let contents = [0, 1, 2, 3].map(|nth| chunks(10 * opening + nth, 2, 1000));
        let mut staged = Vec::new();
        for content in &contents {
            staged.push(lab.stage(&storage, meta(1, 5), content).await);
        }
        for old in &earlier {
            let published = storage.save_state_and_snapshot(keep(), StagedSnapshot::clone(old)).await;
            lab.refused("publishing a stage of an earlier opening", published, Invalid);
            // Nothing to a store that holds none; only what is staged now must not go.
            let _refused_or_not = storage.discard_snapshot(old.clone()).await;
        }
        // One is published, one is discarded, and some are left: none of them gives its name back to a later opening.
        earlier.extend(staged.iter().cloned());
        let [first, second, ..] = <[StagedSnapshot; 4]>::try_from(staged).expect("four were staged");
        storage.discard_snapshot(first).await.unwrap();
        model.apply(&keep(), Some(&Content::new(meta(1, 5), &contents[1]))).unwrap();
        storage.save_state_and_snapshot(keep(), second).await.unwrap();
        lab.shows(&storage, &model, &format!("after publishing one, opening {opening}")).await;
        storage = lab.reopen().await;
        lab.shows(&storage, &model, &format!("after opening {opening}")).await;
    }
    // And where an opening staged nothing: what the first ones counted is forgotten by then.
    storage = lab.reopen().await;
    let newest = lab.stage(&storage, meta(1, 5), &chunks(99, 2, 1000)).await;
    for old in earlier {
        lab.refused("publishing one of long ago", storage.save_state_and_snapshot(keep(), old).await, Invalid);
    }
    model.apply(&keep(), Some(&Content::new(meta(1, 5), &chunks(99, 2, 1000)))).unwrap();
    storage.save_state_and_snapshot(keep(), newest).await.unwrap();
    lab.shows(&storage, &model, "after publishing the newest").await;
}

/// A receiver that gives up leaves nothing.
pub async fn line_07_an_aborted_or_dropped_stage_leaves_nothing(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    for nth in 0..10 {
        let mut writer = storage.stage_snapshot(meta(1, 5)).await.unwrap();
        writer.write(chunks(nth, 1, 5000).remove(0)).await.unwrap();
        if nth % 2 == 0 {
            writer.abort().await.unwrap();
        }
    }
    lab.shows(&storage, &model, "after ten that were given up").await;
    lab.publish(&storage, &mut model, keep(), meta(1, 5), &chunks(99, 2, 500)).await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after one that was published").await;
}

/// Stages do not know of each other.
pub async fn line_07_several_stages_at_once_keep_apart(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    let mut writers = Vec::new();
    for index in [4, 4, 6] {
        writers.push(storage.stage_snapshot(meta(1, index)).await.unwrap());
    }
    let contents = [chunks(1, 4, 700), chunks(2, 4, 700), chunks(3, 4, 700)];
    for nth in 0..4 {
        for (writer, chunks) in writers.iter_mut().zip(&contents) {
            writer.write(chunks[nth].clone()).await.unwrap();
        }
    }
    let mut staged = Vec::new();
    for writer in writers {
        staged.push(writer.finish().await.unwrap());
    }
    for (staged, chunks) in staged.into_iter().zip(&contents) {
        let content = Content::new(staged.meta.clone(), chunks);
        model.apply(&keep(), Some(&content)).unwrap();
        storage.save_state_and_snapshot(keep(), staged).await.unwrap();
        lab.shows(&storage, &model, "after publishing one of them").await;
    }
}

/// One stage is published once.
pub async fn line_07_a_snapshot_cannot_be_published_twice(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    let staged = lab.stage(&storage, meta(1, 5), &chunks(1, 1, 100)).await;
    model.apply(&keep(), Some(&Content::new(meta(1, 5), &chunks(1, 1, 100)))).unwrap();
    let first = storage.save_state_and_snapshot(keep(), staged.clone());
    let second = storage.save_state_and_snapshot(keep(), staged);
    lab.refused("publishing it again", second.await, Invalid);
    first.await.unwrap();
    lab.shows(&storage, &model, "after publishing it once").await;
}

/// Nothing, one byte, exactly a chunk, many chunks, chunks of nothing.
pub async fn line_08_snapshots_of_any_size_come_back_unchanged(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    let of_nothing = vec![Bytes::new(), Bytes::from_static(b"x"), Bytes::new()];
    let contents = [vec![], chunks(1, 1, 1), of_nothing, chunks(2, 1, MAX_PAYLOAD_BYTES), chunks(3, 50, 100_003)];
    for content in contents {
        lab.publish(&storage, &mut model, keep(), meta(1, 5), &content).await;
        let size_bytes: usize = content.iter().map(Bytes::len).sum();
        lab.equal("its size", storage.snapshot_size(), size_bytes as u64);
        lab.shows(&storage, &model, &format!("a snapshot of {size_bytes} bytes")).await;
    }
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
    lab.equal("its size after opening again", storage.snapshot_size(), 50 * 100_003);
}

/// Whoever reads sees the state before the save or the state after it, never some of each.
pub async fn line_08_state_and_snapshot_are_seen_to_switch_together(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 40))).await;
    let reader = {
        let storage = storage.clone();
        tokio::spawn(async move {
            let mut seen = 0u64;
            loop {
                let state = storage.read_raft_state().await.unwrap();
                let snapshot = state.snapshot.map_or(0, |meta| meta.last.index.0);
                let (commit, base) = (state.hard_state.commit.0, state.outline.base().index.0);
                assert_eq!((commit, base), (snapshot, snapshot), "commit and base against the snapshot");
                assert!(snapshot >= seen, "the snapshot went back from {seen} to {snapshot}");
                seen = snapshot;
                if snapshot == 40 {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
    };
    for index in 1..=40 {
        let mut update = compact(1, index);
        update.hard_state = Some(voted(1, index));
        lab.publish(&storage, &mut model, update, meta(1, index), &chunks(index, 1, 50)).await;
    }
    reader.await.unwrap();
    lab.shows(&storage, &model, "after forty snapshots").await;
}

/// A slow follower's snapshot is not taken from under its hands.
pub async fn line_08_an_open_reader_outlives_newer_snapshots(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    let old = chunks(1, 20, 20_000);
    lab.publish(&storage, &mut model, keep(), meta(1, 3), &old).await;
    let mut half_read = storage.read_snapshot().await.unwrap().unwrap();
    let unread = storage.read_snapshot().await.unwrap().unwrap();
    let mut begun = half_read.chunks.next().await.unwrap().unwrap().to_vec();
    for index in 4..=8 {
        lab.publish(&storage, &mut model, compact(1, index), meta(1, index), &chunks(index, 2, 500)).await;
    }
    for chunk in half_read.chunks.try_collect::<Vec<Bytes>>().await.unwrap() {
        begun.extend_from_slice(&chunk);
    }
    lab.holds("the one half read", begun == old.concat(), || format!("{} bytes, not those staged", begun.len()));
    lab.equal("its meta", half_read.meta, meta(1, 3));
    let unread = unread.chunks.try_collect::<Vec<Bytes>>().await.unwrap().concat();
    lab.holds("the one not yet read", unread == old.concat(), || format!("{} bytes, not those staged", unread.len()));
    lab.shows(&storage, &model, "the newest").await;
}

/// The snapshot a reader gets is the one that the state names.
pub async fn line_08_without_a_snapshot_there_is_none_to_read(lab: &mut Lab) {
    let storage = lab.fresh().await;
    lab.holds("on a blank store", storage.read_snapshot().await.unwrap().is_none(), || "found one".into());
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 3))).await;
    lab.shows(&storage, &model, "with a log").await;
    lab.publish(&storage, &mut model, keep(), meta(1, 2), &[]).await;
    let read = Model::read(&storage).await.unwrap();
    lab.equal("an empty one", read.snapshot, Some(Content::new(meta(1, 2), &[])));
}
