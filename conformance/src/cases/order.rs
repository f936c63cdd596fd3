//! Line 1: saves take effect in call order, and receipts resolve in that order.

use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
};

use eraft_core::{Receipt, StorageErrorKind};
use futures_util::FutureExt as _;

use crate::{Lab, make::*};

/// The order is fixed by the calls, not by who awaits what.
pub async fn line_01_unawaited_saves_take_effect_in_call_order(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let mut last = None;
    for index in 1..=500 {
        // Every third save replaces the entry before it, so that a swap of any two shows.
        let at =
            if index % 3 == 0 { model.state.outline.last_index().0.max(1) } else { model.entries.len() as u64 + 1 };
        last = Some(lab.submit(&storage, &mut model, append(vec![entry(index, at)])));
    }
    last.unwrap().await.unwrap();
    lab.shows(&storage, &model, "after the last of 500 receipts").await;
}

/// Whoever sees a receipt resolved may rely on all before it.
pub async fn line_01_receipts_resolve_in_call_order(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let mut waiting = Vec::new();
    for index in 1..=300 {
        let size_bytes = lab.random.usize(..2000);
        waiting.push(Some(lab.submit(&storage, &mut model, append(vec![bulky(1, index, size_bytes)]))));
        look(lab, &mut waiting);
    }
    while waiting.iter().any(Option::is_some) {
        tokio::task::yield_now().await;
        look(lab, &mut waiting);
    }
    lab.shows(&storage, &model, "after all receipts").await;
}

/// And those who sleep on their receipts are woken in that order: whoever is woken first came first.
pub async fn line_01_waiters_are_woken_in_call_order(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let woken = Arc::new(Mutex::new(Vec::new()));
    let mut asleep = Vec::new();
    for index in 1..=300 {
        let mut receipt = lab.submit(&storage, &mut model, append(vec![bulky(1, index, 50)]));
        let waker = Waker::from(Arc::new(Waiter { index, woken: Arc::clone(&woken) }));
        match receipt.poll_unpin(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => outcome.unwrap(),
            Poll::Pending => asleep.push((index, receipt)),
        }
    }
    let many = |woken: &Mutex<Vec<u64>>| woken.lock().unwrap().len();
    while many(&woken) < asleep.len() {
        tokio::task::yield_now().await;
    }
    let expected: Vec<u64> = asleep.iter().map(|(index, _)| *index).collect();
    lab.equal("who was woken, in order", woken.lock().unwrap().clone(), expected);
    for (_, receipt) in asleep {
        receipt.await.unwrap();
    }
    lab.shows(&storage, &model, "after all receipts").await;
}

/// Somebody who waits for the save of one entry.
struct Waiter {
    index: u64,
    woken: Arc<Mutex<Vec<u64>>>,
}

impl Wake for Waiter {
    fn wake(self: Arc<Waiter>) {
        self.woken.lock().unwrap().push(self.index);
    }
}

/// Asks all receipts, the newest first: once one has resolved, all that are asked later must have, too.
fn look(lab: &Lab, waiting: &mut [Option<Receipt>]) {
    let mut newest_resolved = None;
    for (position, slot) in waiting.iter_mut().enumerate().rev() {
        let Some(receipt) = slot else { continue };
        match receipt.now_or_never() {
            Some(outcome) => {
                outcome.unwrap();
                *slot = None;
                newest_resolved.get_or_insert(position);
            }
            None => lab.holds("receipts resolve in call order", newest_resolved.is_none(), || {
                format!("receipt {position} waits, but {newest_resolved:?} has resolved")
            }),
        }
    }
}

/// An invalid save waits for nobody and holds nobody up.
pub async fn line_01_an_invalid_save_answers_at_once(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let before: Vec<_> =
        (1..=20).map(|index| lab.submit(&storage, &mut model, append(vec![bulky(1, index, 10_000)]))).collect();
    let invalid = storage.save_raft_state(append(vec![entry(1, 22)]));
    // Sizes are told at once, too; where the store is in another process they come back behind the refusal.
    let _told_at_once = storage.raft_state_size();
    let invalid = invalid.now_or_never();
    let after: Vec<_> =
        (21..=30).map(|index| lab.submit(&storage, &mut model, append(vec![entry(1, index)]))).collect();
    lab.refused("a gap", invalid.expect("an invalid save resolves without waiting"), StorageErrorKind::Invalid);
    for receipt in before.into_iter().chain(after) {
        receipt.await.unwrap();
    }
    lab.shows(&storage, &model, "after the valid saves around it").await;
}

/// A receipt is proof, not permission.
pub async fn line_01_a_dropped_receipt_does_not_undo_its_save(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for index in 1..=10 {
        drop(lab.submit(&storage, &mut model, append(entries(1, index, index))));
    }
    lab.save(&storage, &mut model, set(voted(2, 1))).await;
    lab.shows(&storage, &model, "after a later receipt").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// Saves of the same thing overwrite each other in call order.
pub async fn line_01_the_newest_hard_state_wins(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let receipts: Vec<_> = (1..=200).map(|term| lab.submit(&storage, &mut model, set(voted(term, 0)))).collect();
    for receipt in receipts {
        receipt.await.unwrap();
    }
    lab.shows(&storage, &model, "after 200 hard states").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}
