//! The sending side: dials a connection for one snapshot, greets, feeds chunks as fast as they are taken, and waits for the
//! receiver's word.
//!
//! Nothing outlives the call: dropping it closes the connection, and the receiver sees a snapshot without an end.

use std::time::Duration;

use eraft_core::{Identity, SnapshotNotSent, SnapshotReader, StorageError, StorageErrorKind, Term, Unreachable};
use futures_util::{StreamExt, stream};
use tokio::{
    sync::{Mutex, Semaphore, mpsc},
    time::{sleep, timeout},
};
use tonic::{Code, Status, Streaming};

use super::parts::{Damaged, Header, Tally};
use crate::{
    GrpcOptions,
    dial::{describe, dial, is_refusal},
    handshake::{self, Expect, Refusal},
    peer::Peer,
    proto::{SnapshotAnswer, SnapshotFrame, snapshot_frame::Part},
};

/// A throttled sender sleeps once it owes this much; a shorter sleep would be mostly the timer's rounding.
const LEAST_SLEEP: Duration = Duration::from_millis(10);

/// What a frame takes beside a chunk's data: tags, lengths, offset and checksum, at most.
const FRAMING_BYTES: usize = 64;

/// What all snapshots that leave this node share: the places, and the throttle.
#[derive(Debug)]
pub(crate) struct Sender {
    places: Semaphore,
    /// What the bytes that have left still cost by the throttle; sleeping under the lock makes the limit one for all.
    owed: Mutex<Duration>,
}

/// One snapshot on its way.
#[derive(Debug)]
struct Outgoing<'a> {
    sender: &'a Sender,
    peer: &'a Peer,
    options: &'a GrpcOptions,
}

/// Why feeding ended before its end.
enum Stopped {
    /// The receiver takes no more; its answer says why.
    NotTaken,
    Failed(SnapshotNotSent),
}

impl Sender {
    pub(crate) fn new(options: &GrpcOptions) -> Sender {
        let places = Semaphore::new(options.max_snapshots_out.min(Semaphore::MAX_PERMITS));
        Sender { places, owed: Mutex::default() }
    }

    /// Carries `snapshot` to `peer`; `Ok` once the receiver has all of it, and says so.
    pub(crate) async fn send(
        &self,
        ours: &Identity,
        peer: &Peer,
        options: &GrpcOptions,
        term: Term,
        snapshot: SnapshotReader,
    ) -> Result<(), SnapshotNotSent> {
        let Ok(_place) = self.places.try_acquire() else {
            let reason = format!("{} leave here already (max_snapshots_out)", options.max_snapshots_out);
            return Err(SnapshotNotSent::Busy { peer: peer.id, reason });
        };
        Outgoing { sender: self, peer, options }.send(ours, term, snapshot).await
    }

    /// Waits until `bytes` may leave.
    async fn pace(&self, bytes: usize, options: &GrpcOptions) {
        let Some(rate) = options.snapshot_bytes_per_second else { return };
        let cost = Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / rate.max(1));
        let mut owed = self.owed.lock().await;
        *owed += cost;
        if *owed >= LEAST_SLEEP {
            sleep(*owed).await;
            *owed = Duration::ZERO;
        }
    }
}

impl Outgoing<'_> {
    async fn send(&self, ours: &Identity, term: Term, snapshot: SnapshotReader) -> Result<(), SnapshotNotSent> {
        let SnapshotReader { meta, size_bytes, .. } = &snapshot;
        let hello = handshake::hello(ours, self.options.group, self.peer.id);
        let opening = Header { term, meta: meta.clone(), size_bytes: *size_bytes }.encode(hello);
        // One frame waits here while the one before it is written: all of the memory that this side takes.
        let (frames, queued) = mpsc::channel(1);
        let _room_for_one = frames.try_send(frame(Part::Opening(opening)));
        let mut answers = self.greet(ours, queued).await?;

        let (answer, all_sent) = tokio::select! {
            biased;
            early = answers.message() => (early, false),
            fed = self.feed(snapshot, frames) => {
                let all_sent = match fed {
                    Ok(()) => true,
                    Err(Stopped::NotTaken) => false,
                    Err(Stopped::Failed(error)) => return Err(error),
                };
                let wait = self.options.snapshot_stall_timeout;
                (timeout(wait, answers.message()).await.map_err(|_elapsed| self.stalled("answered"))?, all_sent)
            }
        };
        match answer {
            Ok(Some(answer)) if answer.staged && all_sent => Ok(()),
            Ok(Some(_)) => Err(self.unreachable("it answered what this version does not know".to_owned())),
            Ok(None) => Err(self.unreachable("it ended the call without an answer".to_owned())),
            Err(status) => Err(self.failed(&status)),
        }
    }

    /// Dials, opens, and judges the receiver's hello: no byte of the snapshot leaves for anybody else.
    async fn greet(
        &self,
        ours: &Identity,
        mut queued: mpsc::Receiver<SnapshotFrame>,
    ) -> Result<Streaming<SnapshotAnswer>, SnapshotNotSent> {
        let mut client = dial(&self.peer.address, self.options).await.map_err(|reason| self.unreachable(reason))?;
        let greeting = async {
            let mut answers = client.send_snapshot(stream::poll_fn(move |cx| queued.poll_recv(cx))).await?.into_inner();
            let first = answers.message().await?;
            Ok::<_, Status>((answers, first))
        };
        let wait = self.options.handshake_timeout;
        let (answers, first) = timeout(wait, greeting)
            .await
            .map_err(|_elapsed| self.unreachable(format!("no hello within {wait:?}")))?
            .map_err(|status| self.failed(&status))?;
        let judged = first
            .and_then(|answer| answer.hello)
            .ok_or(Refusal::NoHello)
            .and_then(|hello| handshake::check(&hello, ours, self.options.group, Expect::Dialled(self.peer.id)));
        match judged {
            Ok(_node_and_store) => Ok(answers),
            Err(refusal) => {
                Err(SnapshotNotSent::Refused { peer: self.peer.id, reason: format!("we refused the peer: {refusal}") })
            }
        }
    }

    /// Reads, cuts and hands on; the end mark goes out only behind the last byte that was announced.
    async fn feed(&self, mut snapshot: SnapshotReader, frames: mpsc::Sender<SnapshotFrame>) -> Result<(), Stopped> {
        let (wait, chunk_bytes) = (self.options.snapshot_stall_timeout, self.chunk_bytes());
        let mut tally = Tally::new(snapshot.size_bytes);
        while let Some(read) = timeout(wait, snapshot.chunks.next()).await.map_err(|_elapsed| {
            let detail = format!("it gave nothing for {wait:?} (snapshot_stall_timeout)");
            self.reader_failed(StorageError::new(StorageErrorKind::Unavailable, "reading the snapshot", detail))
        })? {
            let mut read = read.map_err(|error| self.reader_failed(error))?;
            while !read.is_empty() {
                let piece = read.split_to(chunk_bytes.min(read.len()));
                let bytes = piece.len();
                self.sender.pace(bytes, self.options).await;
                let chunk = tally.chunk(piece).map_err(|wrong| self.wrong_length(wrong))?;
                self.push(&frames, Part::Chunk(chunk)).await?;
                self.peer.counters.snapshot_bytes_sent.add(bytes as u64);
            }
        }
        let end = tally.end().map_err(|wrong| self.wrong_length(wrong))?;
        self.push(&frames, Part::End(end)).await
    }

    async fn push(&self, frames: &mpsc::Sender<SnapshotFrame>, part: Part) -> Result<(), Stopped> {
        match timeout(self.options.snapshot_stall_timeout, frames.send(frame(part))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_closed)) => Err(Stopped::NotTaken),
            Err(_elapsed) => Err(Stopped::Failed(self.stalled("taken"))),
        }
    }

    /// A throttled snapshot is cut finer, so that the receiver sees it move several times a second.
    fn chunk_bytes(&self) -> usize {
        let quarter_second = self.options.snapshot_bytes_per_second.map_or(u64::MAX, |rate| rate / 4);
        let fits_a_frame = self.options.max_frame_bytes.saturating_sub(FRAMING_BYTES);
        let most = self.options.max_snapshot_chunk_bytes.min(fits_a_frame);
        usize::try_from(quarter_second).unwrap_or(usize::MAX).min(most).max(1)
    }

    fn failed(&self, status: &Status) -> SnapshotNotSent {
        let (peer, reason) = (self.peer.id, status.message().to_owned());
        match status.code() {
            Code::ResourceExhausted => SnapshotNotSent::Busy { peer, reason },
            _ if is_refusal(status) => SnapshotNotSent::Refused { peer, reason },
            _ => self.unreachable(describe(status)),
        }
    }

    fn stalled(&self, what: &str) -> SnapshotNotSent {
        let wait = self.options.snapshot_stall_timeout;
        self.unreachable(format!("it has {what} nothing for {wait:?} (snapshot_stall_timeout)"))
    }

    fn unreachable(&self, reason: String) -> SnapshotNotSent {
        SnapshotNotSent::Unreachable(Unreachable { peer: self.peer.id, reason })
    }

    /// The store's reader does not keep to its own `size_bytes`.
    fn wrong_length(&self, wrong: Damaged) -> Stopped {
        self.reader_failed(StorageError::new(StorageErrorKind::Invalid, "reading the snapshot", wrong.to_string()))
    }

    fn reader_failed(&self, source: StorageError) -> Stopped {
        Stopped::Failed(SnapshotNotSent::ReaderFailed { peer: self.peer.id, source })
    }
}

fn frame(part: Part) -> SnapshotFrame {
    SnapshotFrame { part: Some(part) }
}
