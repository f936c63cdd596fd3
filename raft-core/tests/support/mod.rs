//! A member of a simulated cluster: a core, a disk that completes saves when told to, and what its driver would do.
//!
//! It does what a [`Ready`] says and nothing more, so whatever a test sees is the core's doing. It never decides when
//! something happens: the test completes saves, carries messages and crashes nodes.

pub(crate) mod store;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use eraft_core::{
    ClusterId, ConfState, Config, Entry, EntryId, Event, Identity, LogChange, LogIndex, Message, MessageBody, NodeId,
    Now, ProposeOutcome, Raft, RaftState, RaftStateUpdate, ReadOutcome, Ready, Replicate, RequestId, Save,
    SendSnapshot, SnapshotMeta, StagedSnapshot, Status, StoreId, Term, bootstrap,
};

use store::{Failed, Memory, Store};

/// What a snapshot is made of here: all entries that lead to it.
pub(crate) type Entries = Vec<Entry>;

/// What the saves that have completed made. `entries` also holds those that the log has dropped, since the snapshot holds them.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) state: RaftState,
    pub(crate) entries: BTreeMap<LogIndex, Entry>,
}

/// One member.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) config: Config,
    pub(crate) disk: Disk,
    /// Where the saves really go.
    pub(crate) store: Box<dyn Store>,
    /// The core, unless the node is down.
    pub(crate) raft: Option<Raft>,
    /// Handed out, not yet durable; after a crash, those that may turn out to be.
    pub(crate) unsaved: VecDeque<Save>,
    /// The log as the driver's cache has it: durable or not.
    pub(crate) log: BTreeMap<LogIndex, Entry>,
    /// What the state machine holds.
    pub(crate) applied: Vec<Entry>,
    /// Whether it keeps that over a crash; else it begins anew at every start.
    pub(crate) keeps_applied: bool,
    /// What staged snapshots were made of.
    pub(crate) stages: BTreeMap<String, Entries>,
    /// What the state machine is being restored from.
    pub(crate) restoring: Option<SnapshotMeta>,
}

/// A snapshot on its way to another member.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotTransfer {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) term: Term,
    pub(crate) meta: SnapshotMeta,
    pub(crate) entries: Entries,
}

/// What one `ready` brought, with entries filled in.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) saves: Vec<Save>,
    pub(crate) messages: Vec<Message>,
    pub(crate) applied: Vec<Entry>,
    pub(crate) proposals: Vec<(RequestId, ProposeOutcome)>,
    pub(crate) reads: Vec<(RequestId, ReadOutcome)>,
    pub(crate) restore: Option<SnapshotMeta>,
    pub(crate) transfers: Vec<SnapshotTransfer>,
    pub(crate) discard: Vec<StagedSnapshot>,
}

/// A configuration of these voters.
pub(crate) fn voters(ids: &[u64]) -> ConfState {
    ConfState::of_voters(ids.iter().map(|id| (NodeId(*id), Bytes::new())))
}

impl Disk {
    /// A founder's: bootstrapped, nothing more.
    pub(crate) fn founded(node: NodeId, founders: &ConfState) -> Disk {
        Disk::founded_as(Identity { cluster: ClusterId(1), node, store: StoreId(node.0) }, founders)
    }

    /// The same for a store that has its identity already.
    pub(crate) fn founded_as(identity: Identity, founders: &ConfState) -> Disk {
        let mut disk = Disk { state: RaftState::blank(identity), entries: BTreeMap::new() };
        disk.save(&Save { id: Default::default(), update: bootstrap(founders), snapshot: None }, &[]);
        disk
    }

    /// A snapshot that ends with `snapshot` replaces what it must and what stands up to `base`, which is not beyond it.
    pub(crate) fn compact(&mut self, base: LogIndex, snapshot: LogIndex, conf_state: ConfState) {
        let id = |index| EntryId { term: self.state.outline.term(index).expect("it is in the log"), index };
        let meta = SnapshotMeta { last: id(snapshot), conf_state };
        let update = RaftStateUpdate { hard_state: None, log: LogChange::CompactTo(id(base)) };
        self.state.apply(&update, Some(&meta)).expect("a snapshot of what is committed");
    }

    /// What the snapshot was made of.
    pub(crate) fn snapshot_entries(&self) -> Entries {
        let end = self.state.snapshot.as_ref().map_or(LogIndex::ZERO, |meta| meta.last.index);
        self.entries.range(..=end).map(|(_, entry)| entry.clone()).collect()
    }

    /// Makes a save durable, as the storage contract has it; the snapshot that it publishes was made of `stage`.
    pub(crate) fn save(&mut self, save: &Save, stage: &[Entry]) {
        let publish = save.snapshot.as_ref().map(|staged| &staged.meta);
        self.state.apply(&save.update, publish).expect("the core makes no invalid save");
        if let Some(hard_state) = save.update.hard_state {
            let snapshot = publish.map_or(LogIndex::ZERO, |meta| meta.last.index);
            assert!(snapshot <= hard_state.commit, "a snapshot at {snapshot} is saved with {hard_state:?}");
        }
        change(&mut self.entries, &save.update.log, stage);
    }
}

impl Machine {
    /// A member that is still down, and keeps what it must in memory.
    pub(crate) fn new(config: Config, disk: Disk) -> Machine {
        Machine::on(Box::new(Memory::obedient()), config, disk)
    }

    /// A member that is still down, whose store holds what `disk` says.
    pub(crate) fn on(store: Box<dyn Store>, config: Config, disk: Disk) -> Machine {
        let log = disk.entries.clone();
        Machine {
            config,
            disk,
            store,
            raft: None,
            unsaved: VecDeque::new(),
            log,
            applied: Vec::new(),
            keeps_applied: false,
            stages: BTreeMap::new(),
            restoring: None,
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.config.id
    }

    pub(crate) fn status(&self) -> Option<Status> {
        self.raft.as_ref().map(Raft::status)
    }

    /// Finds out which of the saves under way at the crash were made: those that were not, or `None` where the store does
    /// not open.
    pub(crate) fn reopen(&mut self) -> Option<Vec<Save>> {
        let mut after = vec![self.disk.clone()];
        for save in &self.unsaved {
            let mut disk = after[after.len() - 1].clone();
            disk.save(save, stage_of(&self.stages, save));
            after.push(disk);
        }
        let made = self.store.reopen(&after)?;
        self.disk = after.swap_remove(made);
        self.stages.clear();
        Some(self.unsaved.drain(..).skip(made).collect())
    }

    /// Starts from what is durable.
    pub(crate) fn start(&mut self, now: Now) -> Output {
        self.reopen().expect("memory opens");
        self.start_opened(now)
    }

    /// Starts, once its store was opened again.
    pub(crate) fn start_opened(&mut self, now: Now) -> Output {
        assert!(self.raft.is_none(), "{} runs already", self.id());
        self.log = self.disk.entries.clone();
        if !self.keeps_applied {
            self.applied = Vec::new();
        }
        let applied = LogIndex(self.applied.len() as u64);
        self.raft = Some(Raft::restore(self.config.clone(), self.disk.state.clone(), applied, now));
        self.ready(now, usize::MAX)
    }

    /// Loses everything in memory, and all saves under way but the first `kept`.
    pub(crate) fn crash(&mut self, kept: usize) {
        self.raft = None;
        self.restoring = None;
        self.unsaved.truncate(kept);
    }

    /// Steps one event.
    pub(crate) fn step(&mut self, now: Now, event: Event) {
        self.raft.as_mut().expect("the node runs").step(now, event);
    }

    /// Completes the oldest save, if any is under way.
    pub(crate) fn complete_save(&mut self, now: Now) -> bool {
        let any = !self.unsaved.is_empty();
        self.complete_saves(now, usize::from(any)).expect("memory does not fail");
        any
    }

    /// Completes the oldest `saves` that are under way.
    pub(crate) fn complete_saves(&mut self, now: Now, saves: usize) -> Result<(), Failed> {
        if saves == 0 {
            return Ok(());
        }
        self.store.complete(saves)?;
        for save in self.unsaved.drain(..saves).collect::<Vec<Save>>() {
            self.disk.save(&save, stage_of(&self.stages, &save));
            self.step(now, Event::Saved { id: save.id });
        }
        self.store.look(&self.disk);
        Ok(())
    }

    /// Does what the core wants done; entries leave in messages of at most `batch`.
    pub(crate) fn ready(&mut self, now: Now, batch: usize) -> Output {
        let Ready { saves, messages, replicates, apply, proposals, reads, restore, send_snapshots, discard } =
            self.raft.as_mut().expect("the node runs").ready();
        for save in &saves {
            change(&mut self.log, &save.update.log, stage_of(&self.stages, save));
            self.store.save(save);
        }
        self.unsaved.extend(saves.iter().cloned());
        let mut output = Output { saves, messages, proposals, reads, discard, ..Output::default() };
        for staged in &output.discard {
            assert!(self.stages.remove(&staged.id).is_some(), "{staged:?} is discarded twice, or was published");
            self.store.discard(staged);
        }
        for SendSnapshot { to, term } in send_snapshots {
            let (meta, entries) = self.store.read_snapshot(&self.disk);
            output.transfers.push(SnapshotTransfer { from: self.id(), to, term, meta, entries });
        }
        if let Some(meta) = restore {
            let published = self.disk.state.snapshot.as_ref().map(|meta| meta.last.index);
            assert!(published >= Some(meta.last.index), "{} is restored before it is published", meta.last);
            self.restoring = Some(meta.clone());
            output.restore = Some(meta);
        }
        for replicate in replicates {
            self.fill(replicate, batch, &mut output.messages);
        }
        if let Some(range) = apply {
            let end = range.end;
            assert_eq!(self.restoring, None, "{} applies {range:?} before it is restored", self.id());
            assert_eq!(range.start.0, self.applied.len() as u64 + 1, "{} applies out of order", self.id());
            output.applied = self.log.range(range).map(|(_, entry)| entry.clone()).collect();
            self.applied.extend(output.applied.iter().cloned());
            self.step(now, Event::Applied { index: end.prev() });
        }
        output
    }

    /// Stages what a snapshot of `meta` is made of, where nothing fails.
    pub(crate) fn stage(&mut self, meta: SnapshotMeta, entries: Entries) -> StagedSnapshot {
        self.try_stage(meta, entries).expect("memory does not fail")
    }

    pub(crate) fn try_stage(&mut self, meta: SnapshotMeta, entries: Entries) -> Result<StagedSnapshot, Failed> {
        let staged = self.store.stage(&meta, &entries)?;
        self.stages.insert(staged.id.clone(), entries);
        Ok(staged)
    }

    /// Takes a snapshot of the state after `index`, if the core has use for it.
    pub(crate) fn take_snapshot(&mut self, index: LogIndex) -> Option<StagedSnapshot> {
        self.try_take_snapshot(index)?.ok()
    }

    pub(crate) fn try_take_snapshot(&mut self, index: LogIndex) -> Option<Result<StagedSnapshot, Failed>> {
        let meta = self.raft.as_ref()?.snapshot_meta(index)?;
        let held = self.applied.iter().take_while(|entry| entry.index <= index).cloned().collect();
        Some(self.try_stage(meta, held))
    }

    /// The state machine has been restored from whatever is published.
    pub(crate) fn complete_restore(&mut self, now: Now) -> bool {
        if self.restoring.take().is_none() {
            return false;
        }
        self.applied = self.store.read_snapshot(&self.disk).1;
        self.step(now, Event::Applied { index: LogIndex(self.applied.len() as u64) });
        true
    }

    fn fill(&self, replicate: Replicate, batch: usize, messages: &mut Vec<Message>) {
        let Replicate { to, term, mut prev, range, commit, round } = replicate;
        let base = self.raft.as_ref().expect("the node runs").status().base;
        assert!(range.start > base.index, "{range:?} is to be sent, which the log has dropped");
        let entries: Vec<Entry> = self.log.range(range).map(|(_, entry)| entry.clone()).collect();
        for entries in entries.chunks(batch) {
            let body = MessageBody::AppendEntries { prev, entries: entries.to_vec(), commit, round };
            messages.push(Message { from: self.id(), to, term, body });
            prev = entries.last().expect("chunks are not empty").id();
        }
    }
}

fn stage_of<'a>(stages: &'a BTreeMap<String, Entries>, save: &Save) -> &'a [Entry] {
    save.snapshot.as_ref().map_or(&[], |staged| &stages[&staged.id])
}

/// What a save does to a log that keeps what is dropped.
fn change(log: &mut BTreeMap<LogIndex, Entry>, by: &LogChange, stage: &[Entry]) {
    match by {
        LogChange::Append(entries) => replace(log, entries),
        LogChange::Reset { .. } => *log = stage.iter().map(|entry| (entry.index, entry.clone())).collect(),
        LogChange::Keep | LogChange::CompactTo(_) => {
            let held = |entry: &Entry| log.get(&entry.index) == Some(entry);
            assert!(stage.iter().all(held), "a snapshot that contradicts the log keeps it");
        }
    }
}

fn replace(log: &mut BTreeMap<LogIndex, Entry>, entries: &[Entry]) {
    if let Some(first) = entries.first() {
        log.split_off(&first.index);
    }
    log.extend(entries.iter().map(|entry| (entry.index, entry.clone())));
}
