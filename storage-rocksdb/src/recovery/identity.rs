//! Whose store a directory is, in a file beside the database: known before RocksDB is asked for anything.

use std::path::Path;

use eraft_core::{Identity, Result, StoreId};

use crate::{error, files, values};

/// Longer than any identity is.
const MAX_BYTES: u64 = 4096;
/// What stands for the key in the checksum; the store's id is not known before it is read.
const KEY: &[u8] = b"STORE";

pub(crate) fn write(path: &Path, identity: Identity) -> Result<()> {
    let bytes = values::seal(StoreId(0), KEY, &identity);
    files::create(path, &bytes).map_err(|source| error::io("creating a store", path, source))
}

/// # Errors
/// `Corrupt` where it is missing or does not verify, `Incompatible` for another version.
pub(crate) fn read(path: &Path) -> Result<Identity> {
    let bytes = files::read(path, MAX_BYTES).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => error::corrupt(path, 0, "the file is missing; a store always has it"),
        _ => error::io("opening a store", path, source),
    })?;
    values::unseal(StoreId(0), KEY, &bytes).map_err(|found| match found.kind() {
        eraft_core::StorageErrorKind::Incompatible => error::incompatible(path.display(), found.detail()),
        _ => error::corrupt(path, 0, format!("{} bytes that are no identity", bytes.len())),
    })
}
