//! Line 10: what `read_entries` returns, and what it never mixes.

use eraft_core::{Entry, LogIndex, StorageErrorKind};

use crate::{Handle, Lab, Model, make::*};

fn size_bytes(entries: &[Entry]) -> u64 {
    entries.iter().map(Entry::size_bytes).sum()
}

/// A reader always makes progress, and otherwise stays within its bound, exactly.
pub async fn line_10_a_read_stays_within_its_bytes_but_returns_one_entry(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let sizes = [0, 100, 5000, 1, 0, 70_000, 33];
    let log: Vec<_> = (1..).zip(sizes).map(|(index, size_bytes)| bulky(1, index, size_bytes)).collect();
    lab.save(&storage, &mut model, append(log.clone())).await;
    for start in 0..log.len() {
        let mut bounds = vec![0, 1, u64::MAX];
        // Just enough for each prefix, and one byte less.
        bounds.extend((start..log.len()).flat_map(|end| {
            let enough = size_bytes(&log[start..=end]);
            [enough - 1, enough]
        }));
        for max_bytes in bounds {
            let fitting = (start + 1..=log.len()).take_while(|end| size_bytes(&log[start..*end]) <= max_bytes).last();
            let expected = &log[start..fitting.unwrap_or(start + 1)];
            let range = LogIndex(start as u64 + 1)..LogIndex(8);
            let found = storage.read_entries(range, max_bytes).await.unwrap();
            lab.equal(&format!("entries from {} within {max_bytes} bytes", start + 1), found.as_slice(), expected);
        }
    }
}

/// Half-open, clipped at the end, empty where it is empty.
pub async fn line_10_a_range_is_half_open_and_clipped(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    let ranges = [(1, 11), (1, 2), (10, 11), (3, 7), (1, u64::MAX), (9, 500), (5, 5), (7, 3), (11, 12), (11, 5)];
    for (start, end) in ranges.into_iter().chain([(u64::MAX, u64::MAX), (u64::MAX - 1, u64::MAX)]) {
        let found = storage.read_entries(LogIndex(start)..LogIndex(end), u64::MAX).await.unwrap();
        let expected: Vec<_> = model.entries.iter().filter(|e| (start..end).contains(&e.index.0)).cloned().collect();
        lab.equal(&format!("entries {start}..{end} of 1..11"), found, expected);
    }
}

/// A log longer than any buffer, read from anywhere.
pub async fn line_10_a_long_log_is_read_from_anywhere(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for first in (1..=600).step_by(20) {
        let some: Vec<_> = (first..first + 20).map(|index| bulky(1, index, 400)).collect();
        lab.save(&storage, &mut model, append(some)).await;
    }
    read_anywhere(lab, &storage, &model).await;
    let storage = lab.reopen().await;
    read_anywhere(lab, &storage, &model).await;
}

async fn read_anywhere(lab: &mut Lab, storage: &Handle, model: &Model) {
    for _ in 0..60 {
        let start = lab.random.u64(1..=600);
        let end = lab.random.u64(start..=600) + 1;
        let max_bytes = lab.random.u64(..40_000);
        let found = storage.read_entries(LogIndex(start)..LogIndex(end), max_bytes).await.unwrap();
        let rest = &model.entries[start as usize - 1..end as usize - 1];
        let fitting = (1..=rest.len()).take_while(|count| size_bytes(&rest[..*count]) <= max_bytes).last();
        let what = format!("entries {start}..{end} within {max_bytes} bytes");
        lab.equal(&what, found.as_slice(), &rest[..fitting.unwrap_or(1)]);
    }
}

/// What has been acknowledged is seen by whoever asks then, on whatever task.
pub async fn line_10_a_read_sees_every_resolved_save(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for index in 1..=60 {
        lab.save(&storage, &mut model, append(vec![bulky(1, index, 200)])).await;
        let reader = storage.clone();
        let elsewhere = tokio::spawn(async move {
            let last = reader.read_raft_state().await.unwrap().outline.last_index();
            (last, reader.read_entries(LogIndex(index)..LogIndex(index + 1), u64::MAX).await.unwrap())
        });
        let (last, found) = elsewhere.await.unwrap();
        lab.equal("the last index", last, LogIndex(index));
        lab.equal("the newest entry", found, vec![bulky(1, index, 200)]);
    }
}

/// The right bytes, or `Compacted`; never others, never a hole.
pub async fn line_10_a_read_that_races_a_compaction_is_right_or_compacted(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let log: Vec<_> = (1..=300).map(|index| bulky(1, index, 300)).collect();
    for some in log.chunks(25) {
        lab.save(&storage, &mut model, append(some.to_vec())).await;
    }
    let readers: Vec<_> =
        (0..2).map(|nth| tokio::spawn(read_until_compacted(storage.clone(), log.clone(), nth))).collect();
    for index in (10..=300).step_by(10) {
        lab.publish(&storage, &mut model, compact(1, index), meta(1, index), &chunks(index, 1, 20)).await;
        tokio::task::yield_now().await;
    }
    for reader in readers {
        let compacted = reader.await.unwrap();
        lab.holds("a reader came too late at the end", compacted > 0, || "it never did".into());
    }
    lab.shows(&storage, &model, "after all compactions").await;
}

/// Reads at random until the log is empty: how often it was told `Compacted`.
async fn read_until_compacted(storage: Handle, log: Vec<Entry>, seed: u64) -> u64 {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut compacted = 0;
    loop {
        let start = random.u64(1..=300);
        match storage.read_entries(LogIndex(start)..LogIndex(301), random.u64(..30_000)).await {
            Ok(found) => {
                assert!(!found.is_empty(), "no entry from {start} on, and not compacted");
                assert!(found.as_slice() == &log[start as usize - 1..][..found.len()], "wrong entries from {start} on");
            }
            Err(error) => {
                assert_eq!(error.kind(), StorageErrorKind::Compacted, "{error}");
                compacted += 1;
                if storage.read_raft_state().await.unwrap().outline.base().index == LogIndex(300) {
                    return compacted;
                }
            }
        }
        tokio::task::yield_now().await;
    }
}

/// A read while a suffix is replaced shows the log before or after, not some of each.
pub async fn line_10_a_read_is_one_cut_at_a_save_boundary(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 30))).await;
    let reader = tokio::spawn(read_cuts(storage.clone(), 40));
    for term in 2..=40 {
        // The whole log is of one term at every boundary.
        lab.save(&storage, &mut model, append(entries(term, 1, 30))).await;
    }
    let cuts = reader.await.unwrap();
    lab.holds("cuts were read", cuts > 0, || "none".into());
    lab.shows(&storage, &model, "after forty logs").await;
}

async fn read_cuts(storage: Handle, last_term: u64) -> u64 {
    let mut cuts = 0;
    loop {
        let found = storage.read_entries(LogIndex(1)..LogIndex(31), u64::MAX).await.unwrap();
        assert_eq!(found.len(), 30, "every log has thirty entries");
        let term = found[0].term;
        assert!(found.iter().all(|entry| *entry == crate::make::entry(term.0, entry.index.0)), "two logs in one read");
        cuts += 1;
        if term.0 == last_term {
            return cuts;
        }
        tokio::task::yield_now().await;
    }
}
