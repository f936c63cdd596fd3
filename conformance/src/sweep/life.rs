//! A short life of a store, up to its end or to the first error.

use std::collections::BTreeMap;

use eraft_core::{Expected, GroupId, Result, StorageError};
use fastrand::Rng;
use futures_executor::block_on;

use super::{Backend, Disk, Plan};
use crate::{
    CLUSTER, Crash, Engine, Handle, Model, NODE,
    crash_states::{history::History, steps},
    make::stage,
};

/// How many processes one life has; the first is closed, the second killed, the last closed.
const PROCESSES: usize = 3;
/// How many things one process does.
const STEPS: usize = 14;

/// What a life left behind.
pub(super) struct Life {
    /// Known once the store is created.
    pub(super) history: Option<History>,
    /// For each group, the newest save that was acknowledged.
    pub(super) acknowledged: BTreeMap<GroupId, usize>,
    /// What it ended with, if not in good order.
    pub(super) failure: Option<Failure>,
}

/// What failed, and what the store said.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// `save` and `close`, after which nothing more can be saved, or another.
    pub(super) what: &'static str,
    pub(super) error: StorageError,
    /// What the next save of the same process met, where there was one.
    pub(super) next_save: Option<Result<()>>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.error)
    }
}

/// A store that is open.
pub(super) struct Opened {
    pub(super) engine: Box<dyn Engine>,
    pub(super) groups: BTreeMap<GroupId, (Handle, Model)>,
}

type Step = std::result::Result<(), Failure>;

/// Runs a life under the plan's seed, on a disk that may fail anywhere.
pub(super) fn live<B: Backend>(backend: &B, disk: &B::Disk, plan: &Plan) -> Life {
    let mut life = Life { history: None, acknowledged: BTreeMap::new(), failure: None };
    life.failure = life.processes(backend, disk, plan).err();
    life
}

/// Opens the store, and reads all of it.
pub(super) fn open<B: Backend>(backend: &B, disk: &B::Disk, groups: &[GroupId], seed: u64) -> Result<Opened> {
    let engine = backend.open(disk, Expected::exactly(CLUSTER, NODE), seed)?;
    let mut found = BTreeMap::new();
    for group in groups {
        let handle = block_on(engine.group(*group))?;
        let model = block_on(Model::read(&handle))?;
        found.insert(*group, (handle, model));
    }
    Ok(Opened { engine, groups: found })
}

impl Life {
    /// How many saves were acknowledged.
    pub(super) fn saves(&self) -> usize {
        self.acknowledged.values().sum()
    }

    fn processes<B: Backend>(&mut self, backend: &B, disk: &B::Disk, plan: &Plan) -> Step {
        let mut random = Rng::with_seed(plan.seed);
        let identity = backend.create(disk, CLUSTER, NODE, random.u64(..)).map_err(failed("create"))?;
        self.history = Some(History::blank(identity, &plan.groups));
        for process in 0..PROCESSES {
            let opened = open(backend, disk, &plan.groups, random.u64(..)).map_err(failed("open"))?;
            let outcome = self.process(&opened, plan, &mut random);
            if outcome.is_err() || process != 1 {
                let closed = block_on(opened.engine.close()).map_err(failed("close"));
                outcome.and(closed)?;
            } else {
                disk.crash(Crash::Kill);
            }
        }
        Ok(())
    }

    fn process(&mut self, opened: &Opened, plan: &Plan, random: &mut Rng) -> Step {
        for _ in 0..STEPS {
            let group = plan.groups[random.usize(..plan.groups.len())];
            let (handle, _) = &opened.groups[&group];
            let done = match random.u8(..10) {
                0..7 => self.save(handle, group, random),
                7 => self.give_up_a_stage(handle, group, random),
                _ => self.read(handle, group).map_err(failed("read")),
            };
            if let Err(mut failure) = done {
                // A save that changes nothing is enough to see whether the engine goes on.
                failure.next_save = Some(block_on(handle.save_raft_state(Default::default())));
                return Err(failure);
            }
        }
        Ok(())
    }

    fn save(&mut self, handle: &Handle, group: GroupId, random: &mut Rng) -> Step {
        let history = self.history.as_mut().expect("it was created");
        let step = steps::any(random, history.newest(group));
        let staged = match &step.publish {
            Some((meta, chunks)) => Some(block_on(stage(handle, meta.clone(), chunks)).map_err(failed("stage"))?),
            None => None,
        };
        let after = step.after(history.newest(group)).expect("a life's own saves are valid");
        let models = history.groups.get_mut(&group).expect("a life's own group");
        models.push(after);
        let save = models.len() - 1;
        let receipt = match staged {
            None => handle.save_raft_state(step.update),
            Some(staged) => handle.save_state_and_snapshot(step.update, staged),
        };
        block_on(receipt).map_err(failed("save"))?;
        self.acknowledged.insert(group, save);
        Ok(())
    }

    /// A snapshot that is staged and not wanted.
    fn give_up_a_stage(&mut self, handle: &Handle, group: GroupId, random: &mut Rng) -> Step {
        let newest = self.history.as_ref().expect("it was created").newest(group);
        let Some(meta) = steps::meta_for(random, newest) else { return Ok(()) };
        let staged = block_on(stage(handle, meta, &steps::content(random))).map_err(failed("stage"))?;
        block_on(handle.discard_snapshot(staged)).map_err(failed("discard"))
    }

    /// Reads everything, which must be what was saved.
    fn read(&mut self, handle: &Handle, group: GroupId) -> Result<()> {
        let found = block_on(Model::read(handle))?;
        let difference = self.history.as_ref().expect("it was created").newest(group).difference(&found);
        assert!(difference.is_none(), "group {group} reads wrong: {}", difference.unwrap_or_default());
        Ok(())
    }
}

fn failed(what: &'static str) -> impl FnOnce(StorageError) -> Failure {
    move |error| Failure { what, error, next_save: None }
}
