//! The wrong store's engine: a queue, a committer that writes and syncs one batch at a time, and a poison.
//!
//! Between the write and the sync of a batch the committer gives way, so that a crash may come between them: it stops at
//! the very step that the crash has chosen, whatever else the machine is doing.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use eraft_core::{
    Completion, Expected, GroupId, Identity, LogChange, RaftState, RaftStateUpdate, Receipt, Result, SnapshotMeta,
    StagedSnapshot, Storage, StorageError, StorageErrorKind,
};

use super::{
    Bug,
    disk::{Disk, Fate, File, Image, Kept, Line, Published, Record},
    recovery::{self, digest},
    storage::Handle,
};
use crate::Engine;

/// Saves that one line takes.
const MAX_BATCH_SAVES: usize = 16;
/// Lines after which all of them are replaced by one checkpoint.
const MAX_LINES: usize = 24;

/// How often the committer gives way while it syncs: most crashes come then.
const SYNC_STEPS: usize = 4;

/// A save on its way.
struct Queued {
    record: Record,
    completion: Completion,
}

/// What the engine knows of one group.
pub(super) struct Group {
    /// What its saves come to, queued ones included.
    queued: RaftState,
    /// What reads see.
    pub(super) visible: Image,
    pub(super) size_at_open: u64,
    /// Bytes of entries that were replaced.
    pub(super) replaced_bytes: u64,
}

/// An open store.
pub(super) struct Inner {
    pub(super) disk: Arc<Mutex<Disk>>,
    epoch: u64,
    pub(super) bug: Option<Bug>,
    identity: Identity,
    pub(super) groups: BTreeMap<GroupId, Group>,
    queue: VecDeque<Queued>,
    /// Written, and waiting for its sync.
    under_way: Vec<Queued>,
    committing: bool,
    poison: Option<StorageError>,
    poisoned_group: Option<GroupId>,
    closed: bool,
    handles: BTreeSet<GroupId>,
    /// Finished and not yet published or discarded.
    stages: BTreeMap<String, (GroupId, Published)>,
    /// How many this opening has finished.
    stages_finished: u64,
    pub(super) staged_last: Option<Published>,
}

pub(super) type Shared = Arc<Mutex<Inner>>;

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gone() -> StorageError {
    StorageError::new(StorageErrorKind::Io, "reaching the store", "its process has ended")
}

/// The engine as the suite opens it.
pub(super) struct WrongEngine {
    shared: Shared,
}

impl WrongEngine {
    pub(super) fn open(disk: &Arc<Mutex<Disk>>, expected: Expected, bug: Option<Bug>) -> Result<WrongEngine> {
        let mut on_disk = lock(disk);
        let found = recovery::open(&mut on_disk, expected, bug)?;
        let group = |image: Image| Group {
            queued: image.state.clone(),
            size_at_open: image.size_bytes(),
            visible: image,
            replaced_bytes: 0,
        };
        let inner = Inner {
            disk: Arc::clone(disk),
            epoch: on_disk.epoch,
            bug,
            identity: found.identity,
            groups: found.images.into_iter().map(|(id, image)| (id, group(image))).collect(),
            queue: VecDeque::new(),
            under_way: Vec::new(),
            committing: false,
            poison: None,
            poisoned_group: None,
            closed: false,
            handles: BTreeSet::new(),
            stages: BTreeMap::new(),
            stages_finished: 0,
            staged_last: None,
        };
        Ok(WrongEngine { shared: Arc::new(Mutex::new(inner)) })
    }
}

#[async_trait]
impl Engine for WrongEngine {
    async fn group(&self, id: GroupId) -> Result<Arc<dyn Storage>> {
        let mut inner = lock(&self.shared);
        inner.alive()?;
        if !inner.handles.insert(id) && inner.bug != Some(Bug::SecondHandleAdmitted) {
            return Err(StorageError::new(StorageErrorKind::Locked, "opening a group", format!("group {id} is open")));
        }
        let blank = Image::blank(inner.identity);
        inner.groups.entry(id).or_insert_with(|| Group {
            queued: blank.state.clone(),
            visible: blank,
            size_at_open: 0,
            replaced_bytes: 0,
        });
        Ok(Arc::new(Handle::new(&self.shared, id)))
    }

    async fn groups(&self) -> Result<Vec<GroupId>> {
        let inner = lock(&self.shared);
        inner.alive()?;
        let used = inner.groups.iter().filter(|(_, group)| !group.visible.state.is_blank());
        Ok(used.map(|(id, _)| *id).collect())
    }

    async fn close(&self) -> Result<()> {
        if lock(&self.shared).bug == Some(Bug::ClosingDropsWhatIsQueued) {
            lock(&self.shared).queue.clear();
        }
        idle(&self.shared).await;
        let mut inner = lock(&self.shared);
        inner.alive()?;
        inner.closed = true;
        let mut disk = lock(&inner.disk);
        disk.sealed = inner.poison.is_none();
        disk.locked = false;
        inner.poison.as_ref().map_or(Ok(()), |first| Err(first.poisoned()))
    }
}

/// Waits until nothing is queued or under way.
pub(super) async fn idle(shared: &Shared) {
    while lock(shared).committing {
        tokio::task::yield_now().await;
    }
}

/// Commits until nothing is queued.
async fn commit_all(shared: Shared) {
    while lock(&shared).write_batch() {
        for _ in 0..SYNC_STEPS {
            give_way(&shared).await;
        }
        lock(&shared).sync_batch();
        give_way(&shared).await;
    }
}

/// One step; a crash may come before the next.
async fn give_way(shared: &Shared) {
    lock(&lock(shared).disk).step();
    loop {
        tokio::task::yield_now().await;
        let inner = lock(shared);
        if inner.alive().is_err() || !lock(&inner.disk).has_stopped() {
            break;
        }
    }
}

impl Inner {
    /// Whether this process still is one.
    pub(super) fn alive(&self) -> Result<()> {
        if self.closed || lock(&self.disk).epoch != self.epoch { Err(gone()) } else { Ok(()) }
    }

    pub(super) fn give_back(&mut self, id: GroupId) {
        self.handles.remove(&id);
    }

    /// Judges a save, and queues it.
    pub(super) fn submit(
        shared: &Shared,
        id: GroupId,
        update: RaftStateUpdate,
        snapshot: Option<&StagedSnapshot>,
    ) -> Result<Receipt> {
        let mut inner = lock(shared);
        inner.alive()?;
        let spared = inner.bug == Some(Bug::PoisonStopsAtTheGroup) && inner.poisoned_group != Some(id);
        if let Some(first) = inner.poison.as_ref().filter(|_| !spared) {
            return Err(match inner.bug {
                Some(Bug::PoisonForgetsItsCause) => {
                    StorageError::new(StorageErrorKind::Poisoned, "saving", "the store has failed")
                }
                _ => first.poisoned(),
            });
        }
        let publish = snapshot.map(|staged| inner.staged(id, staged)).transpose()?;
        inner.judge(id, &update, publish.as_ref().map(|published| &published.meta))?;
        if let Some(staged) = snapshot
            && inner.bug != Some(Bug::PublishesTwice)
        {
            inner.stages.remove(&staged.id);
        }
        let (completion, receipt) = Receipt::pending();
        inner.queue.push_back(Queued { record: Record { group: id, update, publish }, completion });
        if !std::mem::replace(&mut inner.committing, true) {
            lock(&inner.disk).at_work = true;
            tokio::spawn(commit_all(Arc::clone(shared)));
        }
        Ok(receipt)
    }

    fn judge(&mut self, id: GroupId, update: &RaftStateUpdate, publish: Option<&SnapshotMeta>) -> Result<()> {
        let bug = self.bug;
        let group = self.groups.get_mut(&id).ok_or_else(gone)?;
        let against = if bug == Some(Bug::JudgedAgainstWhatIsDurable) { &group.visible.state } else { &group.queued };
        if let Err(invalid) = against.check(update, publish) {
            match bug {
                Some(Bug::InvalidPoisons) => self.poison = Some(invalid.clone()),
                Some(Bug::InvalidLeavesItsHardState) => {
                    let hard_state = update.hard_state.unwrap_or(group.queued.hard_state);
                    group.queued.hard_state = hard_state;
                    group.visible.state.hard_state = hard_state;
                }
                _ => {}
            }
            return Err(invalid);
        }
        // Judged against the wrong state it may contradict the right one.
        drop(group.queued.apply(update, publish));
        Ok(())
    }

    fn staged(&self, id: GroupId, staged: &StagedSnapshot) -> Result<Published> {
        let found = self.stages.get(&staged.id);
        let found = found.filter(|(group, _)| *group == id || self.bug == Some(Bug::StagesSharedByGroups));
        found.map(|(_, published)| published.clone()).ok_or_else(|| {
            StorageError::invalid(format!("no snapshot {} is staged in group {id}: stage it anew", staged.id))
        })
    }

    /// Writes one line of what is queued; nothing is left to write when it says no.
    fn write_batch(&mut self) -> bool {
        let many = self.queue.len().min(MAX_BATCH_SAVES);
        self.under_way = self.queue.drain(..many).collect();
        if self.under_way.is_empty() {
            self.committing = false;
            if self.alive().is_ok() {
                lock(&self.disk).at_work = false;
            }
            return false;
        }
        let spared = self.bug == Some(Bug::PoisonStopsAtTheGroup);
        let stopped =
            self.alive().err().or_else(|| self.poison.as_ref().filter(|_| !spared).map(StorageError::poisoned));
        if let Some(error) = stopped {
            self.fail_batch(&error);
            return true;
        }
        let mut disk = lock(&self.disk);
        disk.sealed = false;
        let written = disk.write();
        if written.is_ok() {
            let records = self.under_way.iter().map(|queued| queued.record.clone()).collect();
            let lines = super::bugs::lines(records, self.bug);
            disk.journal.iter_mut().for_each(|journal| journal.extend(lines.iter().cloned().map(Kept::dirty)));
        }
        drop(disk);
        if let Err(error) = written {
            if self.bug != Some(Bug::FailedWriteDoesNotPoison) {
                self.poison = Some(error.clone());
            }
            self.fail_batch(&error);
        }
        true
    }

    fn fail_batch(&mut self, error: &StorageError) {
        self.under_way.drain(..).for_each(|queued| queued.completion.complete(Err(error.clone())));
    }

    /// Syncs what was written, shows it, and completes its receipts.
    fn sync_batch(&mut self) {
        if let Err(error) = self.alive() {
            return self.fail_batch(&error);
        }
        if self.under_way.is_empty() {
            return;
        }
        let last_saved = self.under_way.last().map(|queued| queued.record.group);
        if let Err(error) = self.make_durable() {
            if self.bug != Some(Bug::PoisonHeals) {
                self.poison = Some(error.clone());
                self.poisoned_group = last_saved;
                if self.bug == Some(Bug::PoisonFreesTheLock) {
                    lock(&self.disk).locked = false;
                }
            }
            if self.bug != Some(Bug::FailedSyncIsAcknowledged) {
                return self.fail_batch(&error);
            }
        }
        self.complete();
        self.checkpoint(last_saved);
    }

    fn make_durable(&self) -> Result<()> {
        let mut disk = lock(&self.disk);
        let first_line = disk.journal.as_ref().is_some_and(|journal| journal.len() == 1);
        let records = self.under_way.iter().map(|queued| &queued.record);
        if !super::bugs::syncs(records, first_line, self.bug) {
            return Ok(());
        }
        let synced = disk.sync_journal();
        if synced.is_err() && self.bug == Some(Bug::FailedSyncIsTriedAgain) { disk.sync_journal() } else { synced }
    }

    fn complete(&mut self) {
        let done: Vec<_> = std::mem::take(&mut self.under_way);
        for queued in &done {
            self.show(&queued.record);
        }
        let complete = |queued: Queued| queued.completion.complete(Ok(()));
        if self.bug == Some(Bug::WaitersWokenInReverse) {
            return done.into_iter().rev().for_each(complete);
        }
        if self.bug != Some(Bug::ReceiptsOutOfOrder) {
            return done.into_iter().for_each(complete);
        }
        // With time between them, so that it is seen on a busy machine, too.
        tokio::spawn(async move {
            for queued in done.into_iter().rev() {
                queued.completion.complete(Ok(()));
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        });
    }

    fn show(&mut self, record: &Record) {
        let Some(group) = self.groups.get_mut(&record.group) else { return };
        if let LogChange::Append(new) = &record.update.log
            && let Some(first) = new.first()
        {
            let replaced = group.visible.entries.iter().filter(|entry| entry.index >= first.index);
            group.replaced_bytes += replaced.map(eraft_core::Entry::size_bytes).sum::<u64>();
        }
        let before = group.visible.published.clone();
        // It was judged when it came in; only a bug there lets it contradict here.
        drop(group.visible.apply(record, false, self.bug));
        if let (Some(old), Some(_)) = (before, &record.publish) {
            lock(&self.disk).files.remove(&old.id);
        }
    }

    /// Replaces many lines by one, and removes them only when that one is durable.
    fn checkpoint(&mut self, last_saved: Option<GroupId>) {
        let mut disk = lock(&self.disk);
        if disk.journal.as_ref().is_none_or(|journal| journal.len() < MAX_LINES) {
            return;
        }
        let images = self.groups.iter().map(|(id, group)| (*id, group.visible.clone()));
        let images = super::bugs::checkpointed(images, last_saved, self.bug);
        let Some(journal) = &mut disk.journal else { return };
        let old = journal.len();
        journal.push(Kept::dirty(Line::Checkpoint(images)));
        if self.bug == Some(Bug::CheckpointUnsynced) {
            journal.drain(..old);
            return;
        }
        match disk.sync_journal() {
            Ok(()) => disk.journal.iter_mut().for_each(|journal| drop(journal.drain(..old))),
            Err(error) => {
                drop(disk);
                self.poison = Some(error);
            }
        }
    }

    /// Writes a snapshot's file, durable, still invisible.
    pub(super) fn finish(&mut self, id: GroupId, meta: SnapshotMeta, bytes: Bytes) -> Result<StagedSnapshot> {
        self.alive()?;
        let mut disk = lock(&self.disk);
        let name = format!("{}-{:016x}", meta.last.index, disk.random_id());
        let size_bytes = bytes.len() as u64;
        let published = Published { id: name.clone(), meta: meta.clone(), size_bytes, digest: digest(&bytes) };
        disk.write()?;
        let mut file = File { bytes: Kept::dirty(bytes), name: Fate::Dirty };
        if self.bug != Some(Bug::SnapshotBytesUnsynced) {
            let failed = disk.sync_fails();
            file.bytes.sync(failed);
            super::disk::sync_outcome(failed)?;
        }
        if self.bug != Some(Bug::SnapshotNameUnsynced) {
            file.name = Fate::Synced;
        }
        disk.files.insert(name.clone(), file);
        drop(disk);
        self.staged_last = Some(published.clone());
        self.stages_finished += 1;
        let name = if self.bug == Some(Bug::StageIdsRestart) { self.stages_finished.to_string() } else { name };
        self.stages.insert(name.clone(), (id, published));
        Ok(StagedSnapshot { meta, size_bytes, id: name })
    }

    pub(super) fn discard(&mut self, staged: &StagedSnapshot) -> Result<()> {
        self.alive()?;
        let file = self.stages.remove(&staged.id).map(|(_, published)| published.id);
        let file = file.or_else(|| (self.bug == Some(Bug::DiscardTakesThePublished)).then(|| staged.id.clone()));
        if let Some(file) = file {
            lock(&self.disk).files.remove(&file);
        }
        Ok(())
    }
}

impl Drop for WrongEngine {
    fn drop(&mut self) {
        let mut inner = lock(&self.shared);
        // Handles that are still around keep it locked.
        if inner.alive().is_ok() && inner.handles.is_empty() {
            inner.closed = true;
            lock(&inner.disk).locked = false;
        }
    }
}

impl Image {
    pub(super) fn size_bytes(&self) -> u64 {
        100 + self.entries.iter().map(eraft_core::Entry::size_bytes).sum::<u64>()
    }
}
