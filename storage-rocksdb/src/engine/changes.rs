//! A batch of saves on its way into one `WriteBatch`.
//!
//! An entry is a value under its own key, so replacing entries is writing over them; what no new entry covers is deleted.
//! Reads begin above the base and end at the last entry, so they never walk over what was deleted.

use std::collections::BTreeMap;

use eraft_core::{Entry, GroupId, LogChange, LogIndex, Result, StoreId};
use eraft_storage_kit::Save;
use rocksdb::{ColumnFamily, WriteBatch};

use crate::{
    database::Database,
    error::corrupt_value,
    keys,
    options::Family,
    rows::{GroupState, Published, RowWriter},
    values::{self, hex},
};

/// What an entry takes beside its payload: its key, its header, and what RocksDB needs around them.
const ENTRY_BYTES: u64 = 64;

/// Up to so many neighbours are deleted one by one: a range costs every read of its table a look.
const MAX_SINGLE_DELETES: u64 = 32;

pub(super) struct Changes<'a> {
    database: &'a Database,
    store: StoreId,
    rows: &'a ColumnFamily,
    log: &'a ColumnFamily,
    batch: WriteBatch,
    /// The entries that this batch has appended, which the database does not show yet.
    appended: BTreeMap<GroupId, Appended>,
    value: Vec<u8>,
}

/// What the entries from `first` on take, each with all before it.
struct Appended {
    first: LogIndex,
    through_bytes: Vec<u64>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(database: &'a Database, store: StoreId) -> Result<Changes<'a>> {
        Ok(Changes {
            database,
            store,
            rows: database.family(Family::State)?,
            log: database.family(Family::Log)?,
            batch: WriteBatch::default(),
            appended: BTreeMap::new(),
            value: Vec::new(),
        })
    }

    /// Makes one save take effect on its group, and puts what it changes into the batch.
    ///
    /// # Errors
    /// `Invalid` where it breaks the contract, `Corrupt` where an entry that has to be looked at is damaged.
    pub(super) fn take(&mut self, save: &Save, group: &mut GroupState, publish: Option<Published>) -> Result<()> {
        let outline = &group.state.outline;
        let (first, last) = (outline.first_index(), outline.last_index());
        let from = match &save.update.log {
            LogChange::Append(entries) => match entries.first().zip(entries.last()) {
                Some((new, end)) => {
                    self.append(save.group, group, new.index, entries)?;
                    self.delete(save.group, end.index.next(), last.next());
                    new.index
                }
                None => last.next(),
            },
            LogChange::CompactTo(id) => {
                group.base_through = self.through(save.group, group, id.index)?;
                self.delete(save.group, first, id.index.next());
                LogIndex::ZERO
            }
            LogChange::Reset { .. } => {
                group.base_through = group.last_through;
                self.delete(save.group, first, last.next());
                LogIndex::ZERO
            }
            LogChange::Keep => last.next(),
        };
        self.row_writer(save.group).apply(group, &save.update, publish, from)
    }

    /// The batch, with the head of every group in it.
    pub(super) fn finish<'b>(mut self, groups: impl Iterator<Item = (GroupId, &'b GroupState)>) -> WriteBatch {
        for (id, group) in groups {
            self.row_writer(id).head(group);
        }
        self.batch
    }

    fn row_writer(&mut self, group: GroupId) -> RowWriter<'_> {
        RowWriter { store: self.store, group, rows: self.rows, batch: &mut self.batch }
    }

    fn append(&mut self, id: GroupId, group: &mut GroupState, first: LogIndex, entries: &[Entry]) -> Result<()> {
        let mut through_bytes = self.through(id, group, first.prev())?;
        let mut through = Vec::with_capacity(entries.len());
        for entry in entries {
            through_bytes = through_bytes.saturating_add(ENTRY_BYTES + entry.payload.len() as u64);
            values::encode_entry(self.store, id, entry, through_bytes, &mut self.value);
            self.batch.put_cf(self.log, keys::entry(id, entry.index), &self.value);
            through.push(through_bytes);
        }
        group.last_through = through_bytes;
        match self.appended.get_mut(&id).and_then(|before| Some((before.place(first)?, before))) {
            Some((at, before)) => {
                before.through_bytes.truncate(at);
                before.through_bytes.extend(through);
            }
            None => {
                self.appended.insert(id, Appended { first, through_bytes: through });
            }
        }
        Ok(())
    }

    /// What the entries up to `index`, which is the base's or one of the log's, have taken.
    fn through(&self, id: GroupId, group: &GroupState, index: LogIndex) -> Result<u64> {
        let outline = &group.state.outline;
        if index == outline.last_index() {
            return Ok(group.last_through);
        }
        if index <= outline.base().index {
            return Ok(group.base_through);
        }
        let appended = self.appended.get(&id).and_then(|appended| appended.through_bytes.get(appended.place(index)?));
        if let Some(through) = appended {
            return Ok(*through);
        }
        let key = keys::entry(id, index);
        let value = self.database.get(Family::Log, &key)?;
        let value = value.ok_or_else(|| corrupt_value(&hex(&key), "the entry is missing, and the outline has it"))?;
        Ok(values::decode_entry(self.store, id, index, &value)?.through_bytes)
    }

    fn delete(&mut self, group: GroupId, from: LogIndex, to: LogIndex) {
        let count = to.0.saturating_sub(from.0);
        if count > MAX_SINGLE_DELETES {
            self.batch.delete_range_cf(self.log, keys::entry(group, from), keys::entry(group, to));
            return;
        }
        for index in from.0..to.0 {
            self.batch.delete_cf(self.log, keys::entry(group, LogIndex(index)));
        }
    }
}

impl Appended {
    /// The place of `index` in the list, or right behind its end.
    fn place(&self, index: LogIndex) -> Option<usize> {
        let at = usize::try_from(index.0.checked_sub(self.first.0)?).ok()?;
        (at <= self.through_bytes.len()).then_some(at)
    }
}
