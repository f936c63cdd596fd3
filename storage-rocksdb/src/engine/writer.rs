//! The writer: one batch, one `WriteBatch`, one sync. Blocking and single-threaded; the kit's thread drives it.
//!
//! It may assume that nobody else writes to the database but stages that take their tables in, and that it is not called
//! again after a failure. It must never make a save visible before the sync that makes it durable has returned, and never
//! remove what a save replaces before that save is durable.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use eraft_core::{Entry, EntryKind, GroupId, LogChange, LogIndex, Result, StorageError, StorageErrorKind, StoreId};
use eraft_storage_kit::{BatchWriter, Save};
use rocksdb::WriteBatch;

use super::{changes::Changes, shared::Store};
use crate::{
    database::Database,
    error, files, keys,
    metrics::Told,
    options::Family,
    recovery::seal,
    rows::{GroupState, Published},
    snapshot::held::{self, Held},
    values,
};

/// Of a log whose tables take no more than this, dead ones are merged while no save is under way, for want of room to do it in the
/// background: seconds, for which the next save has to wait.
const MOST_RECLAIMED_BYTES: u64 = 1 << 30;

/// The one that writes.
///
/// Invariant: `groups` is what the database holds, while nothing is on its way.
pub(crate) struct Writer {
    store: Arc<Store>,
    groups: BTreeMap<GroupId, GroupState>,
    /// What was compacted of each group since its tables were last looked through, in bytes.
    compacted_bytes: BTreeMap<GroupId, u64>,
    /// Whether RocksDB merges tables.
    compacts: bool,
    /// Whether anything was compacted since the opening, or since all tables were merged.
    reclaimable: bool,
    /// Whether the last record of RocksDB's log is one that confirms the one before.
    marked: bool,
    told: Told,
    /// Given back when the writer is dropped: after the last write of this process.
    lock: Option<files::Lock>,
}

impl Writer {
    pub(crate) fn new(store: Arc<Store>, groups: BTreeMap<GroupId, GroupState>, lock: files::Lock) -> Result<Writer> {
        let told = Told::new(store.identity.node);
        let mut writer = Writer {
            store,
            groups,
            compacted_bytes: BTreeMap::new(),
            compacts: false,
            reclaimable: false,
            marked: true,
            told,
            lock: Some(lock),
        };
        writer.store.room.refill();
        writer.look()?;
        Ok(writer)
    }

    /// Where there is no room to merge the log's tables in the background, merges them now, if what lives of them is little and
    /// has room. What many groups have compacted goes no other way, since they share tables.
    fn reclaim(&mut self) -> Result<()> {
        if self.compacts || !self.reclaimable {
            return Ok(());
        }
        let store = Arc::clone(&self.store);
        let live_bytes: u64 = self.groups.values().map(GroupState::live_bytes).sum();
        let output_bytes = live_bytes + live_bytes / 8 + store.options.write_buffer_bytes as u64;
        store.with(|database| {
            let table_bytes = database.log_table_bytes();
            let pays = table_bytes <= MOST_RECLAIMED_BYTES && output_bytes <= table_bytes / 2 && !database.is_viewed();
            if pays && store.room.lend(output_bytes)? {
                tracing::info!(dir = %store.paths.dir.display(), table_bytes, live_bytes, "merging what was compacted");
                database.write(self.delete_below(database)?)?;
                database.merge_all(Family::Log)?;
                self.reclaimable = false;
                store.room.take_back();
            }
            Ok(())
        })?;
        store.room.refill();
        self.look()
    }

    /// All that no group has any more, deleted once more: a table that said so may be gone with what it held.
    fn delete_below(&self, database: &Database) -> Result<WriteBatch> {
        let (log, mut batch) = (database.family(Family::Log)?, WriteBatch::default());
        for (id, group) in &self.groups {
            let (from, to) = (LogIndex::ZERO, group.state.outline.base().index.next());
            batch.delete_range_cf(log, keys::entry(*id, from), keys::entry(*id, to));
        }
        Ok(batch)
    }

    /// Room, background errors, and whether tables may be merged.
    fn look(&mut self) -> Result<()> {
        let store = Arc::clone(&self.store);
        store.with(|database| {
            store.room.measure(database.unflushed_bytes())?;
            check_background(database, &store)?;
            let compacts = store.room.may_compact(self.compacts, database.merged_bytes());
            if compacts != self.compacts {
                database.let_compact(compacts)?;
                self.compacts = compacts;
            }
            self.told.tell(database);
            Ok(())
        })
    }

    /// Removes what earlier saves have made dispensable.
    fn clean(&mut self) -> Result<()> {
        let store = Arc::clone(&self.store);
        store.with(|database| {
            for id in store.dustbin.take_ids() {
                held::remove(database, id)?;
            }
            let due = store.options.write_buffer_bytes as u64;
            for (id, bytes) in &mut self.compacted_bytes {
                let Some(group) = self.groups.get(id).filter(|_| *bytes >= due) else { continue };
                let base = group.state.outline.base().index;
                // Nothing at or below a base is ever read or written again, so no table below can be missed.
                database.drop_tables(Family::Log, &keys::entry(*id, LogIndex::ZERO), &keys::entry(*id, base))?;
                *bytes = 0;
            }
            Ok(())
        })
    }

    /// Puts a batch together and writes it: the snapshots that it publishes, in their order. `groups` is as if it were written
    /// when this fails, too.
    fn write(&mut self, batch: &[Save]) -> Result<Vec<(GroupId, Published)>> {
        let store = Arc::clone(&self.store);
        let identity = store.identity;
        store.with(|database| {
            let mut changes = Changes::new(database, identity.store)?;
            let (mut changed, mut published) = (BTreeSet::new(), Vec::new());
            for save in batch {
                changed.insert(save.group);
                let group = self.groups.entry(save.group).or_insert_with(|| GroupState::blank(identity));
                let before = group.base_through;
                let publish = match &save.snapshot {
                    Some(staged) => Some(store.staging().publish(staged)?),
                    None => None,
                };
                published.extend(publish.clone().map(|publish| (save.group, publish)));
                changes.take(save, group, publish)?;
                *self.compacted_bytes.entry(save.group).or_default() += group.base_through - before;
                self.reclaimable |= group.base_through > before;
            }
            let of = changed.iter().filter_map(|id| Some((*id, self.groups.get(id)?)));
            database.write(changes.finish(of))?;
            Ok(published)
        })
    }

    /// Makes a batch visible that is durable, and the snapshots that it publishes.
    fn publish(&self, batch: &[Save], published: &[(GroupId, Published)]) -> Result<()> {
        let mut by_group: BTreeMap<GroupId, Vec<&Save>> = BTreeMap::new();
        for save in batch {
            by_group.entry(save.group).or_default().push(save);
        }
        for (id, saves) in by_group {
            let Some(state) = self.groups.get(&id) else { continue };
            let group = self.store.group(id);
            // One hold for all of it: state and snapshot are never seen apart.
            let mut committed = group.committed_mut();
            for save in saves {
                committed.state.apply(&save.update, save.snapshot.as_ref().map(|staged| &staged.meta))?;
            }
            committed.live_bytes = state.live_bytes();
            committed.exists = true;
            // Each of them in turn: one that the same batch replaces goes as any other does.
            for (_, new) in published.iter().filter(|(of, _)| *of == id) {
                let new = Held::new(new.clone(), &self.store.dustbin);
                if let Some(old) = committed.snapshot.replace(new) {
                    old.replaced();
                }
            }
        }
        Ok(())
    }

    /// Confirms the last record of RocksDB's log with another, so that damage to it cannot pass for a torn tail.
    fn mark(&mut self) -> Result<()> {
        if self.marked {
            return Ok(());
        }
        let store = self.store.identity.store;
        self.store.with(|database| database.write(mark(database, store)?))?;
        self.marked = true;
        Ok(())
    }
}

impl BatchWriter for Writer {
    fn commit(&mut self, batch: &[Save]) -> Result<()> {
        self.look()?;
        self.clean()?;
        check_room(&self.store, batch)?;
        let published = self.write(batch)?;
        self.marked = false;
        self.publish(batch, &published)?;
        // What is told of the room follows what was written; a failure to look is met by the next batch.
        let _met_again = self.store.with(|database| self.store.room.measure(database.unflushed_bytes()));
        Ok(())
    }

    fn idle(&mut self) -> Result<()> {
        self.clean()?;
        self.mark()?;
        self.store.room.refill();
        self.look()?;
        self.reclaim()
    }

    fn close(&mut self) -> Result<()> {
        // All is durable already. What is done here makes the next opening quick and its judgement sharp.
        self.clean()?;
        self.mark()?;
        let sealable = self.store.with(|database| {
            database.flush()?;
            // Before it is judged: a merge that goes on would change tables and manifest behind that, and nobody would look.
            database.stop_merging();
            check_background(database, &self.store)?;
            // What RocksDB has failed to sync may not be what it is read as: it is judged anew, not sealed.
            Ok(database.is_synced())
        })?;
        drop(self.store.take_database());
        if sealable { seal::write(&self.store.paths) } else { Ok(()) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.store.take_database());
        // Last: whoever opens next finds all as it stays.
        drop(self.lock.take());
    }
}

/// A batch that says nothing.
fn mark(database: &Database, store: StoreId) -> Result<WriteBatch> {
    let mut batch = WriteBatch::default();
    batch.put_cf(database.family(Family::State)?, keys::MARK, values::seal(store, &keys::MARK, &()));
    Ok(batch)
}

/// A flush or a compaction that failed is not tried again by RocksDB: tables would be missing sooner or later. And a manifest
/// that was not synced may be read back with or without its last edits.
fn check_background(database: &Database, store: &Store) -> Result<()> {
    match database.background_errors() {
        0 => Ok(()),
        count => {
            // Where RocksDB has stopped, a write is told why: damage that a merge has met, say, and in which table.
            database.write(mark(database, store.identity.store)?)?;
            let full = files::free_bytes(&store.paths.db)
                .is_ok_and(|(_, free)| free < store.options.write_buffer_bytes as u64);
            let kind = if full { StorageErrorKind::Full } else { StorageErrorKind::Io };
            let detail = format!(
                "{}: RocksDB has met {count} errors in writing tables, or what names them; {}: find the cause in its \
                 LOG, free space if that is it, then reopen the store",
                store.paths.db.display(),
                if full { "the disk is full" } else { "the disk is not full" }
            );
            Err(StorageError::new(kind, "writing tables in the background", detail))
        }
    }
}

/// Entries do not take of what is kept back, though each takes its room twice: in the log, and in a table. A no-op may: it
/// ends an election, as the vote began it.
fn check_room(store: &Store, batch: &[Save]) -> Result<()> {
    let takes_room = |entry: &&Entry| entry.kind != EntryKind::Noop;
    let entries = |save: &Save| match &save.update.log {
        LogChange::Append(entries) => entries.iter().filter(takes_room).map(Entry::size_bytes).sum(),
        _ => 0,
    };
    let (wanted, room) = (2 * batch.iter().map(entries).sum::<u64>(), store.room.batch_bytes());
    if wanted > room { Err(error::full(&store.paths.dir, wanted, room)) } else { Ok(()) }
}
