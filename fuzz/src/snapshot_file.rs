//! A snapshot's file as a node opens and reads it: header, chunks, end.

use std::path::Path;

use bytes::Bytes;
use eraft_core::{ConfState, EntryId, GroupId, NodeId, SnapshotMeta, StorageErrorKind, codec};
use eraft_storage_file::fuzzing::{SnapshotName, chunk};

use super::{
    directory::Directory,
    input::Input,
    memory,
    segment::{DIR, IDENTITY},
};

const INCARNATION: u64 = 0x1234;

/// What one step of a description says.
pub(crate) const META: u8 = 0;
pub(crate) const DATA: u8 = 1;
pub(crate) const END: u8 = 2;
const BYTES: u8 = 3;

/// The first two bytes are added to the size that the log names; then a description of what the file holds.
pub fn snapshot_file(input: &[u8]) -> bool {
    let mut input = Input(input);
    let conf_state = ConfState::of_voters([(NodeId(1), Bytes::from_static(b"127.0.0.1:7101"))]);
    let meta = SnapshotMeta { last: EntryId::new(2, 9), conf_state };
    let mut name = SnapshotName { identity: IDENTITY, group: GroupId::ZERO, meta, size_bytes: input.u16().into() };
    let (mut file, mut data) = (name.header(INCARNATION), Vec::new());
    while !input.is_empty() {
        let place = (INCARNATION, file.len() as u64);
        match input.byte() % 4 {
            META => file.extend(chunk(1, place, &codec::encode(&name.meta))),
            DATA => {
                let bytes = input.string();
                data.extend_from_slice(bytes);
                file.extend(chunk(2, place, bytes));
            }
            END => file.extend(chunk(3, place, &(data.len() as u64).to_le_bytes())),
            BYTES.. => file.extend_from_slice(input.string()),
        }
    }
    name.size_bytes = name.size_bytes.saturating_add(data.len() as u64);

    let mut directory = Directory::default();
    let limit_bytes = (3 << 20) + 4 * file.len();
    directory.put(name.path(Path::new(DIR)), file);
    let fs = directory.shared();
    match memory::within(limit_bytes, || name.read(&fs, Path::new(DIR))) {
        Ok(chunks) => {
            let read = chunks.concat();
            assert_eq!(read.len() as u64, name.size_bytes);
            assert!(data.starts_with(&read), "only what was written as data is data");
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), StorageErrorKind::Corrupt, "{error}");
            false
        }
    }
}
