//! RocksDB's log and its manifest, as an opening judges them.

use eraft_storage_rocksdb::fuzzing::{append_record, scan};

use super::{input::Input, memory};

/// What one step of a description says.
pub(crate) const RECORD: u8 = 0;
const DAMAGED: u8 = 1;
const BYTES: u8 = 2;
const LONG: u8 = 3;

/// Checksums of a block, and the powers that they are reckoned with.
const FIXED_BYTES: usize = 1 << 20;

/// The first byte chooses between log and manifest; then a description of what the file holds.
pub fn rocksdb_log(input: &[u8]) -> bool {
    let mut input = Input(input);
    let is_manifest = !input.byte().is_multiple_of(2);
    let mut file = Vec::new();
    while !input.is_empty() {
        match input.byte() % 4 {
            RECORD => append_record(&mut file, input.string()),
            DAMAGED => {
                let (at, start) = (usize::from(input.u16()), file.len());
                append_record(&mut file, input.string());
                let length = file.len() - start;
                file[start + at % length] ^= 1 << (at % 8);
            }
            // Over the ends of blocks.
            LONG => {
                let length = usize::from(input.u16());
                let mut payload = input.string().to_vec();
                payload.resize(payload.len() + length, 0);
                append_record(&mut file, &payload);
            }
            BYTES.. => file.extend_from_slice(input.string()),
        }
    }
    let found = memory::within(FIXED_BYTES + 64 * file.len(), || scan(is_manifest, &file));
    let length = file.len() as u64;
    assert!(found.end <= found.bad.unwrap_or(length), "{found:?}");
    assert!(found.bad.is_none_or(|bad| bad <= length) && found.confirmed.is_none_or(|at| Some(at) >= found.bad));
    if found.bad.is_some() && found.confirmed.is_none() {
        // Without its torn tail it is whole, and holds the same.
        file.truncate(usize::try_from(found.end).unwrap());
        let again = scan(is_manifest, &file);
        assert_eq!((again.bad, again.end), (None, found.end));
        assert_eq!((again.records, again.sequences), (found.records, found.sequences));
    }
    found.bad.is_none()
}
