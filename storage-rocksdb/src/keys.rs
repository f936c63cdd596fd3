//! Keys: big-endian numbers, so that RocksDB's order is the order of groups, entries and chunks.
//!
//! The first eight bytes of a key in `log` and `snapshot` are the group, or the snapshot's id.

use eraft_core::{GroupId, LogIndex};

/// Whose store it is; in `state`.
pub(crate) const IDENTITY: [u8; 1] = [0];
/// What confirms the batch before it; in `state`.
pub(crate) const MARK: [u8; 1] = [1];

/// What a row of a group's state holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Row {
    /// Hard state, and where the log begins and ends; there is one.
    Head = 2,
    /// The published snapshot; there is one at most.
    Published = 3,
    /// Where a term begins; one for each term in the log.
    Term = 4,
    /// A configuration entry; one for each in the log.
    Config = 5,
}

/// A row of `state`.
pub(crate) fn state(row: Row, group: GroupId, index: LogIndex) -> [u8; 17] {
    let mut key = [0; 17];
    let (kind, numbers) = key.split_at_mut(1);
    kind.fill(row as u8);
    numbers.copy_from_slice(&pair(group.0, index.0));
    key
}

/// An entry's key in `log`.
pub(crate) fn entry(group: GroupId, index: LogIndex) -> [u8; 16] {
    pair(group.0, index.0)
}

/// A chunk's key in `snapshot`.
pub(crate) fn chunk(id: u64, nth: u64) -> [u8; 16] {
    pair(id, nth)
}

/// The two numbers of a key in `log` or `snapshot`.
pub(crate) fn numbers(key: &[u8]) -> Option<(u64, u64)> {
    let (high, low) = key.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*high), u64::from_be_bytes(low.try_into().ok()?)))
}

/// The two numbers of a row's key in `state`.
pub(crate) fn row_numbers(key: &[u8]) -> Option<(GroupId, LogIndex)> {
    let (group, index) = numbers(key.get(1..)?)?;
    Some((GroupId(group), LogIndex(index)))
}

fn pair(high: u64, low: u64) -> [u8; 16] {
    let both = (u128::from(high) << 64) | u128::from(low);
    both.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_rise_with_their_numbers_and_read_back() {
        let keys = [(0, 1), (0, 255), (0, 256), (1, 0), (1, u64::MAX), (u64::MAX, 0)];
        let made = keys.map(|(group, index)| entry(GroupId(group), LogIndex(index)));
        assert!(made.is_sorted());
        assert_eq!(made.map(|key| numbers(&key).unwrap()), keys);
        let row = state(Row::Term, GroupId(7), LogIndex(300));
        assert_eq!((row[0], row_numbers(&row)), (4, Some((GroupId(7), LogIndex(300)))));
        assert_eq!((numbers(b"short"), row_numbers(b"")), (None, None));
    }
}
