//! Inputs to begin with for the targets of RocksDB's backend.

use std::collections::BTreeMap;

use eraft_core::{EntryId, GroupId, LogIndex, RaftState};
use eraft_storage_rocksdb::fuzzing::{entry, entry_body, rows, seal_body};

use super::{
    peer::OURS,
    rocksdb_log::RECORD,
    rocksdb_values::STORE,
    seeds::{entries, hard_state, meta, step},
};

pub(crate) fn seeds() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    BTreeMap::from([("rocksdb_log", logs()), ("rocksdb_value", values()), ("rocksdb_rows", states())])
}

/// A batch that begins with this change, and makes so many.
fn batch(first: u64, count: u32) -> Vec<u8> {
    step(RECORD, &[&first.to_le_bytes()[..], &count.to_le_bytes(), b"rows"].concat())
}

/// An edit of a family, with so many of its group to come.
fn edit(family: u8, left: u8) -> Vec<u8> {
    step(RECORD, &[4, 9, 0xc8, 1, family, 0xac, 2, left])
}

fn logs() -> Vec<Vec<u8>> {
    let log = [vec![0], batch(1, 3), batch(4, 1), batch(9, 2)].concat();
    let manifest = [vec![1], step(RECORD, &[4, 3]), edit(1, 2), edit(2, 1), edit(3, 0)].concat();
    vec![log, manifest]
}

fn values() -> Vec<Vec<u8>> {
    let command = &entries()[1];
    let body = entry_body(STORE, GroupId(1), command);
    let (_, value, _) = entry(STORE, GroupId(1), LogIndex(2), &body).unwrap();
    let seal = seal_body(&[("CURRENT", 16, Some(7)), ("000012.sst", 1200, None)]);
    let described: [(u8, &[u8]); 4] = [(0, &body), (1, b"\x01chunk"), (2, &seal), (3, &value)];
    described.map(|(choice, rest)| [&[choice], rest].concat()).into()
}

fn states() -> Vec<Vec<u8>> {
    let mut state = RaftState { hard_state: hard_state(), ..RaftState::blank(OURS) };
    let blank = described(&state);
    state.outline.append(&entries()).unwrap();
    state.snapshot = Some(meta());
    let with_a_log = described(&state);
    state.outline.compact_to(EntryId::new(1, 2)).unwrap();
    vec![blank, with_a_log, described(&state)]
}

/// The rows of group 1 in this state.
fn described(state: &RaftState) -> Vec<u8> {
    let row = |(key, body): (Vec<u8>, Vec<u8>)| {
        let index = u16::try_from(u64::from_be_bytes(key[9..].try_into().unwrap())).unwrap();
        let [low, high] = index.to_le_bytes();
        [&[key[0], 1, low][..], &step(high, &body)].concat()
    };
    rows(GroupId(1), state).into_iter().flat_map(row).collect()
}
