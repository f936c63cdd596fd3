//! A group's state as rows of `state`: a head, a row for each term and each configuration in the log, and the published
//! snapshot. So a save writes what it changes, however long the log is and however many leaders it has seen.
//!
//! The head counts the other rows: one that RocksDB lost is missed.

use std::collections::BTreeMap;

use eraft_core::{
    ConfState, EntryId, GroupId, HardState, Identity, LogIndex, LogOutline, RaftState, RaftStateUpdate, Result,
    SnapshotMeta, StoreId, Term,
};
use rocksdb::{ColumnFamily, WriteBatch};
use serde::{Deserialize, Serialize};

use crate::{
    error::corrupt_value,
    keys::{self, Row},
    values,
};

/// The one row that every save of a group writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) hard_state: HardState,
    pub(crate) base: EntryId,
    pub(crate) last_index: LogIndex,
    /// What all entries up to the base took, ever; see [`values::StoredEntry`].
    pub(crate) base_through: u64,
    /// The same up to the last entry.
    pub(crate) last_through: u64,
    terms: u64,
    configs: u64,
    snapshot: Option<u64>,
}

/// A snapshot that is published, or staged and complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Published {
    /// What its chunks' keys begin with.
    pub(crate) id: u64,
    pub(crate) meta: SnapshotMeta,
    pub(crate) size_bytes: u64,
    pub(crate) chunks: u64,
}

/// One group as of one save.
///
/// Invariant: the rows of the database are exactly those that this makes, once the batch that changes it is written.
#[derive(Clone, Debug)]
pub(crate) struct GroupState {
    pub(crate) state: RaftState,
    pub(crate) published: Option<Published>,
    pub(crate) base_through: u64,
    pub(crate) last_through: u64,
}

impl GroupState {
    /// A group that nothing was ever saved of.
    pub(crate) fn blank(identity: Identity) -> GroupState {
        GroupState { state: RaftState::blank(identity), published: None, base_through: 0, last_through: 0 }
    }

    /// What the live entries take.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.last_through.saturating_sub(self.base_through)
    }

    pub(crate) fn head(&self) -> Head {
        let outline = &self.state.outline;
        Head {
            hard_state: self.state.hard_state,
            base: outline.base(),
            last_index: outline.last_index(),
            base_through: self.base_through,
            last_through: self.last_through,
            terms: outline.terms().len() as u64,
            configs: outline.configs().len() as u64,
            snapshot: self.published.as_ref().map(|published| published.id),
        }
    }
}

/// Rows on their way into a batch.
pub(crate) struct RowWriter<'a> {
    pub(crate) store: StoreId,
    pub(crate) group: GroupId,
    pub(crate) rows: &'a ColumnFamily,
    pub(crate) batch: &'a mut WriteBatch,
}

impl RowWriter<'_> {
    /// Makes one save take effect on hard state, outline and snapshot, and writes the rows that it changes but the head.
    /// The rows of terms and configurations before `from` are not touched by it.
    ///
    /// # Errors
    /// `Invalid` where the save breaks the contract.
    pub(crate) fn apply(
        &mut self,
        group: &mut GroupState,
        update: &RaftStateUpdate,
        publish: Option<Published>,
        from: LogIndex,
    ) -> Result<()> {
        let outline = &group.state.outline;
        let (terms, configs) = (tail(outline.terms(), from).to_vec(), tail(outline.configs(), from).to_vec());
        group.state.apply(update, publish.as_ref().map(|published| &published.meta))?;
        self.change(Row::Term, &terms, tail(group.state.outline.terms(), from));
        self.change(Row::Config, &configs, tail(group.state.outline.configs(), from));
        if publish.is_some() {
            group.published = publish;
            self.put(Row::Published, LogIndex::ZERO, &group.published);
        }
        Ok(())
    }

    /// Writes the head, last.
    pub(crate) fn head(&mut self, group: &GroupState) {
        self.put(Row::Head, LogIndex::ZERO, &group.head());
    }

    fn change<T: PartialEq + Serialize>(&mut self, row: Row, old: &[(LogIndex, T)], new: &[(LogIndex, T)]) {
        let stands_in = |rows: &[(LogIndex, T)], index: LogIndex| rows.binary_search_by_key(&index, |row| row.0);
        for (index, _) in old {
            if stands_in(new, *index).is_err() {
                self.batch.delete_cf(self.rows, keys::state(row, self.group, *index));
            }
        }
        for (index, value) in new {
            let same = stands_in(old, *index).ok().and_then(|at| old.get(at)).is_some_and(|(_, old)| old == value);
            if !same {
                self.put(row, *index, value);
            }
        }
    }

    fn put<T: Serialize>(&mut self, row: Row, index: LogIndex, value: &T) {
        let key = keys::state(row, self.group, index);
        self.batch.put_cf(self.rows, key, values::seal(self.store, &key, value));
    }
}

/// The rows from `from` on.
fn tail<T>(rows: &[(LogIndex, T)], from: LogIndex) -> &[(LogIndex, T)] {
    rows.get(rows.partition_point(|(index, _)| *index < from)..).unwrap_or_default()
}

/// What is gathered of one group while rows are read.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    head: Option<Head>,
    terms: Vec<(LogIndex, Term)>,
    configs: Vec<(LogIndex, ConfState)>,
    published: Option<Published>,
}

/// Takes one row of `state` in. Rows come in the order of their keys.
///
/// # Errors
/// `Corrupt` for a row that is none, or does not verify.
pub(crate) fn gather(
    store: StoreId,
    gathered: &mut BTreeMap<GroupId, Gathered>,
    key: &[u8],
    value: &[u8],
) -> Result<()> {
    let unknown = || corrupt_value(&values::hex(key), "it is no key of a store's state");
    let (group, index) = keys::row_numbers(key).ok_or_else(unknown)?;
    let of_group = gathered.entry(group).or_default();
    match key.first() {
        Some(kind) if *kind == Row::Head as u8 => of_group.head = Some(values::unseal(store, key, value)?),
        Some(kind) if *kind == Row::Published as u8 => of_group.published = values::unseal(store, key, value)?,
        Some(kind) if *kind == Row::Term as u8 => of_group.terms.push((index, values::unseal(store, key, value)?)),
        Some(kind) if *kind == Row::Config as u8 => of_group.configs.push((index, values::unseal(store, key, value)?)),
        _ => return Err(unknown()),
    }
    Ok(())
}

impl Gathered {
    /// The group that these rows tell of.
    ///
    /// # Errors
    /// `Corrupt` where a row is missing, or they contradict each other.
    pub(crate) fn into_state(self, identity: Identity, group: GroupId) -> Result<GroupState> {
        let key = values::hex(&keys::state(Row::Head, group, LogIndex::ZERO));
        let Some(head) = self.head else { return Err(corrupt_value(&key, "it is missing, but other rows are there")) };
        let found = (self.terms.len() as u64, self.configs.len() as u64, self.published.as_ref().map(|p| p.id));
        if found != (head.terms, head.configs, head.snapshot) {
            let expected = (head.terms, head.configs, head.snapshot);
            let detail = format!("rows of terms, of configurations, snapshot: {found:?}, expected {expected:?}");
            return Err(corrupt_value(&key, detail));
        }
        let outline = LogOutline::from_parts(head.base, head.last_index, self.terms, self.configs);
        let outline = outline.ok_or_else(|| corrupt_value(&key, "the outline contradicts itself"))?;
        let snapshot = self.published.as_ref().map(|published| published.meta.clone());
        let state = RaftState { identity, hard_state: head.hard_state, outline, snapshot };
        if state.check(&RaftStateUpdate::default(), state.snapshot.as_ref()).is_err() {
            return Err(corrupt_value(&key, "log and snapshot do not join on"));
        }
        let (base_through, last_through) = (head.base_through, head.last_through);
        Ok(GroupState { state, published: self.published, base_through, last_through })
    }
}
