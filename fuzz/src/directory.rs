//! A directory in memory that is only read: what a target lets a store find.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use eraft_storage_file::fs::{Access, DirEntry, FileKind, Fs, FsFile, FsLock, Metadata};

/// Files by path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory(BTreeMap<PathBuf, Bytes>);

type Bytes = Arc<Vec<u8>>;

#[derive(Debug)]
struct File(Bytes);

impl Directory {
    pub(crate) fn put(&mut self, path: PathBuf, bytes: Vec<u8>) {
        self.0.insert(path, Arc::new(bytes));
    }

    pub(crate) fn get_mut(&mut self, path: &Path) -> &mut Vec<u8> {
        Arc::make_mut(self.0.get_mut(path).unwrap())
    }

    pub(crate) fn shared(&self) -> Arc<dyn Fs> {
        Arc::new(self.clone())
    }
}

fn read_only<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Fs for Directory {
    fn open_file(&self, path: &Path, _access: Access) -> io::Result<Box<dyn FsFile>> {
        let bytes = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(File(Arc::clone(bytes))))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let inside = self.0.keys().filter(|file| file.parent() == Some(path)).filter_map(|file| file.file_name());
        Ok(inside.map(|name| DirEntry { name: name.to_owned(), kind: FileKind::File }).collect())
    }

    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        read_only()
    }

    fn create_file(&self, _path: &Path) -> io::Result<Box<dyn FsFile>> {
        read_only()
    }

    fn metadata(&self, _path: &Path) -> io::Result<Metadata> {
        read_only()
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        read_only()
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        read_only()
    }

    fn remove_dir(&self, _path: &Path) -> io::Result<()> {
        read_only()
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        read_only()
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn FsLock>> {
        read_only()
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        read_only()
    }
}

impl FsFile for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let count = buf.len().min(self.0.len() - from);
        buf[..count].copy_from_slice(&self.0[from..from + count]);
        Ok(count)
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn write_at(&self, _buf: &[u8], _offset: u64) -> io::Result<usize> {
        read_only()
    }

    fn sync_data(&self) -> io::Result<()> {
        read_only()
    }

    fn sync_all(&self) -> io::Result<()> {
        read_only()
    }
}
