//! Snapshots on their way in: chunks under a number that no state names yet, and the list of those that are complete.
//!
//! Chunks go in by transactions that need not be durable; the last one is, and makes those before it durable too. What a
//! crash leaves of a stage goes when the store is opened next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use eraft_core::{GroupId, Result, SnapshotMeta, SnapshotWriter, StagedSnapshot, StorageError};
use redb::{Database, Durability, ReadableTable};

use super::{
    engine::Store,
    storage::blocking,
    tables::{CHUNKS, failed, seal},
};

const DURING: &str = "staging a snapshot";
/// What one value of a snapshot holds at most.
const CHUNK_BYTES: usize = 64 << 10;

/// The stages of this opening.
pub(super) struct Stages {
    /// Drawn anew each time: numbers begin again where an earlier opening's stages went, and whoever still holds one of
    /// those must not name one of ours.
    opening: u64,
    next: u64,
    /// Those that are complete, by number, and whether a queued save publishes them.
    complete: BTreeMap<u64, (GroupId, StagedSnapshot, bool)>,
}

impl Stages {
    /// Removes what an earlier opening has staged and not published.
    pub(super) fn begin(database: &Database, published: BTreeSet<u64>, opening: u64) -> Result<Stages> {
        let transaction = database.begin_write().map_err(failed(DURING))?;
        let (mut last, mut orphans) = (published.last().copied().unwrap_or(0), false);
        {
            let mut chunks = transaction.open_table(CHUNKS).map_err(failed(DURING))?;
            for row in chunks.range((0, 0)..).map_err(failed(DURING))? {
                let number = row.map_err(failed(DURING))?.0.value().0;
                (last, orphans) = (last.max(number), orphans || !published.contains(&number));
            }
            if orphans {
                let keep = |(number, _): (u64, u64), _: &[u8]| published.contains(&number);
                chunks.retain(keep).map_err(failed(DURING))?;
            }
        }
        // A store that nothing has to be taken out of is opened without a write: also on a full disk.
        match orphans {
            true => transaction.commit().map_err(failed(DURING))?,
            false => transaction.abort().map_err(failed(DURING))?,
        }
        Ok(Stages { opening, next: last + 1, complete: BTreeMap::new() })
    }

    /// Sets a stage aside for the save that publishes it.
    pub(super) fn claim(&mut self, group: GroupId, staged: &StagedSnapshot) -> Result<()> {
        let number = self.waiting(group, staged)?;
        self.complete.entry(number).and_modify(|(_, _, queued)| *queued = true);
        Ok(())
    }

    /// The number of a stage that was claimed; it is no stage any more.
    pub(super) fn publish(&mut self, id: &str) -> Result<u64> {
        let number = self.number(id).filter(|number| self.complete.remove(number).is_some());
        number.ok_or_else(|| StorageError::invalid(format!("{id} was published before: this is a bug")))
    }

    /// The number of a stage that will not be saved; it is no stage any more.
    pub(super) fn discard(&mut self, group: GroupId, staged: &StagedSnapshot) -> Result<u64> {
        let number = self.waiting(group, staged)?;
        self.complete.remove(&number);
        Ok(number)
    }

    /// What a stage is called: by its opening and its number.
    fn id(&self, number: u64) -> String {
        format!("{:016x}-{number}", self.opening)
    }

    fn number(&self, id: &str) -> Option<u64> {
        let number = id.rsplit_once('-')?.1.parse().ok()?;
        (self.id(number) == id).then_some(number)
    }

    fn waiting(&self, group: GroupId, staged: &StagedSnapshot) -> Result<u64> {
        let found = self.number(&staged.id).and_then(|number| Some((number, self.complete.get(&number)?)));
        match found {
            Some((number, (of, known, false))) if *of == group && known == staged => Ok(number),
            _ => Err(StorageError::invalid(format!(
                "{} at {} is no snapshot that waits here: stage it, and publish or discard it once",
                staged.id, staged.meta.last
            ))),
        }
    }
}

/// One snapshot on its way in.
pub(super) struct Stage {
    store: Arc<Store>,
    group: GroupId,
    meta: SnapshotMeta,
    number: u64,
    chunks: u64,
    size_bytes: u64,
    gathered: Vec<u8>,
    /// A write failed, or was given up half-way: what follows would not join on.
    broken: bool,
}

impl Stage {
    pub(super) fn begin(store: Arc<Store>, group: GroupId, meta: SnapshotMeta) -> Result<Stage> {
        if !meta.conf_state.is_valid() {
            return Err(StorageError::invalid(format!("the configuration at {} contradicts itself", meta.last)));
        }
        let number = {
            let mut stages = store.stages();
            stages.next += 1;
            stages.next
        };
        Ok(Stage { store, group, meta, number, chunks: 0, size_bytes: 0, gathered: Vec::new(), broken: false })
    }

    /// Writes what was gathered as one chunk.
    async fn flush(&mut self, durability: Durability) -> Result<()> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(StorageError::invalid("an earlier write of this stage failed: stage the snapshot anew"));
        }
        let (store, key) = (Arc::clone(&self.store), (self.number, self.chunks));
        let value = seal(("chunk", key.0, key.1), std::mem::take(&mut self.gathered));
        blocking(move || {
            store.with(|database| {
                let mut transaction = database.begin_write().map_err(failed(DURING))?;
                transaction.set_durability(durability).map_err(failed(DURING))?;
                let mut chunks = transaction.open_table(CHUNKS).map_err(failed(DURING))?;
                chunks.insert(key, value.as_slice()).map_err(failed(DURING))?;
                drop(chunks);
                transaction.commit().map_err(failed(DURING))
            })
        })
        .await?;
        (self.chunks, self.broken) = (self.chunks + 1, false);
        Ok(())
    }
}

#[async_trait]
impl SnapshotWriter for Stage {
    async fn write(&mut self, mut chunk: Bytes) -> Result<()> {
        while !chunk.is_empty() {
            let taken = chunk.split_to(chunk.len().min(CHUNK_BYTES - self.gathered.len()));
            self.size_bytes += taken.len() as u64;
            self.gathered.extend_from_slice(&taken);
            if self.gathered.len() == CHUNK_BYTES {
                self.flush(Durability::None).await?;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<StagedSnapshot> {
        self.flush(Durability::Immediate).await?;
        let (number, group) = (self.number, self.group);
        let mut stages = self.store.stages();
        let staged = StagedSnapshot { meta: self.meta.clone(), size_bytes: self.size_bytes, id: stages.id(number) };
        stages.complete.insert(number, (group, staged.clone(), false));
        Ok(staged)
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        remove(Arc::clone(&self.store), self.number).await
    }
}

/// Removes the chunks of a stage. It need not last: what comes back by a crash goes at the next opening.
pub(super) async fn remove(store: Arc<Store>, number: u64) -> Result<()> {
    blocking(move || {
        store.with(|database| {
            let mut transaction = database.begin_write().map_err(failed(DURING))?;
            transaction.set_durability(Durability::None).map_err(failed(DURING))?;
            let mut chunks = transaction.open_table(CHUNKS).map_err(failed(DURING))?;
            chunks.retain_in((number, 0)..=(number, u64::MAX), |_, _| false).map_err(failed(DURING))?;
            drop(chunks);
            transaction.commit().map_err(failed(DURING))
        })
    })
    .await
}
