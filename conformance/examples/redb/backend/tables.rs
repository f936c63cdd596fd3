//! The tables, and the two ways in which redb's world meets ours: values with checksums, and errors.
//!
//! redb keeps checksums of its pages but looks at them only after a crash, so each value bears one of its own, which covers
//! its key: a value that was changed, or that stands under another key, is `Corrupt` and never handed out.

use eraft_core::{
    Entry, EntryId, EntryKind, GroupId, HardState, Identity, LogIndex, LogOutline, RaftState, Result, SnapshotMeta,
    StorageError, StorageErrorKind, Term, codec,
};
use redb::{ReadableTable, TableDefinition};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Whose store it is; the one key is 0.
pub(super) const IDENTITY: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("identity");
/// Each group's state.
pub(super) const STATES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("states");
/// Each group's entries, by group and index.
pub(super) const LOG: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("log");
/// Chunks of snapshots, by the snapshot's number and the chunk's place in it; published where a state names the number.
pub(super) const CHUNKS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("chunks");

const CHECKSUM_BYTES: usize = 8;

/// A snapshot that is published.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) meta: SnapshotMeta,
    pub(super) number: u64,
    pub(super) size_bytes: u64,
}

/// One group as of one save.
#[derive(Clone, Debug)]
pub(super) struct GroupState {
    pub(super) state: RaftState,
    pub(super) published: Option<Published>,
    /// [`Entry::size_bytes`] of all entries above the base.
    pub(super) log_bytes: u64,
}

type Row = (HardState, LogOutline, Option<(SnapshotMeta, u64, u64)>, u64);

impl GroupState {
    pub(super) fn blank(identity: Identity) -> GroupState {
        GroupState { state: RaftState::blank(identity), published: None, log_bytes: 0 }
    }

    pub(super) fn encode(&self, group: GroupId) -> Vec<u8> {
        let published = self.published.as_ref().map(|snapshot| (&snapshot.meta, snapshot.number, snapshot.size_bytes));
        let row = (&self.state.hard_state, &self.state.outline, published, self.log_bytes);
        seal(("state", group.0, 0), codec::encode(&row).to_vec())
    }

    pub(super) fn decode(identity: Identity, group: GroupId, value: &[u8]) -> Result<GroupState> {
        let key = ("state", group.0, 0);
        let (hard_state, outline, published, log_bytes): Row =
            codec::decode(unseal(key, value)?).map_err(|error| corrupt(key, &error.to_string()))?;
        let published = published.map(|(meta, number, size_bytes)| Published { meta, number, size_bytes });
        let snapshot = published.as_ref().map(|snapshot| snapshot.meta.clone());
        Ok(GroupState { state: RaftState { identity, hard_state, outline, snapshot }, published, log_bytes })
    }

    /// The group as a transaction sees it; `None` where nothing was ever saved of it.
    pub(super) fn read(
        states: &impl ReadableTable<u64, &'static [u8]>,
        identity: Identity,
        group: GroupId,
    ) -> Result<Option<GroupState>> {
        let row = states.get(group.0).map_err(failed("reading a group's state"))?;
        row.map(|value| GroupState::decode(identity, group, value.value())).transpose()
    }
}

pub(super) fn encode_entry(group: GroupId, entry: &Entry) -> Vec<u8> {
    let mut value = Vec::with_capacity(9 + entry.payload.len() + CHECKSUM_BYTES);
    value.push(entry.kind as u8);
    value.extend(entry.term.0.to_le_bytes());
    value.extend(&entry.payload);
    seal(("entry", group.0, entry.index.0), value)
}

/// The entry that the outline tells of.
pub(super) fn decode_entry(group: GroupId, id: EntryId, value: &[u8]) -> Result<Entry> {
    let key = ("entry", group.0, id.index.0);
    let body = unseal(key, value)?;
    let parts = body.split_first().and_then(|(kind, rest)| {
        let (term, payload) = rest.split_first_chunk::<8>()?;
        Some((EntryKind::from_byte(*kind)?, Term(u64::from_le_bytes(*term)), payload))
    });
    match parts {
        Some((kind, term, payload)) if term == id.term => {
            Ok(Entry { index: id.index, term, kind, payload: payload.to_vec().into() })
        }
        _ => Err(corrupt(key, "it is not the entry that the log's outline tells of")),
    }
}

/// What the entry under a value counts for.
pub(super) fn entry_size_bytes(value: &[u8]) -> u64 {
    32 + value.len().saturating_sub(9 + CHECKSUM_BYTES) as u64
}

/// The keys of a group's entries from `first` on.
pub(super) fn from_index(group: GroupId, first: LogIndex) -> std::ops::RangeInclusive<(u64, u64)> {
    (group.0, first.0)..=(group.0, u64::MAX)
}

/// Which value: its table, and its key.
pub(super) type Key = (&'static str, u64, u64);

pub(super) fn seal(key: Key, mut value: Vec<u8>) -> Vec<u8> {
    value.extend(checksum(key, &value).to_le_bytes());
    value
}

pub(super) fn unseal(key: Key, value: &[u8]) -> Result<&[u8]> {
    let parts = value.split_last_chunk::<CHECKSUM_BYTES>();
    let (body, found) = parts.ok_or_else(|| corrupt(key, "it is too short to bear a checksum"))?;
    if u64::from_le_bytes(*found) == checksum(key, body) {
        return Ok(body);
    }
    Err(corrupt(key, "its checksum does not match"))
}

fn checksum((table, high, low): Key, body: &[u8]) -> u64 {
    xxh3_64_with_seed(body, xxh3_64_with_seed(&[high.to_le_bytes(), low.to_le_bytes()].concat(), table.len() as u64))
}

pub(super) fn corrupt((table, high, low): Key, why: &str) -> StorageError {
    let detail = format!("{table} {high}/{low}: {why}; wipe the node and let it join anew");
    StorageError::new(StorageErrorKind::Corrupt, "reading the database", detail)
}

/// What redb says, as what the caller does about it.
pub(super) fn failed<E: Into<redb::Error>>(during: &'static str) -> impl FnOnce(E) -> StorageError {
    move |error| {
        let error = error.into();
        let kind = match &error {
            redb::Error::Io(error) => return failed_io(during, error),
            redb::Error::Corrupted(_) => StorageErrorKind::Corrupt,
            redb::Error::DatabaseAlreadyOpen => StorageErrorKind::Locked,
            _ => StorageErrorKind::Io,
        };
        StorageError::new(kind, during, format!("redb, at byte 0 or beyond: {error}"))
    }
}

pub(super) fn failed_io(during: &str, error: &std::io::Error) -> StorageError {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull => StorageErrorKind::Full,
        std::io::ErrorKind::WouldBlock => StorageErrorKind::Locked,
        std::io::ErrorKind::InvalidData => StorageErrorKind::Corrupt,
        _ => StorageErrorKind::Io,
    };
    StorageError::new(kind, during, error.to_string())
}
