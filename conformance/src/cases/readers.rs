//! Lines 7 and 8 for whoever reads a snapshot or gives one up: large ones in bounded pieces, many readers at once, and
//! late words about stages that are long published.

use bytes::Bytes;
use eraft_core::SnapshotMeta;
use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::{Content, Crash, Handle, Lab, make::*};

const MIB: usize = 1024 * 1024;
/// How large a snapshot is streamed in the suite, once.
const LARGE_MIB: usize = 64;
/// A reader must not hand out more than this at once: a sender holds several chunks for each peer.
const MAX_CHUNK_BYTES: usize = 4 * MIB;

/// The `nth` mebibyte of a large snapshot, made when it is needed and not kept.
fn mebibyte(nth: usize) -> Bytes {
    let word = (nth as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    word.repeat(MIB / 8).into()
}

/// Written chunk by chunk and read chunk by chunk; neither side ever holds it whole.
pub async fn line_08_a_large_snapshot_is_streamed_both_ways(lab: &mut Lab) {
    let mebibytes = if lab.again { 3 } else { LARGE_MIB };
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    let mut writer = storage.stage_snapshot(meta(1, 4)).await.unwrap();
    for nth in 0..mebibytes {
        writer.write(mebibyte(nth)).await.unwrap();
    }
    let staged = writer.finish().await.unwrap();
    lab.equal("the size staged", staged.size_bytes, (mebibytes * MIB) as u64);
    storage.save_state_and_snapshot(compact(1, 4), staged).await.unwrap();
    streams(lab, &storage, mebibytes, "when published").await;
    let storage = lab.reopen().await;
    streams(lab, &storage, mebibytes, "after opening again").await;
}

async fn streams(lab: &Lab, storage: &Handle, mebibytes: usize, when: &str) {
    lab.equal("the size published", storage.snapshot_size(), (mebibytes * MIB) as u64);
    let mut reader = storage.read_snapshot().await.unwrap().expect("the published snapshot");
    let (mut offset, mut largest) = (0, 0);
    while let Some(chunk) = reader.chunks.next().await {
        let chunk = chunk.unwrap();
        largest = largest.max(chunk.len());
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let (nth, within) = (offset / MIB, offset % MIB);
            let (now, later) = rest.split_at(rest.len().min(MIB - within));
            let right = nth < mebibytes && mebibyte(nth)[within..].starts_with(now);
            lab.holds(when, right, || format!("other bytes than were staged at offset {offset}"));
            (offset, rest) = (offset + now.len(), later);
        }
    }
    lab.equal(&format!("bytes read {when}"), offset, mebibytes * MIB);
    lab.holds(when, largest <= MAX_CHUNK_BYTES, || {
        format!(
            "a chunk of {largest} bytes: a reader gives at most {MAX_CHUNK_BYTES} at once, so that memory is bounded"
        )
    });
}

/// Each peer that lags has a reader of its own, at its own pace.
pub async fn line_08_readers_do_not_disturb_each_other(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    let content = chunks(1, 30, 10_000);
    lab.publish(&storage, &mut model, keep(), meta(1, 3), &content).await;
    let mut readers = Vec::new();
    for _ in 0..5 {
        readers.push((storage.read_snapshot().await.unwrap().unwrap(), Vec::new(), false));
    }
    while readers.iter().any(|(_, _, done)| !done) {
        let nth = lab.random.usize(..readers.len());
        let (reader, read, done) = &mut readers[nth];
        match reader.chunks.next().await {
            Some(chunk) => read.extend_from_slice(&chunk.unwrap()),
            None => *done = true,
        }
    }
    for (nth, (_, read, _)) in readers.iter().enumerate() {
        lab.holds(&format!("reader {nth}"), *read == content.concat(), || format!("{} bytes, not those", read.len()));
    }
}

/// A peer that goes away in the middle leaves nothing that stands in the way of the next snapshot.
pub async fn line_08_a_reader_given_up_half_way_stands_in_nobodys_way(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    for index in 1..=6 {
        let content = chunks(index, 10, 20_000);
        lab.publish(&storage, &mut model, compact(1, index), meta(1, index), &content).await;
        let mut reader = storage.read_snapshot().await.unwrap().unwrap();
        let first = reader.chunks.next().await.unwrap().unwrap();
        lab.holds("its first chunk", content.concat().starts_with(&first), || "other bytes".to_owned());
        drop(reader);
        lab.shows(&storage, &model, &format!("the snapshot at {index}")).await;
    }
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// Whoever gives a stage up may come too late: what is published stays.
pub async fn line_07_discarding_what_is_published_takes_nothing_away(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    let content = chunks(1, 3, 5000);
    let staged = lab.stage(&storage, meta(1, 5), &content).await;
    model.apply(&compact(1, 5), Some(&Content::new(meta(1, 5), &content))).unwrap();
    storage.save_state_and_snapshot(compact(1, 5), staged.clone()).await.unwrap();
    // Whether it is told so or not.
    let _told_or_not = storage.discard_snapshot(staged).await;
    lab.shows(&storage, &model, "after discarding it").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// A stage is found by what the backend called it, not by what it stands for.
pub async fn line_07_discarding_one_of_two_equal_stages_leaves_the_other(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    let content = chunks(1, 3, 5000);
    let wanted = lab.stage(&storage, meta(1, 5), &content).await;
    let unwanted = lab.stage(&storage, meta(1, 5), &content).await;
    lab.holds("their ids", wanted.id != unwanted.id, || format!("both are {}", wanted.id));
    storage.discard_snapshot(unwanted).await.unwrap();
    model.apply(&keep(), Some(&Content::new(meta(1, 5), &content))).unwrap();
    storage.save_state_and_snapshot(keep(), wanted).await.unwrap();
    lab.shows(&storage, &model, "the one that was kept").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// A stage that was being written when the process died is nothing: not to readers, not to the next stage.
pub async fn line_07_a_stage_that_a_crash_interrupted_leaves_nothing(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 20))).await;
    for index in 5..=8 {
        let mut half = storage.stage_snapshot(meta(1, index)).await.unwrap();
        half.write(chunks(index, 1, 30_000).remove(0)).await.unwrap();
        let finished = lab.stage(&storage, meta(1, index), &chunks(index, 2, 3000)).await;
        storage = lab.crash(Crash::Kill).await;
        drop(half);
        lab.shows(&storage, &model, &format!("after a kill within the stage at {index}")).await;
        let outcome = storage.save_state_and_snapshot(keep(), finished).await;
        lab.refused("publishing a stage of a dead process", outcome, eraft_core::StorageErrorKind::Invalid);
        lab.publish(&storage, &mut model, keep(), meta(1, index), &chunks(index + 10, 2, 3000)).await;
        lab.shows(&storage, &model, &format!("after staging anew at {index}")).await;
    }
}

/// What a reader says its snapshot stands for is what its bytes are, while newer ones are published all the time.
pub async fn line_08_meta_and_bytes_of_a_reader_belong_together(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 40))).await;
    let content_at = |index: u64| chunks(index, 3, 700);
    lab.publish(&storage, &mut model, keep(), meta(1, 1), &content_at(1)).await;
    let reader = {
        let storage = storage.clone();
        tokio::spawn(async move {
            loop {
                let reader = storage.read_snapshot().await.unwrap().unwrap();
                let SnapshotMeta { last, .. } = reader.meta;
                let bytes = reader.chunks.try_collect::<Vec<Bytes>>().await.unwrap().concat();
                assert!(bytes == content_at(last.index.0).concat(), "the bytes of another than {last}");
                if last.index.0 == 40 {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
    };
    for index in 2..=40 {
        lab.publish(&storage, &mut model, keep(), meta(1, index), &content_at(index)).await;
        tokio::task::yield_now().await;
    }
    let right = reader.await;
    lab.holds("every snapshot read", right.is_ok(), || format!("{right:?}"));
}
