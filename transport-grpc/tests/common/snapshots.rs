//! An inbox that stages snapshots in memory, readers that it can be fed from, and a sender that lies.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use eraft_core::{
    ConfState, EntryId, Inbox, Message, NodeId, SnapshotMeta, SnapshotReader, SnapshotRefused, StorageError,
    StorageErrorKind, Term, codec,
};
use eraft_transport_grpc::proto::{
    Hello, SnapshotAnswer, SnapshotChunk, SnapshotEnd, SnapshotFrame, SnapshotOpening, raft_client::RaftClient,
    snapshot_frame::Part,
};
use futures_util::{StreamExt, stream};
use tokio::{
    sync::{Mutex, Semaphore, mpsc},
    time::timeout,
};
use tonic::{Status, Streaming};

use super::{Arrivals, PATIENCE, QUEUED, honest_hello};

/// What the inbox got of one snapshot.
#[derive(Debug)]
pub struct Taken {
    pub from: NodeId,
    pub term: Term,
    pub meta: SnapshotMeta,
    pub size_bytes: u64,
    /// The bytes that came before the end, or before the error.
    pub bytes: Vec<u8>,
    pub longest_chunk_bytes: usize,
    /// How the chunks ended.
    pub end: Result<(), StorageError>,
}

/// Stages in memory; pulls only as many chunks as it has been allowed to.
#[derive(Debug)]
pub struct Stage {
    pub messages: Arc<Arrivals>,
    pub allowed: Semaphore,
    /// How many snapshots have begun to come in.
    pub begun: AtomicU64,
    taken: mpsc::Sender<Taken>,
    takings: Mutex<mpsc::Receiver<Taken>>,
}

impl Stage {
    pub fn allowing(chunks: usize) -> Arc<Stage> {
        let (taken, takings) = mpsc::channel(QUEUED);
        let (messages, begun) = (Arrivals::unlimited(), AtomicU64::new(0));
        Arc::new(Stage { messages, allowed: Semaphore::new(chunks), begun, taken, takings: Mutex::new(takings) })
    }

    pub fn unlimited() -> Arc<Stage> {
        Stage::allowing(1 << 40)
    }

    pub async fn next(&self) -> Taken {
        timeout(PATIENCE, self.takings.lock().await.recv()).await.expect("a snapshot ends").unwrap()
    }

    /// The next one, which must not have come whole, and why not.
    pub async fn broken(&self) -> String {
        let taken = self.next().await;
        taken.end.expect_err("an incomplete snapshot ended as if it were whole").to_string()
    }
}

#[async_trait]
impl Inbox for Stage {
    async fn receive(&self, message: Message) {
        self.messages.receive(message).await;
    }

    async fn receive_snapshot(
        &self,
        from: NodeId,
        term: Term,
        mut snapshot: SnapshotReader,
    ) -> Result<(), SnapshotRefused> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let (mut bytes, mut longest_chunk_bytes) = (Vec::new(), 0);
        let end = loop {
            self.allowed.acquire().await.unwrap().forget();
            match snapshot.chunks.next().await {
                None => break Ok(()),
                Some(Err(error)) => break Err(error),
                Some(Ok(chunk)) => {
                    longest_chunk_bytes = longest_chunk_bytes.max(chunk.len());
                    bytes.extend(chunk);
                }
            }
        };
        let answer = end.clone().map_err(|error| SnapshotRefused { reason: format!("aborted: {error}") });
        let SnapshotReader { meta, size_bytes, .. } = snapshot;
        self.taken.send(Taken { from, term, meta, size_bytes, bytes, longest_chunk_bytes, end }).await.unwrap();
        answer
    }
}

/// Does not want any.
#[derive(Debug)]
pub struct Unwilling;

#[async_trait]
impl Inbox for Unwilling {
    async fn receive(&self, _message: Message) {}

    async fn receive_snapshot(&self, _: NodeId, _: Term, _: SnapshotReader) -> Result<(), SnapshotRefused> {
        Err(SnapshotRefused { reason: "its term is over".to_owned() })
    }
}

/// Says that it has staged what it has not read to its end.
#[derive(Debug)]
pub struct Hasty;

#[async_trait]
impl Inbox for Hasty {
    async fn receive(&self, _message: Message) {}

    async fn receive_snapshot(&self, _: NodeId, _: Term, mut snapshot: SnapshotReader) -> Result<(), SnapshotRefused> {
        let _first = snapshot.chunks.next().await;
        Ok(())
    }
}

pub fn meta() -> SnapshotMeta {
    let voters = [1, 2, 3].map(|id| (NodeId(id), Bytes::from(format!("127.0.0.1:{id}"))));
    SnapshotMeta { last: EntryId::new(5, 1000), conf_state: ConfState::of_voters(voters) }
}

/// A reader that gives `content` whole.
pub fn of(content: Bytes) -> SnapshotReader {
    let size_bytes = content.len() as u64;
    reader(size_bytes, vec![Ok(content)])
}

/// A reader that announces `size_bytes` and gives these chunks.
pub fn reader(size_bytes: u64, chunks: Vec<Result<Bytes, StorageError>>) -> SnapshotReader {
    SnapshotReader { meta: meta(), size_bytes, chunks: stream::iter(chunks).boxed() }
}

/// A reader that gives a gigabyte in pieces of 64 KiB, and counts what was pulled.
pub fn gigabyte(pulled_bytes: &Arc<AtomicU64>) -> SnapshotReader {
    let (piece, pulled_bytes) = (Bytes::from(vec![7; 64 << 10]), Arc::clone(pulled_bytes));
    let chunks = stream::repeat_with(move || {
        pulled_bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
        Ok(piece.clone())
    });
    SnapshotReader { meta: meta(), size_bytes: 1 << 30, chunks: chunks.take(1 << 14).boxed() }
}

pub fn unreadable() -> StorageError {
    StorageError::new(StorageErrorKind::Corrupt, "reading a chunk", "the checksum is wrong")
}

/// The opening of an honest node 1 that sends node 2 a snapshot.
pub fn opening(size_bytes: u64) -> SnapshotOpening {
    SnapshotOpening { hello: Some(honest_hello()), term: 7, meta: codec::encode(&meta()), size_bytes }
}

/// An intact chunk.
pub fn chunk(offset: u64, data: &'static [u8]) -> SnapshotChunk {
    SnapshotChunk { offset, crc32c: crc_fast::crc32_iscsi(data), data: Bytes::from_static(data) }
}

/// The end of a snapshot of these bytes.
pub fn end(whole: &[u8]) -> SnapshotEnd {
    SnapshotEnd { size_bytes: whole.len() as u64, crc32c: crc_fast::crc32_iscsi(whole) }
}

pub fn frame(part: impl Into<Part>) -> SnapshotFrame {
    SnapshotFrame { part: Some(part.into()) }
}

/// A snapshot whose frames the test writes itself; `None` ends the stream.
pub struct SnapshotByHand {
    pub frames: Option<mpsc::Sender<SnapshotFrame>>,
    answers: Streaming<SnapshotAnswer>,
}

impl SnapshotByHand {
    /// Opens with this first frame; `Err` is the server's refusal.
    pub async fn open(address: SocketAddr, first: SnapshotFrame) -> Result<SnapshotByHand, Status> {
        let mut client = RaftClient::connect(format!("http://{address}")).await.unwrap();
        let (frames, mut queued) = mpsc::channel(QUEUED);
        frames.try_send(first).unwrap();
        let outgoing = stream::poll_fn(move |cx| queued.poll_recv(cx));
        let mut answers = timeout(PATIENCE, client.send_snapshot(outgoing)).await.unwrap()?.into_inner();
        let hello: Option<Hello> = answers.message().await?.unwrap().hello;
        assert!(hello.is_some(), "the first answer is a hello");
        Ok(SnapshotByHand { frames: Some(frames), answers })
    }

    /// Opens, sends these parts, and ends the stream.
    pub async fn all(address: SocketAddr, size_bytes: u64, parts: Vec<Part>) -> Result<bool, Status> {
        let mut sender = SnapshotByHand::open(address, frame(Part::Opening(opening(size_bytes)))).await?;
        for part in parts {
            sender.send(part);
        }
        sender.frames = None;
        sender.answer().await
    }

    pub fn send(&self, part: Part) {
        self.frames.as_ref().unwrap().try_send(frame(part)).unwrap();
    }

    /// Whether the server says that all of it is staged; `Err` is its refusal.
    pub async fn answer(&mut self) -> Result<bool, Status> {
        let answer = timeout(PATIENCE, self.answers.message()).await.expect("an answer comes")?;
        Ok(answer.is_some_and(|answer| answer.staged))
    }
}
