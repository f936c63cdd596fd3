//! What the fuzz targets (`fuzz/`) reach of this crate: the decoders of the store's files and values, on whatever bytes, and
//! the encoders that make honest ones.
//!
//! No part of the interface: hidden, and free to change. It holds no rule of its own, or the targets would test that instead
//! of what an open store runs.

use std::collections::BTreeMap;

use eraft_core::{Entry, GroupId, Identity, LogIndex, RaftState, Result, StoreId, codec};

use crate::{
    keys::{self, Row},
    recovery::{
        scan::{self, BLOCK_BYTES, Kind, Scanner},
        seal::Seal,
    },
    rows::{self, GroupState, Published},
    values,
};

/// What a scan of RocksDB's log, or of its manifest, has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Records that verify, up to the first that does not.
    pub records: u64,
    /// Where the last of them ends.
    pub end: u64,
    /// The first and the last sequence number in them.
    pub sequences: Option<(u64, u64)>,
    /// Where the first record begins that does not verify.
    pub bad: Option<u64>,
    /// Where a good record begins behind that.
    pub confirmed: Option<u64>,
}

/// Reads a log, or a manifest.
pub fn scan(is_manifest: bool, bytes: &[u8]) -> Scanned {
    let mut scanner = Scanner::new(if is_manifest { Kind::Manifest } else { Kind::Log });
    bytes.chunks(BLOCK_BYTES).for_each(|block| scanner.block(block));
    let found = scanner.finish();
    let scan::Found { records, end, sequences, bad, confirmed, .. } = found;
    Scanned { records, end, sequences, bad, confirmed }
}

/// Appends one record to a log, as RocksDB writes it.
pub fn append_record(log: &mut Vec<u8>, payload: &[u8]) {
    const FRAGMENT_HEADER_BYTES: usize = 7;
    let (mut rest, mut first) = (payload, true);
    loop {
        let left = BLOCK_BYTES - log.len() % BLOCK_BYTES;
        if left < FRAGMENT_HEADER_BYTES {
            log.resize(log.len() + left, 0);
            continue;
        }
        let (part, later) = rest.split_at(rest.len().min(left - FRAGMENT_HEADER_BYTES));
        let kind = match (first, later.is_empty()) {
            (true, true) => 1,
            (true, false) => 2,
            (false, false) => 3,
            (false, true) => 4,
        };
        log.extend(scan::checksum(kind, part).to_le_bytes());
        log.extend((part.len() & 0xffff).to_le_bytes().first_chunk::<2>().unwrap_or(&[0, 0]));
        log.push(kind);
        log.extend(part);
        (rest, first) = (later, false);
        if rest.is_empty() {
            return;
        }
    }
}

/// The entry that stands under its key, from a value that this covers with a true checksum: 18 bytes of fields, and the
/// payload. And the value that is written of the entry.
///
/// # Errors
/// What reading answers.
pub fn entry(store: StoreId, group: GroupId, index: LogIndex, body: &[u8]) -> Result<(Entry, Vec<u8>, Vec<u8>)> {
    let (fields, payload) = body.split_at(body.len().min(values::ENTRY_HEADER_BYTES - values::CRC_BYTES));
    let crc = values::checksum(store, &keys::entry(group, index), &[fields, payload]);
    let value = [fields, &crc.to_le_bytes(), payload].concat();
    let read = values::decode_entry(store, group, index, &value)?;
    let payload = read.payload.to_vec().into();
    let entry = Entry { index, term: read.term, kind: read.kind, payload };
    let mut again = Vec::new();
    values::encode_entry(store, group, &entry, read.through_bytes, &mut again);
    Ok((entry, value, again))
}

/// What an entry's value holds before its checksum, and behind it.
pub fn entry_body(store: StoreId, group: GroupId, entry: &Entry) -> Vec<u8> {
    let mut value = Vec::new();
    values::encode_entry(store, group, entry, 500, &mut value);
    let fields = values::ENTRY_HEADER_BYTES - values::CRC_BYTES;
    value.drain(fields..values::ENTRY_HEADER_BYTES);
    value
}

/// The chunk that stands under its key, from a value that this covers with a true checksum.
///
/// # Errors
/// What reading answers.
pub fn chunk(store: StoreId, id: u64, nth: u64, version: u8, payload: &[u8]) -> Result<Vec<u8>> {
    let crc = values::checksum(store, &keys::chunk(id, nth), &[&[version], payload]);
    let value = [&[version][..], &crc.to_le_bytes(), payload].concat();
    Ok(values::decode_chunk(store, id, nth, &value)?.to_vec())
}

/// A value as it stands, read as each of them.
///
/// # Errors
/// What reading answers, where it is none.
pub fn raw(store: StoreId, bytes: &[u8]) -> Result<()> {
    let (group, index, key) = (GroupId(1), LogIndex(2), b"STORE");
    let entry = values::decode_entry(store, group, index, bytes).map(|_| ());
    let chunk = values::decode_chunk(store, group.0, index.0, bytes).map(|_| ());
    entry.or(chunk).or_else(|_| values::unseal::<Identity>(store, key, bytes).map(|_| ()))
}

/// The seal of a closed store, from a value that this covers with a true checksum: how many files it names.
///
/// # Errors
/// What opening answers.
pub fn seal(body: &[u8]) -> Result<usize> {
    let (store, key) = (StoreId(0), b"SEAL");
    let seal: Seal = values::unseal(store, key, &values::sealed(store, key, body))?;
    let again: Seal = values::unseal(store, key, &values::seal(store, key, &seal))?;
    assert_eq!(again, seal);
    Ok(seal.files.len())
}

/// What the seal of such files holds.
pub fn seal_body(files: &[(&str, u64, Option<u32>)]) -> Vec<u8> {
    let files = files.iter().map(|(name, len_bytes, crc)| ((*name).to_owned(), (*len_bytes, *crc))).collect();
    codec::encode(&Seal { files }).to_vec()
}

/// Every group that these rows of `state` tell of: each a key, and what its value covers with a true checksum.
///
/// # Errors
/// What opening answers.
pub fn groups(identity: Identity, rows: &[(Vec<u8>, Vec<u8>)]) -> Result<BTreeMap<GroupId, RaftState>> {
    let mut gathered = BTreeMap::new();
    for (key, body) in rows {
        rows::gather(identity.store, &mut gathered, key, &values::sealed(identity.store, key, body))?;
    }
    gathered.into_iter().map(|(id, rows)| Ok((id, rows.into_state(identity, id)?.state))).collect()
}

/// The rows of a group in this state.
pub fn rows(group: GroupId, state: &RaftState) -> Vec<(Vec<u8>, Vec<u8>)> {
    let published = state.snapshot.clone().map(|meta| Published { id: group.0 + 1, meta, size_bytes: 5, chunks: 1 });
    let state = GroupState { state: state.clone(), published, base_through: 0, last_through: 0 };
    let row = |row, index, body: bytes::Bytes| (keys::state(row, group, index).to_vec(), body.to_vec());
    let outline = &state.state.outline;
    let mut rows = vec![row(Row::Head, LogIndex::ZERO, codec::encode(&state.head()))];
    if state.published.is_some() {
        rows.push(row(Row::Published, LogIndex::ZERO, codec::encode(&state.published)));
    }
    rows.extend(outline.terms().iter().map(|(index, term)| row(Row::Term, *index, codec::encode(term))));
    rows.extend(outline.configs().iter().map(|(index, conf)| row(Row::Config, *index, codec::encode(conf))));
    rows
}
