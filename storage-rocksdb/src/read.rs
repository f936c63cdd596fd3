//! Reading entries: head, terms and entries as one view of the database shows them, so that they belong together.
//!
//! What a view shows is committed and synced: RocksDB shows a batch only after its sync. Every entry is verified, and held
//! against the outline, before it is handed out.

use std::ops::Range;

use bytes::Bytes;
use eraft_core::{Entry, EntryId, GroupId, LogIndex, Result, StorageError, StorageErrorKind, Term};

use crate::{
    database::{Database, View, iterate_view},
    engine::{group::Group, shared::Store},
    error::{self, corrupt_value},
    keys::{self, Row},
    options::Family,
    rows::Head,
    values::{self, hex},
};

const DURING: &str = "reading entries";

/// Entries of `range`, as many as `max_bytes` allows, at least one if there is one. Blocks.
///
/// # Errors
/// `Compacted` where the range starts at or below the base, `Corrupt` where an entry is not what was saved.
pub(crate) fn entries(store: &Store, group: &Group, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Entry>> {
    let outline_of = |group: &Group| {
        let committed = group.committed();
        (committed.state.outline.base().index, committed.state.outline.first_index())
    };
    let read = store.with(|database| read(store, database, group.id(), &range, max_bytes));
    match read {
        // Tables of compacted entries go at once, under the eyes of a view that still has them.
        Err(_) | Ok(None) if range.start <= outline_of(group).0 => {
            Err(compacted(group.id(), range.start, outline_of(group).1))
        }
        Ok(None) => Ok(Vec::new()),
        Ok(Some(Cut::Entries(entries))) => Ok(entries),
        Ok(Some(Cut::Compacted(first))) => Err(compacted(group.id(), range.start, first)),
        Err(error) => Err(error),
    }
}

/// What a view shows of a range.
enum Cut {
    Entries(Vec<Entry>),
    /// Its start is compacted; the log begins here.
    Compacted(LogIndex),
}

fn read(
    store: &Store,
    database: &Database,
    group: GroupId,
    range: &Range<LogIndex>,
    max_bytes: u64,
) -> Result<Option<Cut>> {
    let view = database.view();
    let store_id = store.identity.store;
    let key = keys::state(Row::Head, group, LogIndex::ZERO);
    let head = view.get_pinned_cf(database.family(Family::State)?, key).map_err(|found| error::rocks(DURING, found))?;
    // Nothing was ever saved of it.
    let Some(head) = head else { return Ok(None) };
    let head: Head = values::unseal(store_id, &key, &head)?;
    if range.start <= head.base.index {
        return Ok(Some(Cut::Compacted(head.base.index.next())));
    }
    let end = range.end.min(head.last_index.next());
    if range.start >= end {
        return Ok(Some(Cut::Entries(Vec::new())));
    }
    let mut terms = Terms::new(store, database, &view, group, range.start)?;
    let bounds = (keys::entry(group, range.start), keys::entry(group, end));
    let mut rows = iterate_view(database, &view, Family::Log, &bounds.0, &bounds.1)?;
    rows.seek_to_first();
    let (mut entries, mut size_bytes, mut index) = (Vec::new(), 0_u64, range.start);
    while index < end {
        let id = EntryId { term: terms.at(index)?, index };
        let key = keys::entry(group, index);
        let value = rows.item().filter(|(found, _)| *found == key).map(|(_, value)| value);
        let Some(value) = value else {
            rows.status().map_err(|found| error::rocks(DURING, found))?;
            return Err(corrupt_value(&hex(&key), format!("entry {id} is missing, and the outline has it")));
        };
        let stored = values::decode_entry(store_id, group, index, value)?;
        if stored.term != id.term {
            let detail = format!("an entry of term {}; the outline has {id}", stored.term);
            return Err(corrupt_value(&hex(&key), detail));
        }
        let payload = Bytes::copy_from_slice(stored.payload);
        let entry = Entry { index, term: id.term, kind: stored.kind, payload };
        size_bytes = size_bytes.saturating_add(entry.size_bytes());
        if size_bytes > max_bytes && !entries.is_empty() {
            break;
        }
        entries.push(entry);
        index = index.next();
        rows.next();
    }
    Ok(Some(Cut::Entries(entries)))
}

/// The terms of entries, in rising order of their indexes.
struct Terms<'a> {
    store: &'a Store,
    group: GroupId,
    rows: rocksdb::DBRawIterator<'a>,
    term: Term,
    /// The last index for which `term` is known to hold.
    known_to: LogIndex,
}

impl<'a> Terms<'a> {
    /// From `first` on.
    fn new(
        store: &'a Store,
        database: &'a Database,
        view: &'a View<'a>,
        group: GroupId,
        first: LogIndex,
    ) -> Result<Terms<'a>> {
        let bounds = (keys::state(Row::Term, group, LogIndex::ZERO), keys::state(Row::Term, group, LogIndex(u64::MAX)));
        let mut rows = iterate_view(database, view, Family::State, &bounds.0, &bounds.1)?;
        rows.seek_for_prev(keys::state(Row::Term, group, first));
        let mut terms = Terms { store, group, rows, term: Term::ZERO, known_to: LogIndex::ZERO };
        terms.step()?;
        Ok(terms)
    }

    fn at(&mut self, index: LogIndex) -> Result<Term> {
        while index > self.known_to {
            self.step()?;
        }
        Ok(self.term)
    }

    /// Takes the term that begins here, and looks where the next one does.
    fn step(&mut self) -> Result<()> {
        let Some((key, value)) = self.rows.item() else {
            self.rows.status().map_err(|found| error::rocks(DURING, found))?;
            let key = keys::state(Row::Term, self.group, self.known_to.next());
            return Err(corrupt_value(&hex(&key), "no term begins at or before an entry of the log"));
        };
        self.term = values::unseal(self.store.identity.store, key, value)?;
        self.rows.next();
        let next = self.rows.key().and_then(keys::row_numbers).map(|(_, index)| index);
        self.rows.status().map_err(|found| error::rocks(DURING, found))?;
        self.known_to = next.map_or(LogIndex::MAX, LogIndex::prev);
        Ok(())
    }
}

fn compacted(group: GroupId, start: LogIndex, first: LogIndex) -> StorageError {
    let detail = format!("entry {start} of group {group} is compacted; the log begins at {first}");
    StorageError::new(StorageErrorKind::Compacted, DURING, detail)
}
