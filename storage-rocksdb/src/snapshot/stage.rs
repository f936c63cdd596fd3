//! Staging: a snapshot on its way in, in bounded memory, beside everything else.

use std::{
    path::PathBuf,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use bytes::Bytes;
use eraft_core::{
    GroupId, Result, SnapshotMeta, SnapshotWriter, StagedSnapshot, StorageError, StorageErrorKind, codec,
};
use eraft_storage_kit::blocking;
use rocksdb::SstFileWriter;

use crate::{
    database::family_options,
    engine::{Inner, shared::Store},
    error, files, keys,
    options::{Family, RocksOptions},
    rows::Published,
    snapshot::held::Dustbin,
    values,
};

const DURING: &str = "staging a snapshot";
/// What one chunk holds at most.
const CHUNK_BYTES: usize = 64 << 10;
/// What one table holds: written and synced at once, so no more waits to reach the disk than that.
const PART_CHUNKS: usize = 64;
/// The longest description of a snapshot.
const MAX_META_BYTES: usize = 1 << 20;

/// A snapshot that is being written. Nothing refers to it; dropped unfinished, its tables go later.
///
/// The directory is its own only while the database is open: whatever it writes, it writes as one who uses the database, so that
/// closing waits for it, and fails once the engine is closed.
pub(crate) struct Stage {
    /// Not kept open by this.
    engine: Weak<Inner>,
    store: Arc<Store>,
    group: GroupId,
    meta: SnapshotMeta,
    id: u64,
    /// Tables that are written and synced.
    parts: Vec<PathBuf>,
    chunks: u64,
    size_bytes: u64,
    /// Chunks of the next table.
    gathered: Vec<Bytes>,
    /// The next chunk.
    chunk: Vec<u8>,
    /// A write is under way, was given up half-way, or failed: what follows would not join on.
    broken: bool,
}

impl Stage {
    pub(crate) async fn begin(engine: &Arc<Inner>, group: GroupId, meta: SnapshotMeta) -> Result<Stage> {
        let meta_bytes = codec::encode(&meta).len();
        if meta_bytes > MAX_META_BYTES || !meta.conf_state.is_valid() {
            return Err(StorageError::invalid(format!(
                "a snapshot's description must be a valid configuration of at most {MAX_META_BYTES} bytes, found \
                 {meta_bytes}"
            )));
        }
        check_failure(engine)?;
        let store = Arc::clone(&engine.store);
        let (id, cleaned) = (store.staging().draw(), Arc::clone(&store));
        blocking(move || {
            cleaned.with(|_| {
                remove(&cleaned.dustbin.take_files());
                Ok(())
            })
        })
        .await?;
        Ok(Stage {
            engine: Arc::downgrade(engine),
            store,
            group,
            meta,
            id,
            parts: Vec::new(),
            chunks: 0,
            size_bytes: 0,
            gathered: Vec::new(),
            chunk: Vec::new(),
            broken: false,
        })
    }

    fn end_chunk(&mut self) {
        if !self.chunk.is_empty() {
            self.gathered.push(std::mem::take(&mut self.chunk).into());
        }
    }

    /// Writes what was gathered as one table.
    async fn flush(&mut self) -> Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let path = self.store.paths.part(self.id, self.parts.len());
        let (store, chunks, first) = (Arc::clone(&self.store), std::mem::take(&mut self.gathered), self.chunks);
        let (id, count, part) = (self.id, chunks.len() as u64, path.clone());
        self.broken = true;
        self.parts.push(path);
        blocking(move || store.with(|_| write_part(&store, &part, id, first, &chunks))).await?;
        self.chunks += count;
        self.broken = false;
        Ok(())
    }

    fn check_whole(&self) -> Result<()> {
        if self.broken {
            let detail =
                format!("{:016x}: an earlier write of this stage failed or was given up: stage it anew", self.id);
            return Err(StorageError::new(StorageErrorKind::Io, DURING, detail));
        }
        self.engine.upgrade().map_or(Ok(()), |engine| check_failure(&engine))
    }
}

/// Nothing is written any more where a write has failed.
fn check_failure(engine: &Inner) -> Result<()> {
    engine.commit.failure().map_or(Ok(()), Err)
}

#[async_trait]
impl SnapshotWriter for Stage {
    async fn write(&mut self, mut chunk: Bytes) -> Result<()> {
        self.check_whole()?;
        while !chunk.is_empty() {
            let taken = chunk.split_to(chunk.len().min(CHUNK_BYTES - self.chunk.len()));
            self.size_bytes += taken.len() as u64;
            self.chunk.extend_from_slice(&taken);
            if self.chunk.len() == CHUNK_BYTES {
                self.end_chunk();
            }
            if self.gathered.len() == PART_CHUNKS {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<StagedSnapshot> {
        self.check_whole()?;
        self.end_chunk();
        self.flush().await?;
        // From here on they are not the stage's to remove, but RocksDB's.
        let (store, parts, id) = (Arc::clone(&self.store), std::mem::take(&mut self.parts), self.id);
        if !parts.is_empty() {
            // The save that publishes it is durable when its own sync returns: the tables and their names must be before.
            let taken = blocking(move || {
                take_in(&store, &parts)?;
                Ok(TakenIn { id: Some(id), dustbin: Arc::clone(&store.dustbin) })
            });
            taken.await?.keep();
        }
        let published = Published { id, meta: self.meta.clone(), size_bytes: self.size_bytes, chunks: self.chunks };
        Ok(self.store.staging().add(self.group, published))
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        let parts = std::mem::take(&mut self.parts);
        blocking(move || {
            remove(&parts);
            Ok(())
        })
        .await
    }
}

/// Chunks that are in the database, and that nobody knows of yet: they go, unless whoever finished the stage has waited for this.
struct TakenIn {
    id: Option<u64>,
    dustbin: Arc<Dustbin>,
}

impl TakenIn {
    fn keep(mut self) {
        self.id = None;
    }
}

impl Drop for TakenIn {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.dustbin.throw_id(id);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.store.dustbin.throw_files(std::mem::take(&mut self.parts));
    }
}

/// One table, whole and synced. Where that fails it goes at once: a snapshot that filled the disk must give it back to the
/// log.
fn write_part(store: &Store, path: &PathBuf, id: u64, first: u64, chunks: &[Bytes]) -> Result<()> {
    let wanted = chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
    let room = store.room.stage_bytes();
    if wanted > room {
        let detail = format!("{wanted} bytes, and room for {room} beside the reserve: free space, then stage it anew");
        return Err(StorageError::new(StorageErrorKind::Full, DURING, detail));
    }
    let written = write_table(
        &store.options,
        path,
        chunks
            .iter()
            .zip(first..)
            .map(|(chunk, nth)| (keys::chunk(id, nth), values::encode_chunk(store.identity.store, id, nth, chunk))),
    );
    let synced = written
        .map_err(|found| error::rocks(DURING, found))
        .and_then(|()| files::sync_dir(&store.paths.staging).map_err(|source| error::io(DURING, path, source)));
    if synced.is_err() {
        remove(std::slice::from_ref(path));
    }
    synced
}

fn write_table(
    options: &RocksOptions,
    path: &PathBuf,
    rows: impl Iterator<Item = ([u8; 16], Vec<u8>)>,
) -> std::result::Result<(), rocksdb::Error> {
    let options = family_options(Family::Snapshot, options, None);
    let mut table = SstFileWriter::create(&options);
    table.open(path)?;
    for (key, value) in rows {
        table.put(key, value)?;
    }
    table.finish()
}

/// Hands the tables of a snapshot over.
///
/// RocksDB has their old names removed only where that succeeds. Where it fails they go here, but not if it failed in RocksDB's
/// manifest: whether that names them now, only the next opening can tell, and it finds them by these names.
fn take_in(store: &Store, parts: &[PathBuf]) -> Result<()> {
    let taken = store.with(|database| {
        Ok(database.ingest(parts).inspect_err(|_| {
            if database.background_errors() == 0 {
                remove(parts);
            }
        }))
    });
    // The engine is closed, and RocksDB was not asked: nothing names them, nor ever will.
    taken.inspect_err(|_| remove(parts))?
}

/// The first chunk of a table.
pub(crate) fn first_chunk(part: usize) -> u64 {
    (part as u64).saturating_mul(PART_CHUNKS as u64)
}

/// It need not last: what is left goes at the next opening.
fn remove(parts: &[PathBuf]) {
    for part in parts {
        let _gone_at_the_next_opening = files::remove(part);
    }
}
