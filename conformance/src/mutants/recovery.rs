//! Opening: whose the store is, which of its lines stand, and what they come to.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use eraft_core::{
    Entry, Expected, GroupId, Identity, LogChange, RaftState, Result, StorageError, StorageErrorKind, StoreId,
};

use super::{
    Bug,
    disk::{Disk, Fate, Image, Line, Record, sync_outcome},
};

/// Everything that a store holds, as it was found.
pub(super) struct Found {
    pub(super) identity: Identity,
    pub(super) images: BTreeMap<GroupId, Image>,
}

pub(super) fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

fn refused<T>(kind: StorageErrorKind, detail: impl Into<String>) -> Result<T> {
    Err(StorageError::new(kind, "opening the store", detail))
}

/// Reads the store, and makes durable whatever it believes.
pub(super) fn open(disk: &mut Disk, expected: Expected, bug: Option<Bug>) -> Result<Found> {
    if disk.locked && bug != Some(Bug::SecondOpenerAdmitted) {
        return refused(StorageErrorKind::Locked, "another opener has it");
    }
    let identity = whose(disk, bug)?;
    if bug != Some(Bug::OpensAnybodysStore) {
        expected.check(&identity, "disk 0")?;
    }
    drop_torn_tail(disk, bug)?;
    write_again(disk, bug)?;
    let images = replay(disk, identity, bug)?;
    check_snapshots(disk, &images)?;
    disk.files.retain(|name, _| images.values().any(|image| image.published.iter().any(|it| it.id == *name)));
    disk.locked = true;
    Ok(Found { identity, images })
}

fn whose(disk: &mut Disk, bug: Option<Bug>) -> Result<Identity> {
    match (&disk.identity, &disk.journal) {
        (Some(kept), Some(_)) => match kept.value {
            Some(identity) => Ok(identity),
            None if bug == Some(Bug::UnreadableIdentityDrawnAnew) => {
                let store = StoreId(disk.random_id());
                Ok(Identity { cluster: crate::CLUSTER, node: crate::NODE, store })
            }
            None => refused(StorageErrorKind::Corrupt, "the identity, at sector 0, is unreadable: restore it"),
        },
        (None, None) => refused(StorageErrorKind::NotInitialised, "nothing is stored here: create it"),
        (Some(kept), None) if bug == Some(Bug::LostJournalIsBlank) => {
            disk.journal = Some(Vec::new());
            kept.value.map_or_else(|| refused(StorageErrorKind::Corrupt, "sector 0 is unreadable"), Ok)
        }
        (Some(_), None) => refused(StorageErrorKind::Corrupt, "the journal, at sector 1, is missing"),
        (None, Some(_)) => refused(StorageErrorKind::Corrupt, "the identity, at sector 0, is missing"),
    }
}

/// A last line that nobody confirmed may be torn. Any other that cannot be read is damage.
fn drop_torn_tail(disk: &mut Disk, bug: Option<Bug>) -> Result<()> {
    let sealed = disk.sealed;
    let Some(journal) = &mut disk.journal else { return Ok(()) };
    match bug {
        Some(Bug::DamageTakenForATornTail) => {
            if let Some(bad) = journal.iter().position(|line| line.value.is_none()) {
                journal.truncate(bad);
            }
        }
        Some(Bug::UnreadableLinesSkipped) => journal.retain(|line| line.value.is_some()),
        Some(Bug::TornTailRefused) => {}
        Some(Bug::TornTailLeftInPlace) if !sealed => {
            let whole = journal.iter().rposition(|line| line.value.is_some()).map_or(0, |at| at + 1);
            let holes = journal.iter().take(whole).any(|line| line.value.is_none());
            return if holes { refused(StorageErrorKind::Corrupt, "a line is unreadable") } else { Ok(()) };
        }
        _ if !sealed && journal.last().is_some_and(|line| line.value.is_none()) => {
            journal.pop();
        }
        _ => {}
    }
    match journal.iter().position(|line| line.value.is_none()) {
        Some(bad) => refused(
            StorageErrorKind::Corrupt,
            format!("line {bad} of {} is unreadable, and what follows confirms it: restore the store", journal.len()),
        ),
        None => Ok(()),
    }
}

/// What only the cache holds is written again and synced: a sync alone does nothing for what a failed one forgot.
fn write_again(disk: &mut Disk, bug: Option<Bug>) -> Result<()> {
    if bug == Some(Bug::OpeningMakesNothingDurable) {
        return Ok(());
    }
    let failed = disk.sync_fails();
    for line in disk.journal.iter_mut().flatten() {
        if line.fate == Fate::Forgotten && bug != Some(Bug::OpeningSyncsWithoutWriting) {
            line.fate = Fate::Dirty;
        }
        line.sync(failed);
    }
    if let Some(identity) = &mut disk.identity {
        identity.fate = Fate::Synced;
    }
    sync_outcome(failed)
}

fn replay(disk: &Disk, identity: Identity, bug: Option<Bug>) -> Result<BTreeMap<GroupId, Image>> {
    let mut images = BTreeMap::new();
    for (number, line) in disk.journal.iter().flatten().enumerate() {
        match &line.value {
            Some(Line::Checkpoint(all)) => images = all.clone(),
            Some(Line::Saves(records)) => {
                for record in records {
                    let image = images.entry(record.group).or_insert_with(|| Image::blank(identity));
                    if let Err(error) = image.apply(record, true, bug) {
                        return refused(StorageErrorKind::Corrupt, format!("line {number} contradicts: {error}"));
                    }
                }
            }
            None => {}
        }
    }
    Ok(images)
}

fn check_snapshots(disk: &Disk, images: &BTreeMap<GroupId, Image>) -> Result<()> {
    for published in images.values().filter_map(|image| image.published.as_ref()) {
        let bytes = disk.files.get(&published.id).and_then(|file| file.bytes.value.as_ref());
        let whole = bytes.is_some_and(|bytes| digest(bytes) == published.digest);
        if !whole {
            let found = bytes.map_or("nothing readable".to_owned(), |bytes| format!("{} bytes", bytes.len()));
            let (id, expected) = (&published.id, published.size_bytes);
            return refused(StorageErrorKind::Corrupt, format!("file {id}: expected {expected} bytes, found {found}"));
        }
    }
    Ok(())
}

impl Image {
    pub(super) fn blank(identity: Identity) -> Image {
        Image { state: RaftState::blank(identity), entries: Vec::new(), published: None }
    }

    /// What one save makes of a group: the one path for saving and for replaying, so that both come to the same.
    pub(super) fn apply(&mut self, record: &Record, replaying: bool, bug: Option<Bug>) -> Result<()> {
        let mut update = record.update.clone();
        let resets = matches!(update.log, LogChange::Reset { .. });
        if bug == Some(Bug::ResetForgetsTheHardState) && resets && replaying {
            update.hard_state = None;
        }
        if bug == Some(Bug::ReplayForgetsVotes) && replaying {
            update.hard_state.iter_mut().for_each(|hard_state| hard_state.vote = None);
        }
        self.state.apply(&update, record.publish.as_ref().map(|published| &published.meta))?;
        self.change_entries(&update.log, replaying, bug);
        if bug == Some(Bug::SnapshotTakesNewerEntries) && record.publish.is_some() && update.log == LogChange::Keep {
            let last = self.state.snapshot.as_ref().map(|meta| meta.last).unwrap_or_default();
            self.entries.clear();
            self.state.outline.reset(last);
        }
        if let Some(published) = &record.publish {
            self.published = Some(published.clone());
        }
        Ok(())
    }

    fn change_entries(&mut self, log: &LogChange, replaying: bool, bug: Option<Bug>) {
        match log {
            LogChange::Keep => {}
            LogChange::Append(new) => self.append(new, replaying, bug),
            LogChange::CompactTo(id) => {
                let upto = if bug == Some(Bug::CompactsOneTooFar) && replaying { id.index.next() } else { id.index };
                self.entries.retain(|entry| entry.index > upto);
            }
            LogChange::Reset { base } => {
                self.entries.retain(|entry| bug == Some(Bug::ResetKeepsTheSuffix) && entry.index > base.index);
                self.entries.iter_mut().for_each(|entry| entry.term = entry.term.max(base.term));
                drop(self.state.outline.append(&self.entries));
            }
        }
    }

    fn append(&mut self, new: &[Entry], replaying: bool, bug: Option<Bug>) {
        let Some((first, last)) = new.first().zip(new.last()) else { return };
        let replaced = self.entries.iter().find(|entry| entry.index == first.index).cloned();
        let behind: Vec<_> = self.entries.iter().filter(|entry| entry.index > last.index).cloned().collect();
        self.entries.retain(|entry| entry.index < first.index);
        self.entries.extend(new.iter().cloned());
        match (bug, replaced) {
            (Some(Bug::ReplayResurrects), _) if replaying => {
                // Written over, and not cut: what stood behind the new end is the end again.
                let behind: Vec<_> = behind.into_iter().map(|entry| Entry { term: last.term, ..entry }).collect();
                drop(self.state.outline.append(&behind));
                self.entries.extend(behind);
            }
            (Some(Bug::ReplayTruncatesOneTooLate), Some(old)) if replaying => {
                let slot = self.entries.iter_mut().find(|entry| entry.index == old.index);
                slot.into_iter().for_each(|slot| slot.payload = old.payload.clone());
            }
            _ => {}
        }
    }
}
