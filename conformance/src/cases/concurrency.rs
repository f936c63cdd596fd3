//! Many tasks on one handle at once: a node reads, stages and saves at the same time.

use eraft_core::LogIndex;

use crate::{Content, Lab, make::*};

/// Thousands of saves without waiting, while others read.
pub async fn concurrency_thousands_of_unawaited_saves_and_readers(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let reader = {
        let storage = storage.clone();
        tokio::spawn(async move {
            let mut seen = LogIndex(0);
            while seen < LogIndex(3000) {
                let last = storage.read_raft_state().await.unwrap().outline.last_index();
                assert!(last >= seen, "the log went back from {seen} to {last}");
                seen = last;
                if last > LogIndex(0) {
                    let found = storage.read_entries(last..last.next(), 0).await.unwrap();
                    assert_eq!(found, vec![entry(1, last.0)]);
                }
                tokio::task::yield_now().await;
            }
        })
    };
    let receipts: Vec<_> =
        (1..=3000).map(|index| lab.submit(&storage, &mut model, append(entries(1, index, index)))).collect();
    for receipt in receipts {
        receipt.await.unwrap();
    }
    reader.await.unwrap();
    lab.shows(&storage, &model, "after three thousand saves").await;
}

/// A long stage stands beside saves; neither waits for the other.
pub async fn concurrency_saves_go_on_while_a_snapshot_is_staged(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 1))).await;
    let content = chunks(1, 60, 5000);
    let mut writer = storage.stage_snapshot(meta(1, 1)).await.unwrap();
    for (index, chunk) in (2..).zip(&content) {
        let receipt = lab.submit(&storage, &mut model, append(vec![bulky(1, index, 500)]));
        writer.write(chunk.clone()).await.unwrap();
        receipt.await.unwrap();
    }
    let staged = writer.finish().await.unwrap();
    model.apply(&compact(1, 1), Some(&Content::new(meta(1, 1), &content))).unwrap();
    storage.save_state_and_snapshot(compact(1, 1), staged).await.unwrap();
    lab.shows(&storage, &model, "after publishing").await;
}

/// Several tasks save: some order comes out, and every receipt tells the truth.
pub async fn concurrency_saves_from_many_tasks_are_all_there(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let tasks: Vec<_> = (1..=8u64)
        .map(|task| {
            let storage = storage.clone();
            tokio::spawn(async move {
                for nth in 1..=20 {
                    // No two tasks agree on a term, so the last hard state tells who came last.
                    storage.save_raft_state(set(voted(nth * 8 + task, 0))).await.unwrap();
                }
                20 * 8 + task
            })
        })
        .collect();
    let mut last_terms = Vec::new();
    for task in tasks {
        last_terms.push(task.await.unwrap());
    }
    let found = storage.read_raft_state().await.unwrap().hard_state.term.0;
    lab.holds("the last save of some task stands", last_terms.contains(&found), || format!("term {found}"));
    let again = lab.reopen().await.read_raft_state().await.unwrap().hard_state.term.0;
    lab.equal("the same after opening again", again, found);
}
