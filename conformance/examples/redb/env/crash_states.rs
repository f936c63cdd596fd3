//! The same backend on the disk that keeps a journal, for every state in which a crash may leave it.

use std::{
    io,
    path::Path,
    sync::{Mutex, PoisonError},
};

use eraft_conformance::{
    Engine,
    crash_states::{Backend, Disk, DiskFile, DiskLock},
};
use eraft_core::{ClusterId, Expected, Identity, NodeId, Result, StorageError, StorageErrorKind, StoreId};

use super::Open;
use crate::backend::RedbEngine;

const FILE: &str = "/store.redb";

/// Makes stores in one file of a journalling disk.
pub(crate) struct OnJournal;

impl Backend for OnJournal {
    fn create(&self, disk: &Disk, cluster: ClusterId, node: NodeId, seed: u64) -> Result<Identity> {
        let path = Path::new(FILE);
        if disk.node(path).is_err() {
            drop(disk.create_file(path).map_err(failed)?);
        }
        // Also where the name is there: a process before may have been killed ahead of this very call.
        disk.sync_dir(Path::new("/")).map_err(failed)?;
        RedbEngine::create(take(disk)?, cluster, node, StoreId(seed))
    }

    fn open(&self, disk: &Disk, expected: Expected, seed: u64) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Open(RedbEngine::open(take(disk)?, expected, seed)?)))
    }
}

fn take(disk: &Disk) -> Result<Box<dyn redb::StorageBackend>> {
    let path = Path::new(FILE);
    let lock = Mutex::new(Some(disk.lock(path).map_err(failed)?));
    Ok(Box::new(Seam { file: disk.open_file(path).map_err(failed)?, lock }))
}

fn failed(error: io::Error) -> StorageError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => StorageErrorKind::NotInitialised,
        io::ErrorKind::WouldBlock => StorageErrorKind::Locked,
        _ => StorageErrorKind::Io,
    };
    StorageError::with_source(kind, "taking the file", FILE, error)
}

#[derive(Debug)]
struct Seam {
    file: DiskFile,
    lock: Mutex<Option<DiskLock>>,
}

impl redb::StorageBackend for Seam {
    fn len(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let count = self.file.read_at(out, offset)?;
        if count == out.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_at(data, offset)
    }
    fn close(&self) -> io::Result<()> {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
        Ok(())
    }
}
