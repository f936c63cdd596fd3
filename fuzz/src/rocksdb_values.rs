//! What stands in RocksDB under keys of ours, and in the files beside it.

use eraft_core::{GroupId, LogIndex, StorageErrorKind, StoreId};
use eraft_storage_rocksdb::fuzzing::{chunk, entry, groups, raw, rows, seal};

use super::{input::Input, memory, peer::OURS};

/// A list reserves room for as many elements as it claims to have, but for no more than a mebibyte; no value of ours
/// has more than three lists open at once.
const RESERVED_BYTES: usize = 3 << 20;
const FACTOR: usize = 64;

pub(crate) const STORE: StoreId = StoreId(7);

/// The first byte chooses what the rest is: an entry, a chunk, a seal, all without their checksums; or any value as it stands.
pub fn rocksdb_value(input: &[u8]) -> bool {
    let mut input = Input(input);
    let choice = input.byte() % 4;
    let limit_bytes = RESERVED_BYTES + FACTOR * input.0.len();
    let outcome = memory::within(limit_bytes, || match choice {
        0 => entry(STORE, GroupId(1), LogIndex(9), input.0).map(|(_, value, again)| assert_eq!(value, again)),
        1 => chunk(STORE, 4, 2, input.byte(), input.0).map(|payload| assert_eq!(payload, input.0)),
        2 => seal(input.0).map(|_files| ()),
        _ => raw(STORE, input.0),
    });
    if let Err(error) = &outcome {
        let kind = error.kind();
        assert!(matches!(kind, StorageErrorKind::Corrupt | StorageErrorKind::Incompatible), "{error}");
    }
    outcome.is_ok()
}

/// A description of rows: what each is of, group and index, and its value without the checksum.
pub fn rocksdb_rows(input: &[u8]) -> bool {
    let (length, mut input) = (input.len(), Input(input));
    let mut described = Vec::new();
    while !input.is_empty() {
        let kind = input.byte() % 8;
        let (group, index) = (u64::from(input.byte()), u64::from(input.u16()));
        let key = [&[kind][..], &group.to_be_bytes(), &index.to_be_bytes()].concat();
        described.push((key, input.string().to_vec()));
    }
    let read = memory::within(RESERVED_BYTES + FACTOR * length, || groups(OURS, &described));
    match read {
        Ok(read) => {
            for (id, state) in read {
                assert!(state.outline.is_valid(), "{state:?}");
                let again = groups(OURS, &rows(id, &state)).unwrap();
                assert_eq!(again.get(&id), Some(&state));
            }
            true
        }
        Err(error) => {
            let kind = error.kind();
            assert!(matches!(kind, StorageErrorKind::Corrupt | StorageErrorKind::Incompatible), "{error}");
            false
        }
    }
}
