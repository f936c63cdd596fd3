//! First-time initialisation: a whole store is built beside its place and takes its name in one step.
//!
//! So there is no moment at which a crash leaves half a store under the real name. What a crash leaves beside it is
//! cleared by the next attempt.

use std::path::Path;

use eraft_core::{ClusterId, Identity, NodeId, Result, StorageError, StorageErrorKind, StoreId};
use eraft_storage_kit::generator;
use rocksdb::WriteBatch;

use crate::{
    database::Database,
    error, files, keys,
    options::{Family, RocksOptions},
    paths::{Paths, parent},
    recovery::{identity, seal},
    values,
};

const DURING: &str = "creating a store";

/// Builds the store and gives it its name.
pub(crate) fn create(dir: &Path, cluster: ClusterId, node: NodeId, options: &RocksOptions) -> Result<Identity> {
    options.check()?;
    let name = dir
        .file_name()
        .ok_or_else(|| StorageError::invalid(format!("{} is no name that a directory can be given", dir.display())))?;
    refuse_existing(dir)?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(".creating");
    let building = Paths::new(&parent(dir).join(beside));
    clear(&building)?;

    let mut random = generator(options.seed)?;
    let identity = Identity { cluster, node, store: StoreId(random.u64(..)) };
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| error::io(DURING, &path, source)
    };
    files::create_dir(&building.dir).map_err(io(&building.dir))?;
    files::create(&building.lock, &[]).map_err(io(&building.lock))?;
    // Held until the name is given: whoever clears what a crash left must not clear this.
    let _lock = files::lock(&building.lock).map_err(|error| error::locked(&building.dir, &building.lock, error))?;
    files::create_dir(&building.db).map_err(io(&building.db))?;
    files::create_dir(&building.staging).map_err(io(&building.staging))?;
    create_database(&building, identity, options)?;
    identity::write(&building.identity, identity)?;
    seal::write(&building)?;
    refuse_existing(dir)?;
    files::rename(&building.dir, dir).map_err(io(dir))?;
    files::sync_dir(parent(dir)).map_err(io(parent(dir)))?;
    Ok(identity)
}

/// A database that holds nothing but whose it is, closed, with every file of it synced; their names are not.
fn create_database(building: &Paths, identity: Identity, options: &RocksOptions) -> Result<()> {
    let database = Database::create(&building.db, options)?;
    let mut batch = WriteBatch::default();
    let value = values::seal(identity.store, &keys::IDENTITY, &identity);
    batch.put_cf(database.family(Family::State)?, keys::IDENTITY, value);
    database.write(batch)?;
    database.flush()?;
    drop(database);
    let all = files::files(&building.db, |_| true).map_err(|source| error::io(DURING, &building.db, source))?;
    for (_, path, _) in all {
        files::sync_file(&path).map_err(|source| error::io(DURING, &path, source))?;
    }
    Ok(())
}

fn refuse_existing(dir: &Path) -> Result<()> {
    match files::find(dir).map_err(|source| error::io(DURING, dir, source))? {
        None => Ok(()),
        Some(_) => Err(StorageError::new(
            StorageErrorKind::Invalid,
            DURING,
            format!("{} exists already: open it, or choose another path", dir.display()),
        )),
    }
}

/// Removes what an attempt left that was interrupted.
fn clear(building: &Paths) -> Result<()> {
    let io = |source| error::io(DURING, &building.dir, source);
    match files::find(&building.dir).map_err(io)? {
        None => return Ok(()),
        Some(found) if found.is_dir => {}
        Some(_) => return Err(io(std::io::ErrorKind::NotADirectory.into())),
    }
    let _lock = match files::lock(&building.lock) {
        // It came no further than its own name.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error::locked(&building.dir, &building.lock, error)),
        Ok(lock) => Some(lock),
    };
    for dir in [&building.db, &building.staging, &building.dir] {
        files::remove_dir(dir).map_err(io)?;
    }
    Ok(())
}
