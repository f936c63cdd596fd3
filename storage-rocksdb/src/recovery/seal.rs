//! The seal: what RocksDB's files were like when the store was closed.
//!
//! RocksDB reads a manifest whose record has a wrong length as one that ends there, and may open an older store, or a blank
//! one. A closed store need not be believed: its files are the ones that were sealed, or it is damaged. The seal is removed,
//! and that synced, before anything is written; so a store that was not closed has none.

use std::{collections::BTreeMap, path::Path};

use crc_fast::{CrcAlgorithm, Digest};
use eraft_core::{Result, StorageErrorKind, StoreId};
use serde::{Deserialize, Serialize};

use super::log::LOG_SUFFIX;
use crate::{error, files, paths::Paths, values};

const DURING: &str = "sealing a closed store";
/// How table files end.
const TABLE_SUFFIX: &str = ".sst";
/// More than the list of a million files takes.
const MAX_BYTES: u64 = 64 << 20;
const KEY: &[u8] = b"SEAL";
/// What a file is read by.
const BLOCK_BYTES: usize = 64 << 10;
/// The end of a table: what RocksDB reads of it at an opening, and whose damage it tells without a name.
const TABLE_END_BYTES: u64 = 4 << 10;

/// The files that the data is in, by name: their length, and a CRC-32C of the small ones on which all others hang, and of the
/// end of each table.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seal {
    pub(crate) files: BTreeMap<String, (u64, Option<u32>)>,
}

/// Seals a store whose database is closed, with what its files hold synced; their names are made durable here.
pub(crate) fn write(paths: &Paths) -> Result<()> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| error::io(DURING, &path, source)
    };
    files::make_private(&paths.db).map_err(io(&paths.db))?;
    files::sync_dir(&paths.db).map_err(io(&paths.db))?;
    let bytes = values::seal(StoreId(0), KEY, &look(paths)?);
    files::remove(&paths.new_seal).map_err(io(&paths.new_seal))?;
    files::create(&paths.new_seal, &bytes).map_err(io(&paths.new_seal))?;
    files::rename(&paths.new_seal, &paths.seal).map_err(io(&paths.seal))?;
    files::sync_dir(&paths.dir).map_err(io(&paths.dir))
}

/// Compares the files with the seal, if there is one.
///
/// # Errors
/// `Corrupt`, naming the file that differs; `Incompatible` for another version's seal.
pub(crate) fn check(paths: &Paths) -> Result<()> {
    let bytes = match files::read(&paths.seal, MAX_BYTES) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        bytes => bytes.map_err(|source| error::io("opening a store", &paths.seal, source))?,
    };
    let sealed: Seal = values::unseal(StoreId(0), KEY, &bytes).map_err(|found| match found.kind() {
        StorageErrorKind::Incompatible => error::incompatible(paths.seal.display(), found.detail()),
        _ => error::corrupt(&paths.seal, 0, format!("{} bytes that are no seal", bytes.len())),
    })?;
    let found = look(paths)?;
    for (name, expected) in &sealed.files {
        let path = paths.db.join(name);
        match found.files.get(name) {
            None => {
                return Err(error::corrupt(&path, 0, "the file is missing; it was there when the store was closed"));
            }
            Some(found) if found != expected => {
                let detail =
                    format!("length and checksum are {found:?}, and were {expected:?} when the store was closed");
                return Err(error::corrupt(&path, 0, detail));
            }
            Some(_) => {}
        }
    }
    // A log that is back would be read again.
    match found.files.keys().find(|name| !sealed.files.contains_key(*name)) {
        None => Ok(()),
        Some(name) => Err(error::corrupt(&paths.db.join(name), 0, "the file was not there when the store was closed")),
    }
}

/// Removes the seal, durably. Where there is none it may be gone from the cache alone, so that is synced, too.
pub(crate) fn remove(paths: &Paths) -> Result<()> {
    let io = |source| error::io("opening a store", &paths.seal, source);
    files::remove(&paths.seal).map_err(io)?;
    files::sync_dir(&paths.dir).map_err(io)
}

fn look(paths: &Paths) -> Result<Seal> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| error::io(DURING, &path, source)
    };
    let small = |name: &str| name == "CURRENT" || name.starts_with("MANIFEST-");
    let ours = |name: &str| {
        small(name) || name.ends_with(TABLE_SUFFIX) || name.ends_with(LOG_SUFFIX) || name.ends_with(".blob")
    };
    let mut files = BTreeMap::new();
    for (name, path, found) in files::files(&paths.db, ours).map_err(io(&paths.db))? {
        let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        if small(&name) {
            files::read_blocks(&path, BLOCK_BYTES, |block| digest.update(block)).map_err(io(&path))?;
        } else if name.ends_with(TABLE_SUFFIX) {
            digest.update(&files::read_end(&path, TABLE_END_BYTES).map_err(io(&path))?);
        }
        files.insert(name, (found.len_bytes, u32::try_from(digest.finalize()).ok()));
    }
    Ok(Seal { files })
}

#[cfg(test)]
mod tests {
    use eraft_core::codec;

    use super::*;

    #[test]
    fn a_seal_of_a_newer_version_is_incompatible_and_a_damaged_one_corrupt() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        let newer = values::sealed(StoreId(0), KEY, &[codec::VERSION + 1, 0]);
        files::create(&paths.seal, &newer).unwrap();
        assert_eq!(check(&paths).unwrap_err().kind(), StorageErrorKind::Incompatible);
        files::cut(&paths.seal, newer.len() as u64 - 1).unwrap();
        assert_eq!(check(&paths).unwrap_err().kind(), StorageErrorKind::Corrupt);
    }
}
