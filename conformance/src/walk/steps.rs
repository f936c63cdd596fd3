//! Doing a walk: each operation on store and models, and the comparison of the two.
//!
//! Nothing here panics for what a store does: a walk that fails is tried again and again, and says why in a word.

use std::{panic::AssertUnwindSafe, time::Duration};

use eraft_core::{GroupId, Result, StorageErrorKind};
use futures_util::{FutureExt as _, StreamExt as _};

use super::{
    Fault, Operation, Ordeals,
    group::{self, Group, Reading},
    operation::{Change, GiveUp, Vote, Wrong},
};
use crate::{Content, Crash, Lab, Model, make::*, run::message};

/// After this a walk counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(250);
/// How large the entry is on which a fault is met.
const FAULTY_BYTES: usize = 300;

/// What became of a walk.
pub(super) struct Attempt {
    /// How many of its operations were begun.
    pub(super) begun: usize,
    /// What was done, in words.
    pub(super) trace: Vec<String>,
    /// Why store and model do not agree.
    pub(super) outcome: Step,
}

type Step = std::result::Result<(), String>;

struct Walk<'a> {
    lab: &'a mut Lab,
    groups: Vec<Group>,
    trace: &'a mut Vec<String>,
}

/// Goes the whole way, on a new store.
pub(super) async fn attempt(lab: &mut Lab, ordeals: &Ordeals, operations: &[Operation]) -> Attempt {
    let (mut begun, mut trace) = (0, Vec::new());
    let go = async {
        let mut walk = Walk::begin(lab, ordeals, &mut trace).await?;
        for operation in operations {
            begun += 1;
            walk.step(operation).await?;
        }
        walk.wait().await
    };
    let ended = tokio::time::timeout(STUCK_AFTER, AssertUnwindSafe(go).catch_unwind()).await;
    let outcome = match ended {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(format!("a panic: {}", message(&*panic))),
        Err(_) => Err(format!("stuck: nothing more happened within {STUCK_AFTER:?}")),
    };
    Attempt { begun, trace, outcome }
}

impl<'a> Walk<'a> {
    async fn begin(
        lab: &'a mut Lab,
        ordeals: &Ordeals,
        trace: &'a mut Vec<String>,
    ) -> std::result::Result<Walk<'a>, String> {
        let mut storage = Some(lab.fresh().await);
        let mut groups = Vec::new();
        for id in 0..ordeals.groups {
            let storage = match storage.take() {
                Some(first) => first,
                None => told("the handle of a group", lab.engine().group(GroupId(id)).await)?,
            };
            groups.push(Group::new(storage, lab.blank_model()));
        }
        Ok(Walk { lab, groups, trace })
    }

    async fn step(&mut self, operation: &Operation) -> Step {
        match *operation {
            Operation::Wait => self.wait().await,
            Operation::Save { group, change, vote } => self.save(group, change, vote).await,
            Operation::Refused { group, wrong } => self.refused(group, wrong).await,
            Operation::Read { group, back, max_bytes } => self.read(group, back, max_bytes).await,
            Operation::OpenReader { group } => self.open_reader(group).await,
            Operation::GiveUp { group, chunks, how } => self.give_up(group, chunks, how).await,
            Operation::Reopen => self.reopen().await,
            Operation::Crash { crash, awaited } => self.crash(crash, awaited).await,
            Operation::Fault { fault, crash } => self.fault(fault, crash).await,
        }
    }

    fn say(&mut self, words: impl Into<String>) {
        self.trace.push(words.into());
    }

    fn group(&mut self, id: u64) -> &mut Group {
        &mut self.groups[id as usize]
    }

    async fn save(&mut self, id: u64, change: Change, vote: Option<Vote>) -> Step {
        let group = self.group(id);
        let Some(planned) = group.plan(change, vote) else { return Ok(()) };
        let mut model = group.newest().clone();
        let content = planned.publish.as_ref().map(|(content, _)| content);
        model.apply(&planned.update, content).expect("a walk's own save is valid");
        let storage = group.storage.clone();
        self.say(format!("group {id}: {}", planned.words));
        let receipt = match planned.publish {
            None => storage.save_raft_state(planned.update),
            Some((Content { meta, .. }, chunks)) => {
                let staged = told("staging", stage(&storage, meta, &chunks).await)?;
                storage.save_state_and_snapshot(planned.update, staged)
            }
        };
        let group = self.group(id);
        group.history.push(model);
        group.receipts.push(receipt);
        Ok(())
    }

    async fn refused(&mut self, id: u64, wrong: Wrong) -> Step {
        self.say(format!("group {id}: a save that is not valid: {wrong:?}"));
        let group = self.group(id);
        match group.storage.save_raft_state(group.wrong(wrong)).await {
            Err(error) if error.kind() == StorageErrorKind::Invalid => self.agreed(),
            other => Err(format!("{wrong:?}: expected Invalid, found {other:?}")),
        }
    }

    /// State and entries are what they were after some save of which it is not known that a later one is durable; and the
    /// entries, which are read later, not those of an earlier save.
    async fn read(&mut self, id: u64, back: u64, max_bytes: u64) -> Step {
        let group = self.group(id);
        let last = group.newest().state.outline.last_index();
        let start = eraft_core::LogIndex(last.0.saturating_sub(back));
        let words = format!("group {id}: reads the state, and entries from {start} on, up to {max_bytes} bytes");
        let (storage, least) = (group.storage.clone(), group.acknowledged());
        self.say(words);
        let state = told("reading the state", storage.read_raft_state().await)?;
        let entries = match storage.read_entries(start..eraft_core::LogIndex(u64::MAX), max_bytes).await {
            Err(error) if error.kind() == StorageErrorKind::Compacted => None,
            other => Some(told("reading entries", other)?),
        };
        let history = &self.group(id).history;
        let Some(at) = (least..history.len()).find(|at| history[*at].state == state) else {
            return Err(format!(
                "{state:?} is the state after no save that may be shown; the newest: {:?}",
                history.last()
            ));
        };
        match history[at..].iter().any(|model| group::read(model, start, max_bytes) == entries) {
            true => self.agreed(),
            false => Err(format!("these entries are those after no save that may be shown: {entries:?}")),
        }
    }

    async fn open_reader(&mut self, id: u64) -> Step {
        self.say(format!("group {id}: opens a reader"));
        let storage = self.group(id).storage.clone();
        let reader = told("opening a reader", storage.read_snapshot().await)?;
        let group = self.group(id);
        let allowed = &group.history[group.acknowledged()..];
        let Some(mut reader) = reader else {
            let none = allowed.iter().any(|model| model.snapshot.is_none());
            return if none { self.agreed() } else { Err("there is no snapshot to read".to_owned()) };
        };
        let mut published = allowed.iter().filter_map(|model| model.snapshot.as_ref());
        let Some(content) = published.rfind(|content| content.meta == reader.meta).cloned() else {
            return Err(format!("a reader of {:?}, which is not published", reader.meta));
        };
        let first = reader.chunks.next().await.transpose();
        let read = told("reading a snapshot", first)?.unwrap_or_default().to_vec();
        group.reader = Some(Reading { content, reader, read });
        Ok(())
    }

    async fn give_up(&mut self, id: u64, count: usize, how: GiveUp) -> Step {
        self.say(format!("group {id}: stages {count} chunks, and gives up: {how:?}"));
        let group = self.group(id);
        let last = group.newest().state.outline.last();
        let storage = group.storage.clone();
        let mut writer = told("staging", storage.stage_snapshot(meta(last.term.0.max(1), last.index.0.max(1))).await)?;
        for chunk in chunks(7, count, 900) {
            told("writing to a stage", writer.write(chunk).await)?;
        }
        match how {
            GiveUp::Drop => drop(writer),
            GiveUp::Abort => told("aborting a stage", writer.abort().await)?,
            GiveUp::Discard => {
                let staged = told("finishing a stage", writer.finish().await)?;
                told("discarding", storage.discard_snapshot(staged).await)?;
            }
        }
        Ok(())
    }

    /// Waits for everything: every group shows its newest state, and what is being read comes to its end.
    async fn wait(&mut self) -> Step {
        self.say("all receipts are awaited");
        self.all_done().await?;
        for id in 0..self.groups.len() {
            let group = &mut self.groups[id];
            if let Some(Reading { content, reader, mut read }) = group.reader.take() {
                let mut chunks = reader.chunks;
                while let Some(chunk) = chunks.next().await {
                    read.extend_from_slice(&told("reading a snapshot that was opened before", chunk)?);
                }
                if read != content.bytes {
                    return Err(format!("group {id}: a reader of {:?} gave other bytes than it holds", content.meta));
                }
            }
            let size_bytes = group.newest().snapshot.as_ref().map_or(0, |content| content.bytes.len() as u64);
            if group.storage.snapshot_size() != size_bytes {
                let found = group.storage.snapshot_size();
                return Err(format!("group {id}: the snapshot's size: expected {size_bytes}, found {found}"));
            }
        }
        self.show_newest().await
    }

    async fn reopen(&mut self) -> Step {
        self.say("closed, and opened again");
        told("closing", self.lab.try_close().await)?;
        self.all_done().await?;
        self.open().await?;
        self.show_newest().await
    }

    async fn crash(&mut self, crash: Crash, awaited: usize) -> Step {
        let unawaited: Vec<usize> = self.groups.iter().map(|group| group.receipts.len()).collect();
        let awaited: Vec<usize> = unawaited.into_iter().map(|many| many.min(awaited)).collect();
        self.say(format!("of each group the first {awaited:?} receipts are awaited"));
        for (group, awaited) in self.groups.iter_mut().zip(awaited) {
            for receipt in group.receipts.drain(..awaited) {
                told("a save", receipt.await)?;
            }
        }
        self.come_back(crash).await
    }

    /// The call fails, so some save does; with it fails every later one, and says so; and what had succeeded stays.
    async fn fault(&mut self, fault: Fault, crash: Crash) -> Step {
        // What a save does once it is durable, such as removing what it replaced, may fail and harm nothing: none is under way.
        self.all_done().await?;
        match fault {
            Fault::Sync => {
                self.say("the next sync fails");
                self.lab.env().fail_next_sync().await;
            }
            Fault::Write => {
                self.say("the next write fails");
                self.lab.env().fail_next_write().await;
            }
        }
        let change = Change::Append { back: 0, count: 1, size_bytes: FAULTY_BYTES, new_term: false, configs: false };
        for id in 0..self.groups.len() as u64 {
            self.save(id, change, None).await?;
        }
        let mut failures = 0;
        for (id, group) in self.groups.iter_mut().enumerate() {
            let mut failed = None;
            let waiting = std::mem::take(&mut group.receipts).into_iter();
            for receipt in waiting {
                match (receipt.await, &failed) {
                    (Ok(()), None) => {}
                    (Ok(()), Some(first)) => {
                        return Err(format!("group {id}: a save succeeded behind one that failed: {first}"));
                    }
                    (Err(error), _) if error.kind() == StorageErrorKind::Invalid => return Err(error.to_string()),
                    (Err(error), _) => {
                        failures += 1;
                        failed.get_or_insert(error);
                        // What failed may have come to the disk.
                        group.receipts.push(eraft_core::Receipt::resolved(Ok(())));
                    }
                }
            }
        }
        if failures == 0 {
            return Err(format!("no save failed, though a {fault:?} was made to"));
        }
        for (id, group) in self.groups.iter_mut().enumerate() {
            match group.storage.save_raft_state(set(voted(u64::MAX, 0))).await {
                Err(error) if error.kind() == StorageErrorKind::Poisoned => {}
                other => {
                    return Err(format!("group {id}, a save after the failure: expected Poisoned, found {other:?}"));
                }
            }
        }
        self.come_back(crash).await
    }

    /// Crashes and opens: each group shows the state after some save, and none before the newest acknowledged one.
    async fn come_back(&mut self, crash: Crash) -> Step {
        self.say(match crash {
            Crash::Kill => "killed, and opened again",
            Crash::PowerLoss => "the power cut, and opened again",
        });
        self.lab.crash_only(crash).await;
        self.open().await?;
        for id in 0..self.groups.len() {
            let group = &mut self.groups[id];
            let found = told("reading after the crash", Model::read(&group.storage).await)?;
            let shown = group.history.iter().rposition(|model| model.difference(&found).is_none());
            let Some(shown) = shown.filter(|shown| *shown >= group.acknowledged()) else {
                let newest = group.newest().difference(&found).unwrap_or_default();
                return Err(match shown {
                    Some(_) => format!("group {id}: an acknowledged save is gone; against the newest: {newest}"),
                    None => format!("group {id} shows the state after no save; against the newest: {newest}"),
                });
            };
            group.settle(shown);
            self.agreed()?;
        }
        Ok(())
    }

    /// Every receipt says that its save is done.
    async fn all_done(&mut self) -> Step {
        for (id, group) in self.groups.iter_mut().enumerate() {
            for receipt in group.receipts.drain(..) {
                receipt.await.map_err(|error| format!("group {id}: a save failed: {error}"))?;
            }
            group.settle(group.history.len() - 1);
        }
        Ok(())
    }

    async fn open(&mut self) -> Step {
        self.groups.iter_mut().for_each(|group| group.reader = None);
        let mut storage = Some(told("opening", self.lab.try_open().await)?);
        for (id, group) in self.groups.iter_mut().enumerate() {
            group.storage = match storage.take() {
                Some(first) => first,
                None => told("the handle of a group", self.lab.engine().group(GroupId(id as u64)).await)?,
            };
        }
        Ok(())
    }

    async fn show_newest(&mut self) -> Step {
        for id in 0..self.groups.len() {
            let storage = self.groups[id].storage.clone();
            let found = told("reading", Model::read(&storage).await)?;
            if let Some(difference) = self.groups[id].newest().difference(&found) {
                return Err(format!("group {id}: {difference}"));
            }
            self.agreed()?;
        }
        Ok(())
    }

    /// Counts a comparison that held.
    fn agreed(&self) -> Step {
        self.lab.holds("store and model", true, String::new);
        Ok(())
    }
}

/// What a call that had to succeed gave.
fn told<T>(what: &str, outcome: Result<T>) -> std::result::Result<T, String> {
    outcome.map_err(|error| format!("{what}: {error}"))
}
