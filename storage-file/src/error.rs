//! How damage in files becomes the storage port's errors: in the kit's words, by the place in a file.

use std::path::Path;

use eraft_core::StorageError;
pub(crate) use eraft_storage_kit::error::{corrupt, io, locked, not_initialised};

/// A file that another version of this software wrote; nothing was touched.
pub(crate) fn incompatible(path: &Path, offset: u64, detail: impl AsRef<str>) -> StorageError {
    eraft_storage_kit::error::incompatible(format_args!("{} at offset {offset}", path.display()), detail)
}
