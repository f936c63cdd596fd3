//! The first failure is the last thing the writer does, and no receipt after it ever says success.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use eraft_core::{Receipt, StorageErrorKind};
use eraft_storage_kit::GroupCommitOptions;
use futures_executor::block_on;
use futures_util::FutureExt as _;

use crate::rig::{Asked, Rig, Step, kind, unbounded};

#[test]
fn a_failed_commit_gives_its_batch_the_error_and_poisons_all_later_saves() {
    let mut rig = Rig::stepped(GroupCommitOptions { max_batch_saves: 2, ..unbounded() });
    let first = rig.submit(1);
    rig.begun();
    let (batch, queued) = ([rig.submit(2), rig.submit(3)], rig.submit(4));
    rig.step(Step::Succeed);
    assert_eq!(rig.begun(), Asked::Commit(vec![2, 3]));
    rig.step(Step::Fail);
    rig.let_go();
    block_on(first).unwrap();
    for receipt in batch {
        assert_eq!(kind(receipt), Some(StorageErrorKind::Io));
    }
    for receipt in [queued, rig.submit(5), rig.writer.flush()] {
        let error = block_on(receipt).unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Poisoned);
        assert!(error.detail().contains("the device failed"), "does not name the first failure: {error}");
    }
    assert_eq!(rig.writer.failure().unwrap().kind(), StorageErrorKind::Io);
    assert_eq!(rig.writer.queued().saves, 0);
}

#[test]
fn a_failed_commit_is_never_retried_and_the_writer_never_called_again() {
    let mut rig = Rig::stepped(GroupCommitOptions { idle_after: Some(Duration::ZERO), ..unbounded() });
    let failed = rig.submit(1);
    rig.step(Step::Fail);
    rig.let_go();
    assert_eq!(kind(failed), Some(StorageErrorKind::Io));
    assert_eq!(kind(rig.submit(2)), Some(StorageErrorKind::Poisoned));
    assert_eq!(rig.writer.close_blocking().unwrap_err().kind(), StorageErrorKind::Io);
    assert_eq!(rig.asked(), [Asked::Commit(vec![1]), Asked::Dropped]);
}

#[test]
fn a_check_is_not_asked_once_the_engine_is_poisoned() {
    let mut rig = Rig::stepped(unbounded());
    let failed = rig.submit(1);
    rig.step(Step::Fail);
    rig.let_go();
    assert!(block_on(failed).is_err());
    assert!(rig.writer.close_blocking().is_err());
    let receipt = rig.writer.submit_with(|| panic!("asked"));
    assert_eq!(kind(receipt), Some(StorageErrorKind::Poisoned));
}

#[test]
fn a_writer_that_panics_fails_its_batch_and_poisons() {
    let mut rig = Rig::stepped(unbounded());
    let first = rig.submit(1);
    rig.begun();
    let queued = rig.submit(2);
    rig.step(Step::Panic);
    rig.let_go();
    let error = block_on(first).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Io);
    assert!(error.detail().contains("a bug in the writer"), "{error}");
    assert_eq!(kind(queued), Some(StorageErrorKind::Poisoned));
    assert_eq!(kind(rig.submit(3)), Some(StorageErrorKind::Poisoned));
}

#[test]
fn a_failed_idle_moment_poisons() {
    let mut rig = Rig::stepped(GroupCommitOptions { idle_after: Some(Duration::ZERO), ..unbounded() });
    let saved = rig.submit(1);
    rig.step(Step::Succeed);
    block_on(saved).unwrap();
    assert_eq!([rig.begun(), rig.begun()], [Asked::Commit(vec![1]), Asked::Idle]);
    rig.step(Step::Fail);
    rig.let_go();
    assert_eq!(rig.writer.close_blocking().unwrap_err().kind(), StorageErrorKind::Io);
    assert_eq!(kind(rig.submit(2)), Some(StorageErrorKind::Poisoned));
}

/// A task that brings down whoever wakes it.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("a waker's bug");
    }
}

/// What a receipt tells, if it ever does.
fn told(mut receipt: Receipt) -> Option<StorageErrorKind> {
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        if let Some(outcome) = (&mut receipt).now_or_never() {
            return outcome.err().map(|error| error.kind());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("nobody ever tells");
}

/// Has a task wait that panics when it is woken.
fn arm(receipt: &mut Receipt) {
    let waker = Waker::from(Arc::new(Bomb));
    assert!(matches!(std::pin::Pin::new(receipt).poll(&mut Context::from_waker(&waker)), Poll::Pending));
}

#[test]
fn wakers_that_panic_poison_the_engine_and_leave_nobody_waiting() {
    let mut rig = Rig::stepped(GroupCommitOptions { max_batch_saves: 2, ..unbounded() });
    let first = rig.submit(1);
    rig.begun();
    let [mut armed, same_batch, mut armed_too, queued] = [2, 3, 4, 5].map(|term| rig.submit(term));
    arm(&mut armed);
    arm(&mut armed_too);
    rig.let_go();
    assert_eq!(told(first), None);
    // The commit of the second batch succeeded, and all of it is told so before anybody is woken; that blew the thread up: what
    // comes behind it was never committed, and may not hang, whoever else panics.
    assert_eq!(told(same_batch), None);
    for receipt in [queued, rig.submit(6)] {
        assert_eq!(told(receipt), Some(StorageErrorKind::Poisoned));
    }
    assert_eq!(told(rig.writer.close()), Some(StorageErrorKind::Io), "the first failure");
    assert_eq!(rig.asked()[..2], [Asked::Commit(vec![1]), Asked::Commit(vec![2, 3])]);
}
