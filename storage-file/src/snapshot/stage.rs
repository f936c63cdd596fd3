//! Staging: a snapshot on its way in, in bounded memory, beside everything else.

use std::{io, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use eraft_core::{
    GroupId, Result, SnapshotMeta, SnapshotWriter, StagedSnapshot, StorageError, StorageErrorKind, codec,
};
use eraft_storage_kit::blocking;

use super::{
    file::SnapshotFile,
    format::{ChunkKind, DATA_CHUNK_BYTES, FIRST_CHUNK, MAX_CHUNK_BYTES, encode_chunk},
};
use crate::{
    engine::shared::Shared,
    error,
    fs::{FsFile, write_all_at},
    paths::SnapshotName,
    segment::{
        file::remove_durably,
        header::{FileType, Header},
    },
};

/// How much of a stage may wait to reach the disk: the log's own syncs may have to wait for that, and clients with them.
const UNSYNCED_BYTES: u64 = 4 << 20;

/// A snapshot file that is being written. Nothing refers to it; dropped unfinished, its file goes later.
#[derive(Debug)]
pub(crate) struct Stage {
    shared: Arc<Shared>,
    group: GroupId,
    meta: SnapshotMeta,
    name: SnapshotName,
    path: PathBuf,
    file: Arc<dyn FsFile>,
    incarnation: u64,
    first_data: u64,
    /// Where the next chunk goes.
    offset: u64,
    /// Up to where the file was synced on the way.
    synced: u64,
    size_bytes: u64,
    gathered: Vec<u8>,
    /// A write is under way, was given up half-way, or failed: what follows would not join on.
    broken: bool,
    finished: bool,
}

impl Stage {
    /// Creates the file and writes what the snapshot stands for.
    pub(crate) async fn begin(shared: Arc<Shared>, group: GroupId, meta: SnapshotMeta) -> Result<Stage> {
        let encoded = codec::encode(&meta);
        if encoded.len() > MAX_CHUNK_BYTES || !meta.conf_state.is_valid() {
            return Err(StorageError::invalid(format!(
                "a snapshot's description must be a valid configuration of at most {MAX_CHUNK_BYTES} bytes, found {}",
                encoded.len()
            )));
        }
        let (name, incarnation, forgotten) = {
            let mut staging = shared.staging();
            let name = SnapshotName { last: meta.last, id: staging.draw() };
            (name, staging.draw(), staging.take_forgotten())
        };
        blocking(move || {
            remove_durably(&shared.fs, &shared.paths.snapshot, &forgotten);
            let path = shared.paths.snapshot(name);
            let header = Header { identity: shared.identity, incarnation, number: group.0, len_bytes: 0 };
            let mut bytes = header.encode(FileType::Snapshot);
            bytes.extend(encode_chunk(incarnation, FIRST_CHUNK, ChunkKind::Meta, &encoded));
            let during = "beginning a snapshot";
            let file = shared.fs.create_file(&path).map_err(|error| error::io(during, &path, error))?;
            let first_data = bytes.len() as u64;
            let stage = Stage {
                shared,
                group,
                meta,
                name,
                file: Arc::from(file),
                path,
                incarnation,
                first_data,
                offset: first_data,
                synced: 0,
                size_bytes: 0,
                gathered: Vec::new(),
                broken: false,
                finished: false,
            };
            write_all_at(stage.file.as_ref(), &bytes, 0).map_err(|error| error::io(during, &stage.path, error))?;
            Ok(stage)
        })
        .await
    }

    /// Writes what was gathered as one chunk.
    async fn flush(&mut self) -> Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let chunk = encode_chunk(self.incarnation, self.offset, ChunkKind::Data, &self.gathered);
        self.gathered.clear();
        self.put(chunk).await
    }

    async fn put(&mut self, chunk: Vec<u8>) -> Result<()> {
        let (offset, length) = (self.offset, chunk.len() as u64);
        let end = offset + length;
        let sync = end - self.synced >= UNSYNCED_BYTES;
        self.step("writing a snapshot", move |_, file| {
            write_all_at(file, &chunk, offset)?;
            if sync { file.sync_data() } else { Ok(()) }
        })
        .await?;
        self.offset = end;
        if sync {
            self.synced = end;
        }
        Ok(())
    }

    /// One step of the file. Where it fails the file goes at once: a snapshot that filled the disk must give it back to
    /// the log, whose next segment may need it.
    async fn step<W>(&mut self, during: &'static str, work: W) -> Result<()>
    where
        W: FnOnce(&Shared, &dyn FsFile) -> io::Result<()> + Send + 'static,
    {
        let (shared, file, path) = (Arc::clone(&self.shared), Arc::clone(&self.file), self.path.clone());
        // Stays set where the caller drops this future half-way: the step may yet happen or not.
        self.broken = true;
        blocking(move || {
            let done = work(&shared, file.as_ref()).map_err(|error| error::io(during, &path, error));
            if done.is_err() {
                remove_durably(&shared.fs, &shared.paths.snapshot, &[path]);
            }
            done
        })
        .await?;
        self.broken = false;
        Ok(())
    }

    fn check_whole(&self) -> Result<()> {
        if self.broken {
            return Err(StorageError::new(
                StorageErrorKind::Io,
                "staging a snapshot",
                format!(
                    "{}: an earlier write of this stage failed or was given up: stage it anew",
                    self.path.display()
                ),
            ));
        }
        Ok(())
    }
}

#[async_trait]
impl SnapshotWriter for Stage {
    async fn write(&mut self, mut chunk: Bytes) -> Result<()> {
        self.check_whole()?;
        while !chunk.is_empty() {
            let room = DATA_CHUNK_BYTES - self.gathered.len();
            let taken = chunk.split_to(room.min(chunk.len()));
            self.size_bytes += taken.len() as u64;
            self.gathered.extend_from_slice(&taken);
            if self.gathered.len() == DATA_CHUNK_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<StagedSnapshot> {
        self.check_whole()?;
        self.flush().await?;
        let end = encode_chunk(self.incarnation, self.offset, ChunkKind::End, &self.size_bytes.to_le_bytes());
        self.put(end).await?;
        // The record that publishes it is durable when its own sync returns: the file and its name must be before.
        self.step("making a snapshot durable", |shared, file| {
            file.sync_all().and_then(|()| shared.fs.sync_dir(&shared.paths.snapshot))
        })
        .await?;
        let file = SnapshotFile {
            name: self.name,
            meta: self.meta.clone(),
            size_bytes: self.size_bytes,
            path: self.path.clone(),
            file: Arc::clone(&self.file),
            incarnation: self.incarnation,
            first_data: self.first_data,
        };
        self.shared.staging().add(self.group, file);
        self.finished = true;
        Ok(StagedSnapshot { meta: self.meta.clone(), size_bytes: self.size_bytes, id: self.name.to_string() })
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        let (shared, path) = (Arc::clone(&self.shared), self.path.clone());
        self.finished = true;
        blocking(move || {
            remove_durably(&shared.fs, &shared.paths.snapshot, &[path]);
            Ok(())
        })
        .await
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.finished {
            self.shared.staging().forget(self.path.clone());
        }
    }
}
