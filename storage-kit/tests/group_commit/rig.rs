//! A writer that does what the test says, step by step, and tells what it was asked to do.

use std::sync::{
    Arc, Mutex,
    mpsc::{Receiver, SyncSender, sync_channel},
};

use eraft_core::{
    Entry, GroupId, HardState, LogChange, NodeId, RaftStateUpdate, Receipt, Result, StorageError, StorageErrorKind,
    Term,
};
use eraft_storage_kit::{BatchWriter, GroupCommit, GroupCommitOptions, Save};
use futures_executor::block_on;

/// What the writer was asked to do; a commit is told by the terms of its saves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Commit(Vec<u64>),
    Idle,
    Close,
    Dropped,
}

/// What the writer does when it is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Succeed,
    Fail,
    Panic,
}

pub(crate) struct Rig {
    /// Lets the call that has begun go on. The first field, so that a failing test lets go of the writer, then joins it.
    steps: Option<SyncSender<Step>>,
    pub(crate) writer: GroupCommit,
    /// Everything asked so far.
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    /// Tells each call as it begins.
    begun: Receiver<Asked>,
}

struct Scripted {
    asked: Arc<Mutex<Vec<Asked>>>,
    begun: SyncSender<Asked>,
    steps: Receiver<Step>,
}

impl Rig {
    /// Every call of the writer waits for the test's word.
    pub(crate) fn stepped(options: GroupCommitOptions) -> Rig {
        let (begun_sender, begun) = sync_channel(1024);
        let (steps, steps_receiver) = sync_channel(1024);
        let asked = Arc::default();
        let scripted = Scripted { asked: Arc::clone(&asked), begun: begun_sender, steps: steps_receiver };
        Rig {
            writer: GroupCommit::start("test", NodeId(1), scripted, options).unwrap(),
            asked,
            begun,
            steps: Some(steps),
        }
    }

    /// Every call of the writer succeeds at once.
    pub(crate) fn free(options: GroupCommitOptions) -> Rig {
        let mut rig = Rig::stepped(options);
        rig.let_go();
        rig
    }

    /// The next call the writer gets, as soon as it has begun.
    pub(crate) fn begun(&self) -> Asked {
        self.begun.recv().unwrap()
    }

    pub(crate) fn step(&self, step: Step) {
        self.steps.as_ref().unwrap().send(step).unwrap();
    }

    /// From now on every call succeeds at once.
    pub(crate) fn let_go(&mut self) {
        self.steps = None;
    }

    pub(crate) fn submit(&self, term: u64) -> Receipt {
        self.writer.submit(save(term, 0))
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Scripted {
    fn meet(&self, asked: Asked) -> Result<()> {
        self.asked.lock().unwrap().push(asked.clone());
        let _test_may_be_over = self.begun.try_send(asked);
        match self.steps.recv() {
            Ok(Step::Succeed) | Err(_) => Ok(()),
            Ok(Step::Fail) => Err(StorageError::new(StorageErrorKind::Io, "syncing", "the device failed")),
            Ok(Step::Panic) => panic!("a bug in the writer"),
        }
    }
}

impl BatchWriter for Scripted {
    fn commit(&mut self, batch: &[Save]) -> Result<()> {
        self.meet(Asked::Commit(batch.iter().map(|save| save.update.hard_state.unwrap().term.0).collect()))
    }

    fn idle(&mut self) -> Result<()> {
        self.meet(Asked::Idle)
    }

    fn close(&mut self) -> Result<()> {
        self.meet(Asked::Close)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.asked.lock().unwrap().push(Asked::Dropped);
    }
}

/// A save that its term names, with one entry of `payload_bytes` (none for 0).
pub(crate) fn save(term: u64, payload_bytes: usize) -> Save {
    let entry = Entry::command(Term(term), eraft_core::LogIndex(term), vec![0; payload_bytes]);
    let log = if payload_bytes == 0 { LogChange::Keep } else { LogChange::Append(vec![entry]) };
    let hard_state = Some(HardState { term: Term(term), ..HardState::default() });
    Save { group: GroupId::ZERO, update: RaftStateUpdate { hard_state, log }, snapshot: None }
}

/// Batches as large as they come, and no idle moments.
pub(crate) fn unbounded() -> GroupCommitOptions {
    GroupCommitOptions { max_batch_bytes: u64::MAX, max_batch_saves: usize::MAX, idle_after: None }
}

pub(crate) fn kind(receipt: Receipt) -> Option<StorageErrorKind> {
    block_on(receipt).err().map(|error| error.kind())
}
