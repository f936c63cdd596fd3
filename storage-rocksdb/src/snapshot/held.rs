//! How long the chunks of a published snapshot stay: until another is published, and nobody reads them any more.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use eraft_core::Result;
use rocksdb::WriteBatch;

use crate::{database::Database, keys, options::Family, rows::Published};

/// A published snapshot, held by its group and by whoever reads it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) published: Published,
    replaced: AtomicBool,
    dustbin: Arc<Dustbin>,
}

/// What nobody needs any more, for the next who is in a place to remove it.
#[derive(Debug, Default)]
pub(crate) struct Dustbin {
    ids: Mutex<Vec<u64>>,
    files: Mutex<Vec<PathBuf>>,
}

impl Held {
    pub(crate) fn new(published: Published, dustbin: &Arc<Dustbin>) -> Arc<Held> {
        Arc::new(Held { published, replaced: AtomicBool::new(false), dustbin: Arc::clone(dustbin) })
    }

    /// Another snapshot is published, durably: this one goes with its last reader.
    pub(crate) fn replaced(&self) {
        self.replaced.store(true, Ordering::Release);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if *self.replaced.get_mut() {
            self.dustbin.throw_id(self.published.id);
        }
    }
}

impl Dustbin {
    /// The chunks of a snapshot.
    pub(crate) fn throw_id(&self, id: u64) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    /// Tables of a stage that was given up.
    pub(crate) fn throw_files(&self, files: Vec<PathBuf>) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).extend(files);
    }

    pub(crate) fn take_ids(&self) -> Vec<u64> {
        std::mem::take(&mut self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn take_files(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.files.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Removes the chunks of a snapshot that nothing names and nobody reads.
pub(crate) fn remove(database: &Database, id: u64) -> Result<()> {
    let (from, to) = (keys::chunk(id, 0), keys::chunk(id, u64::MAX));
    database.drop_tables(Family::Snapshot, &from, &to)?;
    let mut left = database.iterate(Family::Snapshot, &from, &to)?;
    left.seek_to_first();
    let any = left.valid();
    drop(left);
    if any {
        // RocksDB keeps tables that it is just working on.
        let mut batch = WriteBatch::default();
        batch.delete_range_cf(database.family(Family::Snapshot)?, from, to);
        database.write(batch)?;
    }
    Ok(())
}
