//! The disk side: a batch of saves becomes one write transaction of redb, durable when its commit returns.
//!
//! Called by the one writer thread of the kit, and never again after it has failed.

use std::{collections::BTreeMap, sync::Arc};

use eraft_core::{GroupId, LogChange, LogIndex, Result};
use eraft_storage_kit::{BatchWriter, Save};
use redb::{Durability, ReadableTable, Table, WriteTransaction};

use super::{
    engine::Store,
    tables::{CHUNKS, GroupState, LOG, Published, STATES, encode_entry, entry_size_bytes, failed, from_index},
};

const DURING: &str = "committing a batch";

pub(super) struct Writer(pub(super) Arc<Store>);

impl BatchWriter for Writer {
    fn commit(&mut self, batch: &[Save]) -> Result<()> {
        let after = self.0.with(|database| {
            let mut transaction = database.begin_write().map_err(failed(DURING))?;
            transaction.set_durability(Durability::Immediate).map_err(failed(DURING))?;
            let after = self.write(&transaction, batch)?;
            transaction.commit().map_err(failed(DURING))?;
            Ok(after)
        })?;
        // Only now may a read see it.
        for (group, state) in after {
            *self.0.group(group).committed_mut() = (state, true);
        }
        Ok(())
    }

    fn idle(&mut self) -> Result<()> {
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Writer {
    fn write(&self, transaction: &WriteTransaction, batch: &[Save]) -> Result<BTreeMap<GroupId, GroupState>> {
        let mut log = transaction.open_table(LOG).map_err(failed(DURING))?;
        let mut chunks = transaction.open_table(CHUNKS).map_err(failed(DURING))?;
        let mut after = BTreeMap::new();
        for save in batch {
            let group = after.entry(save.group).or_insert_with(|| self.0.group(save.group).committed().0.clone());
            let publish = save.snapshot.as_ref().map(|staged| &staged.meta);
            group.state.apply(&save.update, publish)?;
            change_log(&mut log, save.group, group, &save.update.log)?;
            if let Some(staged) = &save.snapshot {
                let (meta, size_bytes) = (staged.meta.clone(), staged.size_bytes);
                let number = self.0.stages().publish(&staged.id)?;
                if let Some(old) = group.published.replace(Published { meta, number, size_bytes }) {
                    let of_old = (old.number, 0)..=(old.number, u64::MAX);
                    chunks.retain_in(of_old, |_, _| false).map_err(failed(DURING))?;
                }
            }
        }
        let mut states = transaction.open_table(STATES).map_err(failed(DURING))?;
        for (id, group) in &after {
            states.insert(id.0, group.encode(*id).as_slice()).map_err(failed(DURING))?;
        }
        Ok(after)
    }
}

fn change_log(
    log: &mut Table<'_, (u64, u64), &'static [u8]>,
    id: GroupId,
    group: &mut GroupState,
    change: &LogChange,
) -> Result<()> {
    let gone = match change {
        LogChange::Keep => return Ok(()),
        LogChange::Append(entries) => match entries.first() {
            Some(first) => from_index(id, first.index),
            None => return Ok(()),
        },
        LogChange::CompactTo(last) => (id.0, 0)..=(id.0, last.index.0),
        LogChange::Reset { .. } => from_index(id, LogIndex(0)),
    };
    let mut gone_bytes = 0;
    // Most appends replace nothing; looking is cheaper than a walk that changes pages.
    if log.range(gone.clone()).map_err(failed(DURING))?.next().is_some() {
        let forget = |_: (u64, u64), value: &[u8]| {
            gone_bytes += entry_size_bytes(value);
            false
        };
        log.retain_in(gone, forget).map_err(failed(DURING))?;
    }
    group.log_bytes = group.log_bytes.saturating_sub(gone_bytes);
    if let LogChange::Append(entries) = change {
        for entry in entries {
            let value = encode_entry(id, entry);
            log.insert((id.0, entry.index.0), value.as_slice()).map_err(failed(DURING))?;
            group.log_bytes += entry.size_bytes();
        }
    }
    Ok(())
}
