//! A life of a store, recorded: initialisation, then everything that a Raft node ever does to its store, on several groups.
//!
//! Stages stay open over many saves, so that much is unsynced at once; processes end by closing and by being killed.

use std::collections::BTreeMap;

use bytes::Bytes;
use eraft_core::{GroupId, SnapshotMeta, SnapshotWriter};
use fastrand::Rng;

use super::{
    Backend, Disk,
    driver::{self, Driver},
    history::History,
    journal::{Journal, Mark},
    steps::{self, Step},
};
use crate::{CLUSTER, NODE};

/// What a workload did, and what the store held after each save of it.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) journal: Journal,
    pub(super) history: History,
    /// The first inode that no file of it has.
    pub(super) next_inode: u64,
    /// How often each kind of thing was done.
    pub(super) kinds: BTreeMap<&'static str, usize>,
}

/// A snapshot on its way in.
struct Stage {
    group: GroupId,
    meta: SnapshotMeta,
    chunks: Vec<Bytes>,
    written: usize,
    writer: Box<dyn SnapshotWriter>,
}

struct Workload<'a> {
    driver: Driver<'a>,
    groups: Vec<GroupId>,
    random: Rng,
    stage: Option<Stage>,
    kinds: BTreeMap<&'static str, usize>,
}

/// Records a life of at least `operations` changes of the disk.
///
/// # Errors
/// What the store refused or lost without any crash.
pub(super) fn record(
    backend: &dyn Backend,
    groups: &[GroupId],
    operations: usize,
    seed: u64,
) -> Result<Recording, String> {
    let disk = Disk::new();
    let mut random = Rng::with_seed(seed);
    disk.mark(Mark::Note("initialise"));
    let created = backend.create(&disk, CLUSTER, NODE, random.u64(..));
    let identity = created.map_err(|error| format!("creating: {error}"))?;
    disk.mark(Mark::Created);
    let opened = backend.open(&disk, driver::expected(), random.u64(..));
    let opened = opened.and_then(|engine| driver::read(engine, groups));
    let driver::Found { engine, groups: found, .. } =
        opened.map_err(|error| format!("opening what was created: {error}"))?;
    let handles = found.into_iter().map(|(group, (handle, _))| (group, handle)).collect();
    let driver = Driver::new(backend, disk, engine, handles, History::blank(identity, groups));
    let kinds = BTreeMap::from([("initialise", 1)]);
    let mut workload = Workload { driver, groups: groups.to_vec(), random, stage: None, kinds };
    // Steps that write nothing are rare; the bound is against a store that never writes.
    for _ in 0..operations {
        if workload.driver.disk.operations() >= operations {
            break;
        }
        workload = workload.step()?;
    }
    let Workload { driver, stage, kinds, .. } = workload;
    drop(stage);
    let (journal, _) = driver.disk.look();
    let next_inode = driver.disk.next_inode();
    let _nothing_reaches_the_journal_any_more = driver.disk.kill();
    Ok(Recording { journal, history: driver.history, next_inode, kinds })
}

impl<'a> Workload<'a> {
    fn step(mut self) -> Result<Workload<'a>, String> {
        let told = |error: eraft_core::StorageError| error.to_string();
        let group = self.groups[self.random.usize(..self.groups.len())];
        match self.random.u8(..100) {
            0..70 => {
                let step = steps::any(&mut self.random, self.driver.history.newest(group));
                self.note(step.kind);
                self.driver.save(group, &step).map_err(told)?;
            }
            70..90 => self.stage(group).map_err(told)?,
            90..97 => self.batch().map_err(told)?,
            97..99 => self = self.again(true)?,
            _ => self = self.again(false)?,
        }
        Ok(self)
    }

    fn note(&mut self, kind: &'static str) {
        *self.kinds.entry(kind).or_default() += 1;
        self.driver.disk.mark(Mark::Note(kind));
    }

    fn batch(&mut self) -> eraft_core::Result<()> {
        let mut newest: BTreeMap<GroupId, crate::Model> =
            self.groups.iter().map(|group| (*group, self.driver.history.newest(*group).clone())).collect();
        let mut batch = Vec::new();
        for _ in 0..self.random.usize(2..6) {
            let group = self.groups[self.random.usize(..self.groups.len())];
            let step = steps::any(&mut self.random, &newest[&group]);
            if let Some(after) = step.after(&newest[&group]).filter(|_| step.publish.is_none()) {
                newest.insert(group, after);
                batch.push((group, step));
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.note("batch");
        self.driver.batch(&batch)
    }

    /// One step on with the stage that is open, or a new one.
    fn stage(&mut self, group: GroupId) -> eraft_core::Result<()> {
        let Some(mut stage) = self.stage.take() else {
            let Some(meta) = steps::meta_for(&mut self.random, self.driver.history.newest(group)) else {
                return Ok(());
            };
            self.note("stage");
            let writer = self.driver.begin_stage(group, &meta)?;
            let chunks = steps::content(&mut self.random);
            self.stage = Some(Stage { group, meta, chunks, written: 0, writer });
            return Ok(());
        };
        if let Some(chunk) = stage.chunks.get(stage.written) {
            driver::write(stage.writer.as_mut(), chunk.clone())?;
            stage.written += 1;
            self.stage = Some(stage);
            return Ok(());
        }
        let Stage { group, meta, chunks, writer, .. } = stage;
        match self.random.u8(..10) {
            0 => {
                self.note("abort");
                return driver::abort(writer);
            }
            1 => {
                self.note("abandon");
                return Ok(());
            }
            _ => {}
        }
        let staged = driver::finish(writer)?;
        let step: Step = steps::publish(&mut self.random, &meta, &chunks);
        // What it stands for may have been replaced meanwhile.
        if self.random.u8(..10) == 0 || step.after(self.driver.history.newest(group)).is_none() {
            self.note("discard");
            return self.driver.discard(group, staged);
        }
        self.note(step.kind);
        self.driver.save_staged(group, &step, Some(staged))
    }

    fn again(mut self, close: bool) -> Result<Workload<'a>, String> {
        self.note(if close { "close" } else { "kill" });
        let seed = self.random.u64(..);
        // A stage ends with its process; a killed one does nothing more.
        let stage = self.stage.take();
        if close {
            drop(stage);
            self.driver = self.driver.again(close, seed)?;
        } else {
            self.driver = self.driver.again(close, seed)?;
            drop(stage);
        }
        Ok(self)
    }
}
