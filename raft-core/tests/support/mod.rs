//! A member of a simulated cluster: a core, a disk that completes saves when told to, and what its driver would do.
//!
//! It does what a [`Ready`] says and nothing more, so whatever a test sees is the core's doing. It never decides when
//! something happens: the test completes saves, carries messages and crashes nodes.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use eraft_core::{
    ClusterId, ConfState, Config, Entry, EntryId, Event, Identity, LogChange, LogIndex, Message, MessageBody, NodeId,
    Now, ProposeOutcome, Raft, RaftState, RaftStateUpdate, ReadOutcome, Ready, Replicate, RequestId, Save,
    SnapshotMeta, Status, StoreId, bootstrap,
};

/// What a crash leaves behind.
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
    /// The core, unless the node is down.
    pub(crate) raft: Option<Raft>,
    /// Handed out, not yet durable.
    pub(crate) unsaved: VecDeque<Save>,
    /// The log as the driver's cache has it: durable or not.
    pub(crate) log: BTreeMap<LogIndex, Entry>,
    /// What the state machine holds.
    pub(crate) applied: Vec<Entry>,
    /// Whether it keeps that over a crash; else it begins anew at every start.
    pub(crate) keeps_applied: bool,
}

/// What one `ready` brought, with entries filled in.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) saves: Vec<Save>,
    pub(crate) messages: Vec<Message>,
    pub(crate) applied: Vec<Entry>,
    pub(crate) proposals: Vec<(RequestId, ProposeOutcome)>,
    pub(crate) reads: Vec<(RequestId, ReadOutcome)>,
}

/// A configuration of these voters.
pub(crate) fn voters(ids: &[u64]) -> ConfState {
    ConfState::of_voters(ids.iter().map(|id| (NodeId(*id), Bytes::new())))
}

impl Disk {
    /// A founder's: bootstrapped, nothing more.
    pub(crate) fn founded(node: NodeId, founders: &ConfState) -> Disk {
        let identity = Identity { cluster: ClusterId(1), node, store: StoreId(node.0) };
        let mut disk = Disk { state: RaftState::blank(identity), entries: BTreeMap::new() };
        disk.save(&Save { id: Default::default(), update: bootstrap(founders) });
        disk
    }

    /// A snapshot that ends with `snapshot` replaces what it must and what stands up to `base`, which is not beyond it.
    #[allow(dead_code, reason = "not every test compacts")]
    pub(crate) fn compact(&mut self, base: LogIndex, snapshot: LogIndex, conf_state: ConfState) {
        let id = |index| EntryId { term: self.state.outline.term(index).expect("it is in the log"), index };
        let meta = SnapshotMeta { last: id(snapshot), conf_state };
        let update = RaftStateUpdate { hard_state: None, log: LogChange::CompactTo(id(base)) };
        self.state.apply(&update, Some(&meta)).expect("a snapshot of what is committed");
    }

    /// What the snapshot was made of: `entries` keeps what the log has dropped, since tests look at it.
    fn snapshot_entries(&self) -> Vec<Entry> {
        let end = self.state.snapshot.as_ref().map_or(LogIndex::ZERO, |meta| meta.last.index);
        self.entries.range(..=end).map(|(_, entry)| entry.clone()).collect()
    }

    /// Makes a save durable, as the storage contract has it.
    pub(crate) fn save(&mut self, save: &Save) {
        self.state.apply(&save.update, None).expect("the core makes no invalid save");
        if let LogChange::Append(entries) = &save.update.log {
            replace(&mut self.entries, entries);
        }
    }
}

impl Machine {
    /// A member that is still down.
    pub(crate) fn new(config: Config, disk: Disk) -> Machine {
        let log = disk.entries.clone();
        Machine { config, disk, raft: None, unsaved: VecDeque::new(), log, applied: Vec::new(), keeps_applied: false }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.config.id
    }

    pub(crate) fn status(&self) -> Option<Status> {
        self.raft.as_ref().map(Raft::status)
    }

    /// Starts from what is durable.
    pub(crate) fn start(&mut self, now: Now) -> Output {
        assert!(self.raft.is_none(), "{} runs already", self.id());
        self.log = self.disk.entries.clone();
        if !self.keeps_applied {
            self.applied = self.disk.snapshot_entries();
        }
        let applied = LogIndex(self.applied.len() as u64);
        self.raft = Some(Raft::restore(self.config.clone(), self.disk.state.clone(), applied, now));
        self.ready(now, usize::MAX)
    }

    /// Loses everything in memory, and all saves under way but the first `kept`.
    pub(crate) fn crash(&mut self, kept: usize) {
        self.raft = None;
        for save in self.unsaved.drain(..).take(kept) {
            self.disk.save(&save);
        }
    }

    /// Steps one event.
    pub(crate) fn step(&mut self, now: Now, event: Event) {
        self.raft.as_mut().expect("the node runs").step(now, event);
    }

    /// Completes the oldest save, if any is under way.
    pub(crate) fn complete_save(&mut self, now: Now) -> bool {
        let Some(save) = self.unsaved.pop_front() else { return false };
        self.disk.save(&save);
        self.step(now, Event::Saved { id: save.id });
        true
    }

    /// Does what the core wants done; entries leave in messages of at most `batch`.
    pub(crate) fn ready(&mut self, now: Now, batch: usize) -> Output {
        let Ready { saves, messages, replicates, apply, proposals, reads, .. } =
            self.raft.as_mut().expect("the node runs").ready();
        for save in &saves {
            if let LogChange::Append(entries) = &save.update.log {
                replace(&mut self.log, entries);
            }
        }
        self.unsaved.extend(saves.iter().cloned());
        let mut output = Output { saves, messages, proposals, reads, ..Output::default() };
        for replicate in replicates {
            self.fill(replicate, batch, &mut output.messages);
        }
        if let Some(range) = apply {
            let end = range.end;
            output.applied = self.log.range(range).map(|(_, entry)| entry.clone()).collect();
            self.applied.extend(output.applied.iter().cloned());
            self.step(now, Event::Applied { index: end.prev() });
        }
        output
    }

    fn fill(&self, replicate: Replicate, batch: usize, messages: &mut Vec<Message>) {
        let Replicate { to, term, mut prev, range, commit, round } = replicate;
        let entries: Vec<Entry> = self.log.range(range).map(|(_, entry)| entry.clone()).collect();
        for entries in entries.chunks(batch) {
            let body = MessageBody::AppendEntries { prev, entries: entries.to_vec(), commit, round };
            messages.push(Message { from: self.id(), to, term, body });
            prev = entries.last().expect("chunks are not empty").id();
        }
    }
}

fn replace(log: &mut BTreeMap<LogIndex, Entry>, entries: &[Entry]) {
    if let Some(first) = entries.first() {
        log.split_off(&first.index);
    }
    log.extend(entries.iter().map(|entry| (entry.index, entry.clone())));
}
