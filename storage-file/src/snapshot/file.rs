//! A published snapshot's file, open and checked.

use std::{path::PathBuf, sync::Arc};

use eraft_core::{GroupId, Identity, Result, SnapshotMeta, codec};

use super::format::{CHUNK_HEADER_BYTES, ChunkKind, END_CHUNK_BYTES, FIRST_CHUNK, read, read_chunk};
use crate::{
    error,
    fs::{Access, Fs, FsFile},
    paths::{Paths, SnapshotName},
    segment::{
        bytes::Fields,
        header::{FileType, HEADER_BYTES, Header},
        record::Published,
    },
};

/// A complete snapshot file. Whoever holds a clone can read it to its end, also when its name is gone.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    pub(crate) name: SnapshotName,
    pub(crate) meta: SnapshotMeta,
    pub(crate) size_bytes: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn FsFile>,
    pub(crate) incarnation: u64,
    /// Where its first chunk of data begins.
    pub(crate) first_data: u64,
}

impl SnapshotFile {
    /// Opens the file that the log names, and checks that it is what the log says: whose it is, what it stands for, and
    /// that it is there to its end. Its data is verified when it is read.
    ///
    /// # Errors
    /// `Corrupt` where it is missing or is anything else.
    pub(crate) fn open(
        fs: &Arc<dyn Fs>,
        paths: &Paths,
        (identity, group): (Identity, GroupId),
        published: &Published,
    ) -> Result<SnapshotFile> {
        let name = published.name();
        let path = paths.snapshot(name);
        let file: Arc<dyn FsFile> = match fs.open_file(&path, Access::Read) {
            Ok(file) => Arc::from(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(error::corrupt(
                    &path,
                    0,
                    format!("the log names this snapshot of group {group}: it is missing"),
                ));
            }
            Err(error) => return Err(error::io("opening the published snapshot", &path, error)),
        };
        let mut block = vec![0; HEADER_BYTES];
        read(file.as_ref(), &path, &mut block, 0)?;
        let header = Header::decode(&block, FileType::Snapshot, &path)?;
        if header.identity != identity || header.number != group.0 {
            return Err(error::corrupt(
                &path,
                0,
                format!(
                    "a snapshot of group {} of {:?}; expected group {group} of {identity:?}",
                    header.number, header.identity
                ),
            ));
        }
        let (kind, meta, first_data) = read_chunk(file.as_ref(), &path, header.incarnation, FIRST_CHUNK)?;
        if kind != ChunkKind::Meta || codec::decode::<SnapshotMeta>(&meta).ok().as_ref() != Some(&published.meta) {
            let detail = format!("it does not stand for the state that the log names, {}", published.meta.last);
            return Err(error::corrupt(&path, FIRST_CHUNK, detail));
        }
        check_end(file.as_ref(), &path, header.incarnation, published.size_bytes)?;
        Ok(SnapshotFile {
            name,
            meta: published.meta.clone(),
            size_bytes: published.size_bytes,
            path,
            file,
            incarnation: header.incarnation,
            first_data,
        })
    }
}

/// Checks that the file ends with the chunk that ends a snapshot of `size_bytes`.
fn check_end(file: &dyn FsFile, path: &std::path::Path, incarnation: u64, size_bytes: u64) -> Result<()> {
    let len_bytes = file.len_bytes().map_err(|error| error::io("opening the published snapshot", path, error))?;
    let end = len_bytes.saturating_sub(END_CHUNK_BYTES).max(FIRST_CHUNK + CHUNK_HEADER_BYTES as u64);
    let (kind, data, _) = read_chunk(file, path, incarnation, end)?;
    if kind != ChunkKind::End || Fields(&data).u64() != Some(size_bytes) {
        return Err(error::corrupt(path, end, format!("expected the end of a snapshot of {size_bytes} bytes")));
    }
    Ok(())
}
