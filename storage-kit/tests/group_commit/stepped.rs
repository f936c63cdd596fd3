//! The engine without a thread: nothing happens but in a step.

use std::sync::{Arc, Mutex};

use eraft_core::{NodeId, Receipt, Result, StorageError, StorageErrorKind};
use eraft_storage_kit::{BatchWriter, GroupCommit, Save, Steps};
use futures_util::FutureExt;

use crate::rig::{Asked, save};

/// Writes down what it is asked, and fails at the term 13.
struct Noting(Arc<Mutex<Vec<Asked>>>);

impl BatchWriter for Noting {
    fn commit(&mut self, batch: &[Save]) -> Result<()> {
        let terms: Vec<u64> = batch.iter().map(|save| save.update.hard_state.unwrap().term.0).collect();
        let fails = terms.contains(&13);
        self.0.lock().unwrap().push(Asked::Commit(terms));
        if fails { Err(StorageError::new(StorageErrorKind::Io, "syncing", "the device failed")) } else { Ok(()) }
    }

    fn idle(&mut self) -> Result<()> {
        self.0.lock().unwrap().push(Asked::Idle);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.0.lock().unwrap().push(Asked::Close);
        Ok(())
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(Asked::Dropped);
    }
}

fn stepped() -> (GroupCommit, Steps, Arc<Mutex<Vec<Asked>>>) {
    let asked = Arc::default();
    let (commit, steps) = GroupCommit::stepped(NodeId(1), Noting(Arc::clone(&asked)));
    (commit, steps, asked)
}

/// How it resolved, if it has.
fn told(receipt: Receipt) -> Option<std::result::Result<(), StorageErrorKind>> {
    receipt.now_or_never().map(|outcome| outcome.map_err(|error| error.kind()))
}

#[test]
fn without_a_thread_a_step_commits_as_many_saves_as_it_is_told_and_nothing_else_does() {
    let (commit, mut steps, asked) = stepped();
    let [one, two, three] = [1, 2, 3].map(|term| commit.submit(save(term, 0)));
    assert_eq!(*asked.lock().unwrap(), []);
    steps.commit(2).unwrap();
    steps.idle().unwrap();
    assert_eq!(*asked.lock().unwrap(), [Asked::Commit(vec![1, 2]), Asked::Idle]);
    assert_eq!([told(one), told(two), told(three)], [Some(Ok(())), Some(Ok(())), None]);
    assert_eq!(commit.queued().saves, 1);
}

#[test]
fn without_a_thread_the_first_failure_is_the_end_too() {
    let (commit, mut steps, asked) = stepped();
    let [failing, behind] = [13, 14].map(|term| commit.submit(save(term, 0)));
    assert_eq!(steps.commit(1).unwrap_err().kind(), StorageErrorKind::Io);
    assert_eq!(told(failing), Some(Err(StorageErrorKind::Io)));
    assert_eq!(told(behind), Some(Err(StorageErrorKind::Poisoned)));
    assert_eq!(told(commit.submit(save(15, 0))), Some(Err(StorageErrorKind::Poisoned)));
    assert_eq!(steps.commit(1).unwrap_err().kind(), StorageErrorKind::Io, "the first failure is told again");
    assert_eq!(steps.idle().unwrap_err().kind(), StorageErrorKind::Io);
    assert_eq!(*asked.lock().unwrap(), [Asked::Commit(vec![13])], "not called again, and not yet let go of");
    assert_eq!(steps.close().unwrap_err().kind(), StorageErrorKind::Io);
    assert_eq!(*asked.lock().unwrap(), [Asked::Commit(vec![13]), Asked::Dropped]);
    assert_eq!(told(commit.close()), Some(Err(StorageErrorKind::Io)));
}

#[test]
fn steps_that_are_dropped_commit_nothing_and_leave_no_receipt_open() {
    let (commit, steps, asked) = stepped();
    let receipt = commit.submit(save(1, 0));
    drop(steps);
    assert!(matches!(told(receipt), Some(Err(_))));
    assert_eq!(*asked.lock().unwrap(), [Asked::Dropped]);
    drop(commit); // does not wait for a thread that is not there
}

#[test]
fn closing_the_steps_commits_what_is_queued_first() {
    let (commit, steps, asked) = stepped();
    let receipt = commit.submit(save(1, 0));
    steps.close().unwrap();
    assert_eq!(told(receipt), Some(Ok(())));
    assert_eq!(told(commit.submit(save(2, 0))), Some(Err(StorageErrorKind::Invalid)));
    assert_eq!(told(commit.close()), Some(Ok(())));
    assert_eq!(*asked.lock().unwrap(), [Asked::Commit(vec![1]), Asked::Close, Asked::Dropped]);
}
