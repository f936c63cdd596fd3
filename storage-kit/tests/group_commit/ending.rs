//! Closing and dropping: what is queued is completed, and the end is told after everything was given back.

use std::{
    mem::ManuallyDrop,
    sync::{Arc, Mutex},
    task::{Context, Wake, Waker},
    time::Duration,
};

use eraft_core::{GroupId, NodeId, RaftStateUpdate, Result, StorageError, StorageErrorKind};
use eraft_storage_kit::{BatchWriter, GroupCommit, Save};
use futures_executor::block_on;

use crate::rig::{Asked, Rig, Step, kind, save, unbounded};

#[test]
fn closing_completes_what_is_queued_then_closes_the_writer_and_drops_it() {
    let mut rig = Rig::stepped(unbounded());
    let first = rig.submit(1);
    rig.begun();
    let second = rig.submit(2);
    let closed = rig.writer.close();
    let late = rig.submit(3);
    rig.let_go();
    assert_eq!(kind(late), Some(StorageErrorKind::Invalid));
    block_on(closed).unwrap();
    let order = [Asked::Commit(vec![1]), Asked::Commit(vec![2]), Asked::Close, Asked::Dropped];
    assert_eq!(rig.asked(), order, "all of it before the end is told");
    block_on(first).unwrap();
    block_on(second).unwrap();
    assert_eq!(kind(rig.submit(4)), Some(StorageErrorKind::Invalid));
    block_on(rig.writer.close()).unwrap();
    rig.writer.close_blocking().unwrap();
    assert_eq!(rig.asked(), order, "closing again does nothing");
}

#[test]
fn a_failure_while_closing_is_told_to_whoever_closes() {
    let rig = Rig::stepped(unbounded());
    let saved = rig.submit(1);
    rig.step(Step::Succeed);
    block_on(saved).unwrap();
    rig.step(Step::Fail);
    assert_eq!(kind(rig.writer.close()), Some(StorageErrorKind::Io));
    assert_eq!(rig.writer.close_blocking().unwrap_err().kind(), StorageErrorKind::Io);
    assert_eq!(kind(rig.submit(2)), Some(StorageErrorKind::Poisoned));
}

#[test]
fn dropping_the_handle_completes_what_is_queued_and_waits_for_the_thread() {
    let rig = Rig::free(unbounded());
    let asked = Arc::clone(&rig.asked);
    let receipts: Vec<_> = (1..=20).map(|term| rig.submit(term)).collect();
    drop(rig);
    assert_eq!(asked.lock().unwrap().last(), Some(&Asked::Dropped));
    for receipt in receipts {
        block_on(receipt).unwrap();
    }
}

/// A writer that waits for the test before its first commit.
struct Held(Arc<Mutex<()>>);

impl BatchWriter for Held {
    fn commit(&mut self, _batch: &[Save]) -> Result<()> {
        drop(self.0.lock().unwrap());
        Ok(())
    }

    fn idle(&mut self) -> Result<()> {
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A writer that fails, and takes its time to give back what it holds.
struct Failing(Arc<Mutex<()>>);

impl BatchWriter for Failing {
    fn commit(&mut self, _batch: &[Save]) -> Result<()> {
        Err(StorageError::new(StorageErrorKind::Full, "writing", "no room"))
    }

    fn idle(&mut self) -> Result<()> {
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        drop(self.0.lock().unwrap());
    }
}

#[test]
fn closing_a_failed_engine_waits_until_its_writer_is_gone() {
    let hold = Arc::new(Mutex::new(()));
    let writer = GroupCommit::start("test", NodeId(1), Failing(Arc::clone(&hold)), unbounded()).unwrap();
    // A failing test does not join a thread that nobody lets end.
    let writer = ManuallyDrop::new(writer);
    let held = hold.lock().unwrap();
    assert_eq!(kind(writer.submit(save(1, 0))), Some(StorageErrorKind::Full));
    // The engine has ended once a save is refused without being checked.
    let mut ended = false;
    while !ended {
        ended = true;
        drop(writer.submit_with(|| {
            ended = false;
            Ok(save(2, 0))
        }));
    }
    let mut closed = writer.close();
    let mut context = Context::from_waker(Waker::noop());
    assert!(std::pin::Pin::new(&mut closed).poll(&mut context).is_pending(), "the writer still holds its lock");
    drop(held);
    assert_eq!(kind(closed), Some(StorageErrorKind::Full));
    assert_eq!(kind(writer.close()), Some(StorageErrorKind::Full), "the same answer again");
    drop(ManuallyDrop::into_inner(writer));
}

/// An engine that has failed, and had all the time it needs to let go of its writer.
fn failed_a_while_ago() -> Rig {
    let mut rig = Rig::stepped(unbounded());
    let failed = rig.submit(1);
    rig.step(Step::Fail);
    rig.let_go();
    assert_eq!(kind(failed), Some(StorageErrorKind::Io));
    assert_eq!(kind(rig.submit(2)), Some(StorageErrorKind::Poisoned));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(rig.asked(), [Asked::Commit(vec![1])], "its files and its lock are this process's until it is closed");
    rig
}

#[test]
fn a_failed_engine_keeps_its_writer_until_it_is_closed() {
    let rig = failed_a_while_ago();
    assert_eq!(kind(rig.writer.close()), Some(StorageErrorKind::Io));
    assert_eq!(rig.asked(), [Asked::Commit(vec![1]), Asked::Dropped]);
}

#[test]
fn a_failed_engine_keeps_its_writer_until_it_is_dropped() {
    let rig = failed_a_while_ago();
    let asked = Arc::clone(&rig.asked);
    drop(rig);
    assert_eq!(*asked.lock().unwrap(), [Asked::Commit(vec![1]), Asked::Dropped]);
}

/// Holds the last handle, and lets go of it when it is woken: on the writer thread.
struct LastHandle(Mutex<Option<GroupCommit>>);

impl Wake for LastHandle {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn the_last_handle_may_be_dropped_on_the_writer_thread_itself() {
    let hold = Arc::new(Mutex::new(()));
    let held = hold.lock().unwrap();
    let writer = GroupCommit::start("test", NodeId(1), Held(Arc::clone(&hold)), unbounded()).unwrap();
    let empty = || Save { group: GroupId::ZERO, update: RaftStateUpdate::default(), snapshot: None };
    let (mut first, second) = (writer.submit(empty()), writer.submit(empty()));
    let ended = writer.close();
    let waker = Waker::from(Arc::new(LastHandle(Mutex::new(Some(writer)))));
    assert!(std::pin::Pin::new(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
    drop((waker, held));
    block_on(second).unwrap();
    block_on(ended).unwrap();
}
