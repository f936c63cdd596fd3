//! The engine: an open database, its groups, and the writer thread.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use eraft_core::{
    ClusterId, Expected, GroupId, Identity, NodeId, Result, StorageError, StorageErrorKind, StoreId, codec,
};
use eraft_storage_kit::{GroupCommit, GroupCommitOptions};
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend};

use super::{
    place,
    stage::Stages,
    storage::RedbStorage,
    tables::{CHUNKS, GroupState, IDENTITY, STATES, corrupt, failed, unseal},
    writer::Writer,
};

const DURING: &str = "opening a store";

/// A store on redb that is open. Dropped, it closes.
pub(crate) struct RedbEngine {
    // Declared first, dropped first: the thread ends before the database does.
    commit: Arc<GroupCommit>,
    store: Arc<Store>,
}

/// What handles, readers of the state and the writer thread share.
pub(super) struct Store {
    pub(super) identity: Identity,
    /// Gone once the engine is closed; held for reading while it is used, so that closing waits for whoever does.
    database: RwLock<Option<Database>>,
    groups: Mutex<BTreeMap<GroupId, Arc<Group>>>,
    stages: Mutex<Stages>,
}

/// One group: its state as reads see it, and whether anything was ever saved.
pub(super) type Group = eraft_storage_kit::Group<(GroupState, bool)>;

impl RedbEngine {
    /// Makes a store in a file that holds none; `file` is locked, and `store` drawn at random.
    pub(crate) fn create(
        file: Box<dyn StorageBackend>,
        cluster: ClusterId,
        node: NodeId,
        store: StoreId,
    ) -> Result<Identity> {
        place::create(file, cluster, node, store)
    }

    /// Opens the store that the file holds; `file` is locked, and `opening` drawn at random.
    pub(crate) fn open(file: Box<dyn StorageBackend>, expected: Expected, opening: u64) -> Result<RedbEngine> {
        let database = place::open(file)?;
        let (identity, groups) = read_all(&database)?;
        expected.check(&identity, "the database")?;
        let published = groups.values().filter_map(|group| Some(group.published.as_ref()?.number));
        let stages = Stages::begin(&database, published.collect(), opening)?;
        let groups = groups.into_iter().map(|(id, state)| (id, found(id, state, true))).collect();
        let store = Arc::new(Store {
            identity,
            database: RwLock::new(Some(database)),
            groups: Mutex::new(groups),
            stages: Mutex::new(stages),
        });
        // Nothing to confirm when idle: what redb has committed needs no second word.
        let options = GroupCommitOptions { idle_after: None, ..GroupCommitOptions::default() };
        let commit = Arc::new(GroupCommit::start("redb", identity.node, Writer(Arc::clone(&store)), options)?);
        Ok(RedbEngine { commit, store })
    }

    /// The one handle of a group.
    pub(crate) fn group(&self, id: GroupId) -> Result<RedbStorage> {
        RedbStorage::take(Arc::clone(&self.store), Arc::clone(&self.commit), id)
    }

    pub(crate) fn groups(&self) -> Vec<GroupId> {
        let groups = lock(&self.store.groups);
        groups.iter().filter(|(_, group)| group.committed().1).map(|(id, _)| *id).collect()
    }

    /// Completes what is queued, closes the database, and gives up the lock.
    pub(crate) async fn close(&self) -> Result<()> {
        let outcome = self.commit.close().await;
        drop(self.store.database.write().unwrap_or_else(PoisonError::into_inner).take());
        outcome
    }
}

fn read_all(database: &Database) -> Result<(Identity, BTreeMap<GroupId, GroupState>)> {
    let transaction = database.begin_read().map_err(failed(DURING))?;
    let key = ("identity", 0, 0);
    let table = transaction.open_table(IDENTITY).map_err(failed(DURING))?;
    let row = table.get(0).map_err(failed(DURING))?.ok_or_else(|| corrupt(key, "it is missing"))?;
    let identity = codec::decode(unseal(key, row.value())?).map_err(|error| corrupt(key, &error.to_string()))?;
    let mut groups = BTreeMap::new();
    for row in transaction.open_table(STATES).map_err(failed(DURING))?.iter().map_err(failed(DURING))? {
        let (id, value) = row.map_err(failed(DURING))?;
        let id = GroupId(id.value());
        groups.insert(id, GroupState::decode(identity, id, value.value())?);
    }
    transaction.open_table(CHUNKS).map_err(failed(DURING))?;
    Ok((identity, groups))
}

impl Store {
    /// Uses the database; refused once the engine is closed.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        work(database.as_ref().ok_or_else(closed)?)
    }

    pub(super) fn group(&self, id: GroupId) -> Arc<Group> {
        let blank = || found(id, GroupState::blank(self.identity), false);
        Arc::clone(lock(&self.groups).entry(id).or_insert_with(blank))
    }

    pub(super) fn stages(&self) -> MutexGuard<'_, Stages> {
        lock(&self.stages)
    }
}

fn found(id: GroupId, state: GroupState, exists: bool) -> Arc<Group> {
    Arc::new(Group::new(id, state.state.clone(), (state, exists)))
}

impl fmt::Debug for RedbEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbEngine").field("identity", &self.store.identity).finish_non_exhaustive()
    }
}

fn closed() -> StorageError {
    StorageError::new(StorageErrorKind::Invalid, "using a store", "it was closed before this call: open it again")
}

/// A panic under these locks is one of the writer's, and the kit has poisoned the engine by then.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
