//! A script of saves, and what a store must hold after each prefix of it.

use eraft_core::{Entry, EntryId, LogChange, RaftState, RaftStateUpdate, Result, Storage};
use futures_executor::block_on;

use crate::support::*;

/// One save of the script.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) update: RaftStateUpdate,
    /// The last entry and the bytes of the snapshot that the save publishes.
    pub(crate) publish: Option<(EntryId, Vec<u8>)>,
}

/// Everything that can be read of a store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) state: RaftState,
    pub(crate) entries: Vec<Entry>,
    pub(crate) snapshot: Option<(EntryId, Vec<u8>)>,
}

impl From<RaftStateUpdate> for Step {
    fn from(update: RaftStateUpdate) -> Step {
        Step { update, publish: None }
    }
}

impl Step {
    pub(crate) fn publish(term: u64, index: u64, size_bytes: usize, update: RaftStateUpdate) -> Step {
        Step { update, publish: Some((EntryId::new(term, index), payload(term, index, size_bytes).to_vec())) }
    }

    /// Saves it and waits for the receipt.
    pub(crate) fn save(&self, store: &dyn Storage) -> Result<()> {
        match &self.publish {
            None => save(store, self.update.clone()),
            Some((last, content)) => publish(store, *last, content, self.update.clone()),
        }
    }
}

impl Seen {
    /// Reads everything.
    pub(crate) fn of(store: &dyn Storage) -> Result<Seen> {
        let state = block_on(store.read_raft_state())?;
        Ok(Seen { state, entries: read_all(store)?, snapshot: snapshot(store)? })
    }

    /// What the store holds after one more step.
    fn after(&self, step: &Step) -> Seen {
        let mut next = self.clone();
        let meta = step.publish.as_ref().map(|(last, _)| meta_of(*last));
        next.state.apply(&step.update, meta.as_ref()).unwrap();
        match &step.update.log {
            LogChange::Keep => {}
            LogChange::Append(entries) => {
                next.entries.retain(|entry| entry.index < entries[0].index);
                next.entries.extend_from_slice(entries);
            }
            LogChange::CompactTo(id) => next.entries.retain(|entry| entry.index > id.index),
            LogChange::Reset { .. } => next.entries.clear(),
        }
        if step.publish.is_some() {
            next.snapshot.clone_from(&step.publish);
        }
        next
    }

    /// What a store holds that began as `self`, after each prefix of `steps`, none and all included.
    pub(crate) fn after_each(self, steps: &[Step]) -> Vec<Seen> {
        let mut all = vec![self];
        for step in steps {
            all.push(all[all.len() - 1].after(step));
        }
        all
    }
}

/// A script that meets every kind of save, over a dozen segments.
pub(crate) fn script() -> Vec<Step> {
    let mut steps: Vec<Step> = vec![vote(1).into()];
    steps.extend((1..8).map(|at| Step::from(append(1, at..at + 1, 500))));
    steps.push(append(1, 8..30, 300).into());
    steps.push(append(2, 12..14, 900).into());
    steps.push(vote(3).into());
    steps.extend((14..20).map(|at| Step::from(append(3, at..at + 1, 1200))));
    steps.push(Step::publish(3, 15, 3000, RaftStateUpdate::default()));
    steps.push(compact(3, 15).into());
    steps.extend((20..24).map(|at| Step::from(append(3, at..at + 1, 20))));
    steps.push(Step::publish(3, 22, 2000, compact(3, 22)));
    let reset = RaftStateUpdate { hard_state: None, log: LogChange::Reset { base: EntryId::new(5, 90) } };
    steps.push(Step::publish(5, 90, 4000, reset));
    steps.extend((91..95).map(|at| Step::from(append(6, at..at + 1, 2500))));
    steps
}
