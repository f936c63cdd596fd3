//! A store that another process has open: engine, handles, writers and readers, each a number over there.
//!
//! Whatever is dropped here is dropped there, before anything that is asked later.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use eraft_core::{
    Entry, GroupId, LogIndex, RaftState, RaftStateUpdate, Receipt, Result, SnapshotMeta, SnapshotReader,
    SnapshotWriter, StagedSnapshot, Storage,
};
use futures_util::{StreamExt as _, stream};

use super::{
    process::{Hold, Process},
    wire::{Request, Sizes},
};
use crate::Engine;

/// Something that goes by a number in another process, until it is dropped.
struct Object {
    process: Arc<Process>,
    id: u64,
}

pub(super) struct RemoteEngine {
    object: Object,
    hold: Arc<Hold>,
}

struct RemoteStorage {
    object: Object,
    /// A handle that outlives its engine keeps the lock, there as here.
    _hold: Arc<Hold>,
}

struct RemoteWriter(Object);

impl Object {
    /// What the answer to `request` opens, and the answer.
    async fn open<T: serde::de::DeserializeOwned>(process: &Arc<Process>, request: Request) -> Result<(Object, T)> {
        let (id, value) = process.ask(request).await?;
        Ok((Object { process: process.clone(), id }, value))
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, request: Request) -> Result<T> {
        Ok(self.process.ask(request).await?.1)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.process.forget(self.id);
    }
}

impl RemoteEngine {
    /// Opens what `request` says.
    pub(super) async fn open(process: &Arc<Process>, request: Request) -> Result<RemoteEngine> {
        let (object, ()) = Object::open(process, request).await?;
        Ok(RemoteEngine { object, hold: process.hold() })
    }
}

#[async_trait]
impl Engine for RemoteEngine {
    async fn group(&self, id: GroupId) -> Result<Arc<dyn Storage>> {
        let request = Request::Group { engine: self.object.id, id };
        let (object, ()) = Object::open(&self.object.process, request).await?;
        Ok(Arc::new(RemoteStorage { object, _hold: self.hold.clone() }))
    }

    async fn groups(&self) -> Result<Vec<GroupId>> {
        self.object.ask(Request::Groups { engine: self.object.id }).await
    }

    async fn close(&self) -> Result<()> {
        let closed = self.object.ask(Request::CloseEngine { engine: self.object.id }).await;
        self.hold.close();
        closed
    }
}

impl RemoteStorage {
    /// All zero once the process is gone.
    fn sizes(&self) -> Sizes {
        self.object.process.ask_now(Request::Sizes { group: self.object.id }).unwrap_or_default()
    }
}

#[async_trait]
impl Storage for RemoteStorage {
    fn save_raft_state(&self, update: RaftStateUpdate) -> Receipt {
        self.object.process.save(Request::Save { group: self.object.id, update, publish: None })
    }

    fn save_state_and_snapshot(&self, update: RaftStateUpdate, snapshot: StagedSnapshot) -> Receipt {
        self.object.process.save(Request::Save { group: self.object.id, update, publish: Some(snapshot) })
    }

    async fn stage_snapshot(&self, meta: SnapshotMeta) -> Result<Box<dyn SnapshotWriter>> {
        let request = Request::Stage { group: self.object.id, meta };
        let (object, ()) = Object::open(&self.object.process, request).await?;
        Ok(Box::new(RemoteWriter(object)))
    }

    async fn discard_snapshot(&self, staged: StagedSnapshot) -> Result<()> {
        self.object.ask(Request::Discard { group: self.object.id, staged }).await
    }

    async fn read_raft_state(&self) -> Result<RaftState> {
        self.object.ask(Request::ReadState { group: self.object.id }).await
    }

    async fn read_entries(&self, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Entry>> {
        let Range { start, end } = range;
        self.object.ask(Request::ReadEntries { group: self.object.id, start, end, max_bytes }).await
    }

    async fn read_snapshot(&self) -> Result<Option<SnapshotReader>> {
        let request = Request::ReadSnapshot { group: self.object.id };
        let (reader, found) = Object::open::<Option<(SnapshotMeta, u64)>>(&self.object.process, request).await?;
        let Some((meta, size_bytes)) = found else { return Ok(None) };
        let mut answers = Box::pin(stream::unfold(reader, |reader| async {
            let chunk = reader.ask::<Option<Bytes>>(Request::NextChunk { reader: reader.id }).await;
            Some((chunk.transpose(), reader))
        }));
        // Whoever asks beyond the end asks the backend.
        let chunks = stream::poll_fn(move |context| answers.poll_next_unpin(context).map(Option::flatten));
        Ok(Some(SnapshotReader { meta, size_bytes, chunks: chunks.boxed() }))
    }

    fn raft_state_size(&self) -> u64 {
        self.sizes().raft_state
    }

    fn snapshot_size(&self) -> u64 {
        self.sizes().snapshot
    }

    fn room_bytes(&self) -> u64 {
        self.sizes().room
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        // What only people read is not sent.
        Vec::new()
    }

    async fn close(&self) -> Result<()> {
        self.object.ask(Request::CloseGroup { group: self.object.id }).await
    }
}

impl fmt::Debug for RemoteStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteStorage")
            .field("process", &self.object.process.id())
            .field("id", &self.object.id)
            .finish()
    }
}

#[async_trait]
impl SnapshotWriter for RemoteWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.0.ask(Request::Write { writer: self.0.id, chunk }).await
    }

    async fn finish(self: Box<Self>) -> Result<StagedSnapshot> {
        self.0.ask(Request::Finish { writer: self.0.id }).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.0.ask(Request::Abort { writer: self.0.id }).await
    }
}
