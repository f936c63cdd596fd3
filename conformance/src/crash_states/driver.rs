//! One process that uses a store: opens it, saves, and puts into the disk's journal what it knows.
//!
//! Everything it does is in an order that the seed alone decides, so that the same seed gives the same journal: it waits
//! for each save, and gathers the saves of a batch while the disk holds the first of them up.

use std::collections::BTreeMap;

use bytes::Bytes;
use eraft_core::{Expected, GroupId, RaftStateUpdate, Receipt, Result, SnapshotMeta, SnapshotWriter, StagedSnapshot};
use futures_executor::block_on;

use super::{Backend, Disk, history::History, journal::Mark, steps::Step};
use crate::{CLUSTER, Engine, Handle, Model, NODE, make::stage};

/// A store that is open.
pub(super) struct Driver<'a> {
    pub(super) disk: Disk,
    pub(super) history: History,
    backend: &'a dyn Backend,
    engine: Box<dyn Engine>,
    handles: BTreeMap<GroupId, Handle>,
}

/// A save whose snapshot, if it has one, is staged.
struct Prepared {
    group: GroupId,
    after: Model,
    update: RaftStateUpdate,
    staged: Option<StagedSnapshot>,
}

/// A store that was just opened.
pub(super) struct Found {
    pub(super) engine: Box<dyn Engine>,
    /// Each group's handle, and what it shows.
    pub(super) groups: BTreeMap<GroupId, (Handle, Model)>,
    /// The groups that it lists.
    pub(super) listed: Vec<GroupId>,
}

/// Whose stores all of these are.
pub(super) fn expected() -> Expected {
    Expected::exactly(CLUSTER, NODE)
}

/// Reads all that a store shows which was just opened.
pub(super) fn read(engine: Box<dyn Engine>, groups: &[GroupId]) -> Result<Found> {
    let listed = block_on(engine.groups())?;
    let mut found = BTreeMap::new();
    for group in groups {
        let handle = block_on(engine.group(*group))?;
        let model = block_on(Model::read(&handle))?;
        found.insert(*group, (handle, model));
    }
    Ok(Found { engine, groups: found, listed })
}

impl<'a> Driver<'a> {
    /// Goes on with a store that was opened and read; `history` begins with what it shows.
    pub(super) fn new(
        backend: &'a dyn Backend,
        disk: Disk,
        engine: Box<dyn Engine>,
        handles: BTreeMap<GroupId, Handle>,
        history: History,
    ) -> Driver<'a> {
        disk.mark(Mark::Opened);
        Driver { disk, history, backend, engine, handles }
    }

    pub(super) fn handle(&self, group: GroupId) -> &Handle {
        &self.handles[&group]
    }

    /// Saves, and waits until it is acknowledged.
    pub(super) fn save(&mut self, group: GroupId, step: &Step) -> Result<()> {
        let staged = match &step.publish {
            Some((meta, chunks)) => Some(block_on(stage(self.handle(group), meta.clone(), chunks))?),
            None => None,
        };
        self.save_staged(group, step, staged)
    }

    /// The same where the snapshot is staged already.
    pub(super) fn save_staged(&mut self, group: GroupId, step: &Step, staged: Option<StagedSnapshot>) -> Result<()> {
        let after = step.after(self.history.newest(group)).expect("a workload's own saves are valid");
        let (receipt, save) = self.submit(Prepared { group, after, update: step.update.clone(), staged });
        block_on(receipt)?;
        self.disk.mark(Mark::Acknowledged { group, save });
        Ok(())
    }

    /// Saves one, and while that is held up on its way to the disk, the others; then waits for all. Only saves without
    /// snapshots.
    pub(super) fn batch(&mut self, steps: &[(GroupId, Step)]) -> Result<()> {
        let mut receipts = Vec::new();
        self.disk.hold();
        for (group, step) in steps {
            let Some(after) = step.after(self.history.newest(*group)).filter(|_| step.publish.is_none()) else {
                continue;
            };
            let prepared = Prepared { group: *group, after, update: step.update.clone(), staged: None };
            receipts.push((*group, self.submit(prepared)));
            if receipts.len() == 1 {
                self.disk.wait_until_held_up();
            }
        }
        self.disk.let_go();
        // Marked only when all are done: between the receipts of one batch the order of marks is the machine's.
        let mut acknowledged = Vec::new();
        for (group, (receipt, save)) in receipts {
            block_on(receipt)?;
            acknowledged.push(Mark::Acknowledged { group, save });
        }
        acknowledged.into_iter().for_each(|mark| self.disk.mark(mark));
        Ok(())
    }

    /// Begins a stage.
    pub(super) fn begin_stage(&self, group: GroupId, meta: &SnapshotMeta) -> Result<Box<dyn SnapshotWriter>> {
        block_on(self.handle(group).stage_snapshot(meta.clone()))
    }

    /// Discards a finished stage.
    pub(super) fn discard(&self, group: GroupId, staged: StagedSnapshot) -> Result<()> {
        block_on(self.handle(group).discard_snapshot(staged))
    }

    /// Closes the store, or kills its process, and opens it again: it must show the newest state.
    pub(super) fn again(self, close: bool, seed: u64) -> std::result::Result<Driver<'a>, String> {
        let Driver { mut disk, history, backend, engine, handles } = self;
        if close {
            drop(handles);
            block_on(engine.close()).map_err(|error| format!("closing: {error}"))?;
        } else {
            disk = disk.kill();
            drop((handles, engine));
        }
        let groups: Vec<GroupId> = history.groups.keys().copied().collect();
        let opened = backend.open(&disk, expected(), seed).and_then(|engine| read(engine, &groups));
        let opened = opened.map_err(|error| format!("opening again: {error}"))?;
        let mut handles = BTreeMap::new();
        for (group, (handle, model)) in opened.groups {
            let newest = history.groups[&group].len() - 1;
            history.place(group, &model, (newest, newest))?;
            handles.insert(group, handle);
        }
        Ok(Driver::new(backend, disk, opened.engine, handles, history))
    }

    fn submit(&mut self, prepared: Prepared) -> (Receipt, usize) {
        let Prepared { group, after, update, staged } = prepared;
        let models = self.history.groups.get_mut(&group).expect("a workload's own group");
        let save = models.len();
        models.push(after);
        self.disk.mark(Mark::Submitted { group, save });
        let storage = &self.handles[&group];
        let receipt = match staged {
            None => storage.save_raft_state(update),
            Some(staged) => storage.save_state_and_snapshot(update, staged),
        };
        (receipt, save)
    }
}

/// Writes one chunk of a stage.
pub(super) fn write(writer: &mut dyn SnapshotWriter, chunk: Bytes) -> Result<()> {
    block_on(writer.write(chunk))
}

/// Finishes a stage.
pub(super) fn finish(writer: Box<dyn SnapshotWriter>) -> Result<StagedSnapshot> {
    block_on(writer.finish())
}

/// Gives a stage up.
pub(super) fn abort(writer: Box<dyn SnapshotWriter>) -> Result<()> {
    block_on(writer.abort())
}
