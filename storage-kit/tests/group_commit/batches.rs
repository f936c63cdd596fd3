//! Order, and what goes into one batch.

use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use eraft_core::{Receipt, StorageError, StorageErrorKind};
use eraft_storage_kit::{GroupCommitOptions, Queued, Stats};
use futures_executor::block_on;

use crate::rig::{Asked, Rig, Step, kind, save, unbounded};

/// Writes its number down when it is woken.
struct Order {
    number: usize,
    woken: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Order {
    fn wake(self: Arc<Self>) {
        self.woken.lock().unwrap().push(self.number);
    }
}

/// Polls a receipt once; it must be open still.
fn expect_open(receipt: &mut Receipt, waker: &Waker) {
    let polled = std::pin::Pin::new(receipt).poll(&mut Context::from_waker(waker));
    assert!(matches!(polled, Poll::Pending), "resolved too early: {polled:?}");
}

#[test]
fn a_receipt_stays_open_until_its_commit_has_returned() {
    let mut rig = Rig::stepped(unbounded());
    let mut receipt = rig.submit(1);
    assert_eq!(rig.begun(), Asked::Commit(vec![1]));
    expect_open(&mut receipt, Waker::noop());
    rig.step(Step::Succeed);
    block_on(receipt).unwrap();
    rig.let_go();
}

#[test]
fn receipts_resolve_in_the_order_of_calls() {
    let mut rig = Rig::stepped(GroupCommitOptions { max_batch_saves: 3, ..unbounded() });
    let woken = Arc::new(Mutex::new(Vec::new()));
    let mut receipts: Vec<Receipt> = (0..10).map(|term| rig.submit(term)).collect();
    for (number, receipt) in receipts.iter_mut().enumerate() {
        expect_open(receipt, &Waker::from(Arc::new(Order { number, woken: Arc::clone(&woken) })));
    }
    rig.let_go();
    rig.writer.close_blocking().unwrap();
    assert_eq!(*woken.lock().unwrap(), (0..10).collect::<Vec<_>>());
}

#[test]
fn what_queues_during_a_commit_is_the_next_batch() {
    let mut rig = Rig::stepped(unbounded());
    let first = rig.submit(1);
    assert_eq!(rig.begun(), Asked::Commit(vec![1]));
    let others = [rig.submit(2), rig.submit(3), rig.submit(4)];
    rig.step(Step::Succeed);
    assert_eq!(rig.begun(), Asked::Commit(vec![2, 3, 4]));
    rig.let_go();
    block_on(first).unwrap();
    others.into_iter().for_each(|receipt| block_on(receipt).unwrap());
    assert_eq!(rig.writer.stats(), Stats { batches: 2, saves: 4, bytes: 4 * save(1, 0).size_bytes() });
}

#[test]
fn a_batch_ends_at_its_bound_of_saves() {
    let mut rig = Rig::stepped(GroupCommitOptions { max_batch_saves: 2, ..unbounded() });
    let first = rig.submit(1);
    assert_eq!(rig.begun(), Asked::Commit(vec![1]));
    let _others = [rig.submit(2), rig.submit(3), rig.submit(4)];
    rig.let_go();
    block_on(first).unwrap();
    rig.writer.close_blocking().unwrap();
    assert_eq!(rig.asked()[1..3], [Asked::Commit(vec![2, 3]), Asked::Commit(vec![4])]);
}

#[test]
fn a_batch_ends_at_its_bound_of_bytes_and_a_larger_save_goes_alone() {
    let bound = 2 * save(1, 100).size_bytes();
    let mut rig = Rig::stepped(GroupCommitOptions { max_batch_bytes: bound, ..unbounded() });
    let _first = rig.submit(1);
    assert_eq!(rig.begun(), Asked::Commit(vec![1]));
    let _small = [2, 3, 4].map(|term| rig.writer.submit(save(term, 100)));
    let _large = rig.writer.submit(save(5, 10_000));
    let _after = rig.submit(6);
    rig.let_go();
    rig.writer.close_blocking().unwrap();
    let terms = [vec![2, 3], vec![4], vec![5], vec![6]].map(Asked::Commit);
    assert_eq!(rig.asked()[1..5], terms);
}

#[test]
fn what_a_check_refuses_resolves_at_once_and_nothing_else_suffers() {
    let mut rig = Rig::stepped(unbounded());
    let before = rig.submit(1);
    assert_eq!(rig.begun(), Asked::Commit(vec![1]));
    let refused = rig.writer.submit_with(|| Err(StorageError::invalid("a gap")));
    let after = rig.submit(2);
    assert_eq!(kind(refused), Some(StorageErrorKind::Invalid), "while the disk is still busy");
    rig.let_go();
    block_on(before).unwrap();
    block_on(after).unwrap();
    rig.writer.close_blocking().unwrap();
    assert_eq!(rig.asked()[..2], [Asked::Commit(vec![1]), Asked::Commit(vec![2])]);
}

#[test]
fn checks_run_in_the_order_in_which_saves_are_committed() {
    let rig = Rig::free(GroupCommitOptions { max_batch_saves: 7, ..unbounded() });
    let next = Mutex::new(0);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..250 {
                    let receipt = rig.writer.submit_with(|| {
                        let number = {
                            let mut next = next.lock().unwrap();
                            *next += 1;
                            *next
                        };
                        // Long enough for another to come between, were it let in.
                        std::thread::yield_now();
                        Ok(save(number, 0))
                    });
                    drop(receipt);
                }
            });
        }
    });
    rig.writer.close_blocking().unwrap();
    let asked = rig.asked();
    let committed =
        asked.iter().flat_map(|asked| if let Asked::Commit(terms) = asked { terms.clone() } else { vec![] });
    assert_eq!(committed.collect::<Vec<_>>(), (1..=1000).collect::<Vec<_>>());
}

#[test]
fn saves_count_as_queued_until_their_commit_has_returned() {
    let mut rig = Rig::stepped(unbounded());
    assert_eq!(rig.writer.queued(), Queued::default());
    let receipts = [rig.writer.submit(save(1, 100)), rig.writer.submit(save(2, 50))];
    rig.begun();
    let bytes = save(1, 100).size_bytes() + save(2, 50).size_bytes();
    assert_eq!(rig.writer.queued(), Queued { saves: 2, bytes });
    rig.let_go();
    receipts.into_iter().for_each(|receipt| block_on(receipt).unwrap());
    assert_eq!(rig.writer.queued(), Queued::default());
}

#[test]
fn a_flush_resolves_after_the_saves_before_it_and_commits_nothing_itself() {
    let mut rig = Rig::stepped(unbounded());
    let _save = rig.submit(1);
    rig.begun();
    let mut flush = rig.writer.flush();
    expect_open(&mut flush, Waker::noop());
    rig.let_go();
    block_on(flush).unwrap();
    rig.writer.close_blocking().unwrap();
    assert_eq!(rig.asked(), [Asked::Commit(vec![1]), Asked::Close, Asked::Dropped]);
}

#[test]
fn a_quiet_moment_after_a_commit_is_told_once() {
    let rig = Rig::free(GroupCommitOptions { idle_after: Some(Duration::ZERO), ..unbounded() });
    for _ in 0..2 {
        block_on(rig.submit(1)).unwrap();
        assert_eq!([rig.begun(), rig.begun()], [Asked::Commit(vec![1]), Asked::Idle]);
        // Neither a flush nor more quiet is a reason to tell it again.
        block_on(rig.writer.flush()).unwrap();
    }
    rig.writer.close_blocking().unwrap();
    assert_eq!(rig.asked()[4..], [Asked::Close, Asked::Dropped]);
}
