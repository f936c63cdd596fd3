//! Values: each bears a version and a checksum of its own, since RocksDB's cover what it was handed, not what we meant.
//!
//! A checksum covers the store's id and the key, so that a value under another key, or of another store, does not verify.
//! Bytes come from a disk: they are never trusted, and never make us panic.

use crc_fast::{CrcAlgorithm, Digest};
use eraft_core::{Entry, EntryKind, GroupId, LogIndex, Result, StoreId, Term, codec};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{corrupt_value, incompatible},
    keys,
};

/// The version that this build writes.
pub(crate) const VERSION: u8 = 1;

pub(crate) const CRC_BYTES: usize = 4;
/// Version, kind, term, bytes up to here.
const ENTRY_FIELDS_BYTES: usize = 1 + 1 + 8 + 8;
/// What stands before an entry's payload.
pub(crate) const ENTRY_HEADER_BYTES: usize = ENTRY_FIELDS_BYTES + CRC_BYTES;

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredEntry<'a> {
    pub(crate) kind: EntryKind,
    pub(crate) term: Term,
    /// What this entry and all before it in the group took, ever: the difference of two is what lies between them.
    pub(crate) through_bytes: u64,
    pub(crate) payload: &'a [u8],
}

/// CRC-32C of the store's id, the key and all `parts`.
pub(crate) fn checksum(store: StoreId, key: &[u8], parts: &[&[u8]]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&store.0.to_le_bytes());
    digest.update(key);
    for part in parts {
        digest.update(part);
    }
    let [a, b, c, d, ..] = digest.finalize().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Metadata: versioned MessagePack behind its checksum.
pub(crate) fn seal<T: Serialize>(store: StoreId, key: &[u8], value: &T) -> Vec<u8> {
    sealed(store, key, &codec::encode(value))
}

/// A body behind its checksum.
pub(crate) fn sealed(store: StoreId, key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CRC_BYTES + body.len());
    bytes.extend(checksum(store, key, &[body]).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// What [`seal`] was given.
///
/// # Errors
/// `Corrupt` where the checksum does not match, `Incompatible` for another version.
pub(crate) fn unseal<T: DeserializeOwned>(store: StoreId, key: &[u8], bytes: &[u8]) -> Result<T> {
    let name = hex(key);
    let (crc, body) = bytes.split_first_chunk::<CRC_BYTES>().ok_or_else(|| too_short(&name, bytes, CRC_BYTES))?;
    check(store, key, u32::from_le_bytes(*crc), &[body])?;
    codec::decode(body).map_err(|error| match error {
        codec::DecodeError::Version { .. } => incompatible(format!("key {name}"), error.to_string()),
        codec::DecodeError::Malformed(_) => corrupt_value(&name, error.to_string()),
    })
}

/// An entry's value, into `bytes`, which is emptied first.
pub(crate) fn encode_entry(store: StoreId, group: GroupId, entry: &Entry, through_bytes: u64, bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.push(VERSION);
    bytes.push(entry.kind as u8);
    bytes.extend(entry.term.0.to_le_bytes());
    bytes.extend(through_bytes.to_le_bytes());
    let crc = checksum(store, &keys::entry(group, entry.index), &[bytes, &entry.payload]);
    bytes.extend(crc.to_le_bytes());
    bytes.extend_from_slice(&entry.payload);
}

/// The entry that stands under a key.
///
/// # Errors
/// As [`unseal`].
pub(crate) fn decode_entry(store: StoreId, group: GroupId, index: LogIndex, bytes: &[u8]) -> Result<StoredEntry<'_>> {
    let key = keys::entry(group, index);
    let parts = bytes.split_at_checked(ENTRY_FIELDS_BYTES).and_then(|(fields, rest)| {
        let (crc, payload) = rest.split_first_chunk::<CRC_BYTES>()?;
        Some((fields, u32::from_le_bytes(*crc), payload))
    });
    let (fields, crc, payload) = parts.ok_or_else(|| too_short(&hex(&key), bytes, ENTRY_HEADER_BYTES))?;
    check(store, &key, crc, &[fields, payload])?;
    let [version, kind, numbers @ ..] = fields else { return Err(too_short(&hex(&key), bytes, ENTRY_HEADER_BYTES)) };
    check_version(&key, *version)?;
    let numbers = numbers.split_first_chunk::<8>().and_then(|(term, through)| {
        Some((Term(u64::from_le_bytes(*term)), u64::from_le_bytes(through.try_into().ok()?)))
    });
    match EntryKind::from_byte(*kind).zip(numbers) {
        Some((kind, (term, through_bytes))) => Ok(StoredEntry { kind, term, through_bytes, payload }),
        None => Err(corrupt_value(&hex(&key), format!("an entry of kind {kind}; expected 0 to 2"))),
    }
}

/// A chunk's value.
pub(crate) fn encode_chunk(store: StoreId, id: u64, nth: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + CRC_BYTES + payload.len());
    bytes.push(VERSION);
    bytes.extend(checksum(store, &keys::chunk(id, nth), &[&[VERSION], payload]).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The chunk that stands under a key.
///
/// # Errors
/// As [`unseal`].
pub(crate) fn decode_chunk(store: StoreId, id: u64, nth: u64, bytes: &[u8]) -> Result<&[u8]> {
    let key = keys::chunk(id, nth);
    let parts = bytes.split_first().and_then(|(version, rest)| {
        let (crc, payload) = rest.split_first_chunk::<CRC_BYTES>()?;
        Some((*version, u32::from_le_bytes(*crc), payload))
    });
    let (version, crc, payload) = parts.ok_or_else(|| too_short(&hex(&key), bytes, 1 + CRC_BYTES))?;
    check(store, &key, crc, &[&[version], payload])?;
    check_version(&key, version)?;
    Ok(payload)
}

/// A key as messages tell it.
pub(crate) fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check(store: StoreId, key: &[u8], found: u32, parts: &[&[u8]]) -> Result<()> {
    let expected = checksum(store, key, parts);
    if found == expected {
        return Ok(());
    }
    Err(corrupt_value(&hex(key), format!("its checksum is {found:08x}, expected {expected:08x}")))
}

/// The checksum has matched by now, so another version is no damage.
fn check_version(key: &[u8], version: u8) -> Result<()> {
    if version == VERSION {
        return Ok(());
    }
    Err(incompatible(format!("key {}", hex(key)), format!("version {version}; this build reads version {VERSION}")))
}

fn too_short(key: &str, bytes: &[u8], expected: usize) -> eraft_core::StorageError {
    corrupt_value(key, format!("{} bytes; expected {expected} at least", bytes.len()))
}

#[cfg(test)]
mod tests {
    use eraft_core::StorageErrorKind::{Corrupt, Incompatible};

    use super::*;

    const STORE: StoreId = StoreId(7);

    #[test]
    fn an_entry_reads_back_under_its_own_key_in_its_own_store_only() {
        let entry = Entry::command(Term(3), LogIndex(9), "payload");
        let mut bytes = vec![1, 2, 3];
        encode_entry(STORE, GroupId(1), &entry, 500, &mut bytes);
        let read = decode_entry(STORE, GroupId(1), LogIndex(9), &bytes).unwrap();
        let expected = StoredEntry { kind: EntryKind::Command, term: Term(3), through_bytes: 500, payload: b"payload" };
        assert_eq!(read, expected);
        for (store, group, index) in [(8, 1, 9), (7, 2, 9), (7, 1, 10)] {
            let error = decode_entry(StoreId(store), GroupId(group), LogIndex(index), &bytes).unwrap_err();
            assert_eq!(error.kind(), Corrupt);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_corrupt() {
        let mut entry = Vec::new();
        encode_entry(STORE, GroupId(1), &Entry::command(Term(3), LogIndex(9), "payload"), 500, &mut entry);
        let chunk = encode_chunk(STORE, 4, 2, b"payload");
        let sealed = seal(STORE, b"key", &(1_u64, "text"));
        type Read = fn(&[u8]) -> Result<()>;
        let values: [(Vec<u8>, Read); 3] = [
            (entry, |bytes| decode_entry(STORE, GroupId(1), LogIndex(9), bytes).map(|_| ())),
            (chunk, |bytes| decode_chunk(STORE, 4, 2, bytes).map(|_| ())),
            (sealed, |bytes| unseal::<(u64, String)>(STORE, b"key", bytes).map(|_| ())),
        ];
        for (bytes, read) in values {
            read(&bytes).unwrap();
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(read(&damaged).unwrap_err().kind(), Corrupt, "bit {bit}");
            }
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]).unwrap_err().kind(), Corrupt, "cut at {cut}");
            }
        }
    }

    #[test]
    fn another_version_with_a_right_checksum_is_incompatible() {
        let mut bytes = vec![VERSION + 1];
        bytes.extend(checksum(STORE, &keys::chunk(4, 2), &[&[VERSION + 1], b"x"]).to_le_bytes());
        bytes.extend(b"x");
        assert_eq!(decode_chunk(STORE, 4, 2, &bytes).unwrap_err().kind(), Incompatible);
        let body = [codec::VERSION + 1, 0];
        let mut sealed = checksum(STORE, b"key", &[&body]).to_le_bytes().to_vec();
        sealed.extend(body);
        assert_eq!(unseal::<u64>(STORE, b"key", &sealed).unwrap_err().kind(), Incompatible);
    }
}
