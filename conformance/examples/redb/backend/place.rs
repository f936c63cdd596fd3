//! The file under the database: how a store comes to be in it, and how one is opened.
//!
//! Creating is one sector's write: the database is made in memory, its bytes are written and synced but for the first
//! sector, and then that one. Before it there is no store, after it there is a whole one.

use std::sync::Arc;

use eraft_core::{ClusterId, Identity, NodeId, Result, StorageError, StorageErrorKind, StoreId, codec};
use redb::{Builder, Database, StorageBackend, backends::InMemoryBackend};

use super::tables::{CHUNKS, IDENTITY, LOG, STATES, failed, failed_io, seal};

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;
/// What is read and written again at once.
const STEP_BYTES: u64 = 1 << 20;
/// What redb may keep in memory of pages.
const CACHE_BYTES: usize = 16 << 20;

/// A file that redb and we may both call; the lock that came with it ends at `close`.
#[derive(Clone, Debug)]
struct Shared(Arc<dyn StorageBackend>);

impl StorageBackend for Shared {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }
    fn close(&self) -> std::io::Result<()> {
        self.0.close()
    }
}

/// Makes a store in a file that holds none.
pub(super) fn create(
    file: Box<dyn StorageBackend>,
    cluster: ClusterId,
    node: NodeId,
    store: StoreId,
) -> Result<Identity> {
    let identity = Identity { cluster, node, store };
    let made = if holds_a_store(&*file).map_err(io("looking for a store"))? {
        Err(StorageError::invalid("the file at byte 0 holds a store already: open it, or create another file"))
    } else {
        write_new(&*file, &image_of(identity)?).map_err(io("creating a store"))
    };
    let closed = file.close().map_err(io("closing the new file"));
    made.and(closed).map(|()| identity)
}

/// Opens the database that a file holds; what it shows is durable.
pub(super) fn open(file: Box<dyn StorageBackend>) -> Result<Database> {
    let file = Shared(Arc::from(file));
    if let Err(error) = write_again(&file) {
        let _the_first_error_counts = file.close();
        return Err(error);
    }
    Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(file).map_err(failed("opening the database"))
}

/// What the process before has written and not synced, or failed to sync, reads well now and may be gone after a power cut.
/// A sync alone does not help where an earlier one has failed, and redb does not write again what it finds: so all of it is.
fn write_again(file: &Shared) -> Result<()> {
    if !holds_a_store(file).map_err(io("looking for a store"))? {
        let detail = "the file holds no store at byte 0: create it first";
        return Err(StorageError::new(StorageErrorKind::NotInitialised, "opening a store", detail));
    }
    let again = || {
        let len = file.len()?;
        let mut offset = 0;
        while offset < len {
            let step = STEP_BYTES.min(len - offset);
            let mut bytes = vec![0; usize::try_from(step).unwrap_or_default()];
            file.read(offset, &mut bytes)?;
            file.write(offset, &bytes)?;
            offset += step;
        }
        file.sync_data()
    };
    again().map_err(io("making durable what was found"))
}

fn holds_a_store(file: &dyn StorageBackend) -> std::io::Result<bool> {
    let mut first = [0; SECTOR_BYTES];
    if file.len()? < first.len() as u64 {
        return Ok(false);
    }
    file.read(0, &mut first)?;
    Ok(first.iter().any(|byte| *byte != 0))
}

fn write_new(file: &dyn StorageBackend, image: &[u8]) -> std::io::Result<()> {
    let (first, rest) = image.split_at_checked(SECTOR_BYTES).unwrap_or((image, &[]));
    file.set_len(0)?;
    file.set_len(image.len() as u64)?;
    file.write(SECTOR_BYTES as u64, rest)?;
    file.sync_data()?;
    file.write(0, first)?;
    file.sync_data()
}

/// The bytes of a blank store.
fn image_of(identity: Identity) -> Result<Vec<u8>> {
    let memory = Shared(Arc::new(InMemoryBackend::new()));
    let during = "making a blank database";
    let database = Builder::new().create_with_backend(memory.clone()).map_err(failed(during))?;
    let transaction = database.begin_write().map_err(failed(during))?;
    {
        let mut table = transaction.open_table(IDENTITY).map_err(failed(during))?;
        let value = seal(("identity", 0, 0), codec::encode(&identity).to_vec());
        table.insert(0, value.as_slice()).map_err(failed(during))?;
        transaction.open_table(STATES).map_err(failed(during))?;
        transaction.open_table(LOG).map_err(failed(during))?;
        transaction.open_table(CHUNKS).map_err(failed(during))?;
    }
    transaction.commit().map_err(failed(during))?;
    drop(database);
    let len = memory.len().map_err(io(during))?;
    let mut image = vec![0; usize::try_from(len).unwrap_or_default()];
    memory.read(0, &mut image).map_err(io(during))?;
    Ok(image)
}

fn io(during: &'static str) -> impl FnOnce(std::io::Error) -> StorageError {
    move |error| failed_io(during, &error)
}
