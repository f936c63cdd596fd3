//! Which tables of snapshots the manifest says are live: those that one edit adds and no later one deletes.
//!
//! RocksDB reads the same at its own opening, and refuses the store where such a table is missing. This is read before, so that
//! a table that is only away can be put back. An edit was verified by its checksums before it comes here; one that is not
//! understood all the same was written by a RocksDB that this does not know, and then nothing is claimed at all.

use std::collections::BTreeMap;

use super::edits;
use crate::{keys, options::Family};

/// What stands in an edit, by RocksDB's numbers.
mod tag {
    pub(super) const COMPARATOR: u64 = 1;
    pub(super) const LOG_NUMBER: u64 = 2;
    pub(super) const NEXT_FILE_NUMBER: u64 = 3;
    pub(super) const LAST_SEQUENCE: u64 = 4;
    pub(super) const COMPACT_CURSOR: u64 = 5;
    pub(super) const DELETED_FILE: u64 = 6;
    pub(super) const PREV_LOG_NUMBER: u64 = 9;
    pub(super) const MIN_LOG_NUMBER: u64 = 10;
    pub(super) const NEW_FILE: u64 = 103;
    pub(super) const FAMILY: u64 = 200;
    pub(super) const FAMILY_ADD: u64 = 201;
    pub(super) const FAMILY_DROP: u64 = 202;
    pub(super) const MAX_FAMILY: u64 = 203;
    pub(super) const IN_ATOMIC_GROUP: u64 = 300;
    pub(super) const BLOB_FILE_ADDITION: u64 = 400;
    pub(super) const BLOB_FILE_GARBAGE: u64 = 401;
    /// Whatever has this bit may be passed over: a length, and so many bytes.
    pub(super) const MAY_BE_IGNORED: u64 = 1 << 13;
    /// Ends the further fields of a new file.
    pub(super) const NEW_FILE_END: u64 = 1;
    /// The same of a blob file.
    pub(super) const BLOB_FILE_END: u64 = 0;
}

/// What a key in a table has behind it: RocksDB's own number and kind of the change.
const KEY_TRAILER_BYTES: usize = 8;

/// A table of `snapshot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// By which its file is named.
    pub(crate) number: u64,
    pub(crate) size_bytes: u64,
    /// Its first chunk: the snapshot's id, and which one it is.
    pub(crate) first: (u64, u64),
}

/// What the edits of a manifest come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    live: BTreeMap<u64, Table>,
    /// RocksDB's number of the column family `snapshot`.
    family: Option<u64>,
    /// An edit was not understood.
    unknown: bool,
}

/// What one edit says.
#[derive(Debug, Default)]
struct Edit<'a> {
    family: u64,
    family_added: Option<&'a [u8]>,
    deleted: Vec<u64>,
    added: Vec<Table>,
}

impl Tables {
    /// Those that are live.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Table> {
        self.live.values()
    }

    /// The next edit.
    pub(super) fn take(&mut self, edit: &[u8]) {
        if self.unknown {
            return;
        }
        let Some(edit) = Edit::read(edit) else {
            *self = Tables { unknown: true, ..Tables::default() };
            return;
        };
        if edit.family_added == Some(Family::Snapshot.name().as_bytes()) {
            self.family = Some(edit.family);
        }
        // One that moves to another level is deleted from one and added to the other.
        for number in edit.deleted {
            self.live.remove(&number);
        }
        if Some(edit.family) == self.family {
            self.live.extend(edit.added.into_iter().map(|table| (table.number, table)));
        }
    }
}

impl<'a> Edit<'a> {
    fn read(bytes: &'a [u8]) -> Option<Edit<'a>> {
        let (mut edit, mut fields) = (Edit::default(), Fields(bytes));
        while !fields.0.is_empty() {
            match fields.number()? {
                tag::LOG_NUMBER
                | tag::NEXT_FILE_NUMBER
                | tag::LAST_SEQUENCE
                | tag::PREV_LOG_NUMBER
                | tag::MIN_LOG_NUMBER
                | tag::MAX_FAMILY
                | tag::IN_ATOMIC_GROUP => _ = fields.number()?,
                tag::COMPARATOR => _ = fields.bytes()?,
                tag::COMPACT_CURSOR => _ = (fields.number()?, fields.bytes()?),
                tag::DELETED_FILE => {
                    let _level = fields.number()?;
                    edit.deleted.push(fields.number()?);
                }
                tag::NEW_FILE => edit.added.extend(fields.new_file()?),
                tag::FAMILY => edit.family = fields.number()?,
                tag::FAMILY_ADD => edit.family_added = Some(fields.bytes()?),
                tag::FAMILY_DROP => {}
                tag::BLOB_FILE_ADDITION => {
                    let _number_count_size = (fields.number()?, fields.number()?, fields.number()?);
                    let _checksum = (fields.bytes()?, fields.bytes()?);
                    fields.pass_over(tag::BLOB_FILE_END)?;
                }
                tag::BLOB_FILE_GARBAGE => {
                    let _number_count_size = (fields.number()?, fields.number()?, fields.number()?);
                    fields.pass_over(tag::BLOB_FILE_END)?;
                }
                other if other & tag::MAY_BE_IGNORED != 0 => _ = fields.bytes()?,
                _ => return None,
            }
        }
        Some(edit)
    }
}

/// What is left of an edit.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u64> {
        edits::number(&mut self.0)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A table; `None` within where its keys are none of a snapshot's.
    fn new_file(&mut self) -> Option<Option<Table>> {
        let (_level, number, size_bytes) = (self.number()?, self.number()?, self.number()?);
        let (smallest, _largest) = (self.bytes()?, self.bytes()?);
        let _sequences = (self.number()?, self.number()?);
        self.pass_over(tag::NEW_FILE_END)?;
        let key = smallest.get(..smallest.len().checked_sub(KEY_TRAILER_BYTES)?)?;
        Some(keys::numbers(key).map(|first| Table { number, size_bytes, first }))
    }

    /// Further fields, up to their end.
    fn pass_over(&mut self, end: u64) -> Option<()> {
        while self.number()? != end {
            self.bytes()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILY: u64 = 3;

    fn number(bytes: &mut Vec<u8>, mut number: u64) {
        while number >= 0x80 {
            bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
            number >>= 7;
        }
        bytes.push(u8::try_from(number).unwrap());
    }

    fn bytes(edit: &mut Vec<u8>, bytes: &[u8]) {
        number(edit, bytes.len() as u64);
        edit.extend_from_slice(bytes);
    }

    fn numbers(edit: &mut Vec<u8>, these: &[u64]) {
        these.iter().for_each(|one| number(edit, *one));
    }

    /// An edit that makes the family.
    fn family() -> Vec<u8> {
        let mut edit = Vec::new();
        numbers(&mut edit, &[tag::FAMILY_ADD]);
        bytes(&mut edit, b"snapshot");
        numbers(&mut edit, &[tag::FAMILY, FAMILY]);
        edit
    }

    fn added(table: Table, family: u64) -> Vec<u8> {
        let mut edit = Vec::new();
        let key = [keys::chunk(table.first.0, table.first.1).as_slice(), &[1; KEY_TRAILER_BYTES]].concat();
        numbers(&mut edit, &[tag::LAST_SEQUENCE, 300, tag::NEW_FILE, 6, table.number, table.size_bytes]);
        bytes(&mut edit, &key);
        bytes(&mut edit, &key);
        numbers(&mut edit, &[7, 9, 12]);
        bytes(&mut edit, &[8; 16]);
        numbers(&mut edit, &[tag::NEW_FILE_END, tag::MAY_BE_IGNORED + 7]);
        bytes(&mut edit, b"a field of the future");
        // Behind the tables that it is of, as RocksDB writes it.
        numbers(&mut edit, &[tag::FAMILY, family]);
        edit
    }

    fn deleted(number: u64) -> Vec<u8> {
        let mut edit = Vec::new();
        numbers(&mut edit, &[tag::DELETED_FILE, 6, number, tag::FAMILY, FAMILY]);
        edit
    }

    fn live(edits: &[Vec<u8>]) -> Vec<Table> {
        let mut tables = Tables::default();
        edits.iter().for_each(|edit| tables.take(edit));
        tables.live().copied().collect()
    }

    const ONE: Table = Table { number: 39, size_bytes: 70_000, first: (u64::MAX, 0) };
    const OTHER: Table = Table { number: 40, size_bytes: 300, first: (u64::MAX, 64) };

    #[test]
    fn a_table_lives_from_the_edit_that_adds_it_to_the_one_that_deletes_it() {
        let edits = [family(), added(ONE, FAMILY), added(OTHER, FAMILY), deleted(ONE.number)];
        assert_eq!(live(&edits[..1]), []);
        assert_eq!(live(&edits[..3]), [ONE, OTHER]);
        assert_eq!(live(&edits), [OTHER]);
        let moved = [deleted(ONE.number), added(ONE, FAMILY)].concat();
        assert_eq!(live(&[family(), added(ONE, FAMILY), moved]), [ONE]);
    }

    #[test]
    fn tables_of_other_families_and_with_other_keys_are_passed_over() {
        let short = {
            let mut edit = Vec::new();
            numbers(&mut edit, &[tag::NEW_FILE, 0, 5, 5]);
            bytes(&mut edit, &[0; KEY_TRAILER_BYTES + 1]);
            bytes(&mut edit, &[0; KEY_TRAILER_BYTES + 1]);
            numbers(&mut edit, &[1, 1, tag::NEW_FILE_END, tag::FAMILY, FAMILY]);
            edit
        };
        assert_eq!(live(&[family(), added(ONE, FAMILY - 1), short, added(OTHER, FAMILY)]), [OTHER]);
    }

    #[test]
    fn after_an_edit_that_is_not_understood_nothing_is_claimed() {
        let whole = added(OTHER, FAMILY);
        for cut in 1..whole.len() {
            let edits = [family(), added(ONE, FAMILY), whole[..cut].to_vec(), added(OTHER, FAMILY)];
            let found = live(&edits);
            assert!(found.is_empty() || found == [ONE, OTHER], "cut at {cut}: {found:?}");
        }
        assert_eq!(live(&[family(), added(ONE, FAMILY), vec![99]]), []);
        assert_eq!(live(&[family(), added(ONE, FAMILY), vec![0xff; 40]]), []);
        assert_eq!(live(&[family(), added(ONE, FAMILY), vec![1, 0xff, 0xff, 0xff, 0xff, 0x7f]]), []);
    }
}
