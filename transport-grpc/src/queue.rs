//! What waits for one stream: a queue bounded in bytes and messages, and the frames that are made of it.
//!
//! A queue lives exactly as long as its stream. When the stream is lost, what is queued goes with it: Raft repeats what
//! still matters, and a peer that returns must not be met by a backlog of the past.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::Stream;
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{GrpcOptions, codec::MAX_FRAME_MESSAGES, peer::Counters, proto};

/// The writing end; clones share the bounds. Dropping all of them ends the stream once it is drained.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    sender: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    room_bytes: u32,
    counters: Arc<Counters>,
}

/// The reading end: the frames of one stream, the hello first.
#[derive(Debug)]
pub(crate) struct Frames {
    hello: Option<proto::Hello>,
    queued: mpsc::Receiver<Queued>,
    /// The message that did not fit into the last frame.
    carried: Option<Queued>,
    max_frame_bytes: usize,
    batch_bytes: usize,
    counters: Arc<Counters>,
}

/// One message in the queue, and the room that it takes there.
#[derive(Debug)]
struct Queued {
    message: proto::Message,
    framed_bytes: usize,
    _room: OwnedSemaphorePermit,
    _counted: Waiting,
}

/// Counts a message as waiting for as long as it lives.
#[derive(Debug)]
struct Waiting {
    counters: Arc<Counters>,
    bytes: f64,
}

/// The stream that the queue belonged to is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// How many bytes of a frame `message` takes: itself, its tag and its length.
pub(crate) fn framed_bytes(message: &proto::Message) -> usize {
    let len = message.encoded_len();
    1 + prost::length_delimiter_len(len) + len
}

/// The two ends of a new stream's queue.
pub(crate) fn queue(hello: proto::Hello, options: &GrpcOptions, counters: Arc<Counters>) -> (Queue, Frames) {
    let room_bytes = u32::try_from(options.queue_bytes.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
    let (sender, queued) = mpsc::channel(options.queue_messages.max(1));
    let room = Arc::new(Semaphore::new(room_bytes as usize));
    let frames = Frames {
        hello: Some(hello),
        queued,
        carried: None,
        max_frame_bytes: options.max_frame_bytes,
        batch_bytes: options.batch_bytes,
        counters: Arc::clone(&counters),
    };
    (Queue { sender, room, room_bytes, counters }, frames)
}

impl Queue {
    /// Waits for room, in the order of calls. A message longer than the whole queue waits until it is empty.
    pub(crate) async fn push(&self, message: proto::Message, framed_bytes: usize) -> Result<(), Closed> {
        let bytes = u32::try_from(framed_bytes).unwrap_or(u32::MAX).min(self.room_bytes);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await.map_err(|_closed| Closed)?;
        let _counted = Waiting::new(&self.counters, framed_bytes);
        self.sender.send(Queued { message, framed_bytes, _room: room, _counted }).await.map_err(|_closed| Closed)
    }

    /// Lets nobody wait for room any longer.
    pub(crate) fn close(&self) {
        self.room.close();
    }
}

impl Waiting {
    fn new(counters: &Arc<Counters>, bytes: usize) -> Waiting {
        let bytes = bytes as f64;
        counters.queued.increment(1);
        counters.queued_bytes.increment(bytes);
        Waiting { counters: Arc::clone(counters), bytes }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.counters.queued.decrement(1);
        self.counters.queued_bytes.decrement(self.bytes);
    }
}

impl Frames {
    /// A frame that begins with `first` and takes what else is there, in order, as long as the bounds allow.
    fn pack(&mut self, first: Queued) -> proto::Frame {
        let mut frame_bytes = first.framed_bytes;
        let mut messages = vec![first.message];
        while frame_bytes < self.batch_bytes && messages.len() < MAX_FRAME_MESSAGES {
            let Ok(next) = self.queued.try_recv() else { break };
            if frame_bytes + next.framed_bytes > self.max_frame_bytes {
                self.carried = Some(next);
                break;
            }
            frame_bytes += next.framed_bytes;
            messages.push(next.message);
        }
        self.counters.sent.add(messages.len() as u64);
        self.counters.sent_bytes.add(frame_bytes as u64);
        proto::Frame { hello: None, messages }
    }
}

impl Stream for Frames {
    type Item = proto::Frame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<proto::Frame>> {
        if let Some(hello) = self.hello.take() {
            return Poll::Ready(Some(proto::Frame { hello: Some(hello), messages: Vec::new() }));
        }
        if let Some(first) = self.carried.take() {
            return Poll::Ready(Some(self.pack(first)));
        }
        self.queued.poll_recv(cx).map(|first| first.map(|first| self.pack(first)))
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.queued.close();
        let mut lost = u64::from(self.carried.is_some());
        while self.queued.try_recv().is_ok() {
            lost += 1;
        }
        self.counters.dropped_stream_lost.add(lost);
    }
}

#[cfg(test)]
mod tests {
    use eraft_core::NodeId;
    use futures_util::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_frame_takes_no_more_messages_than_the_other_side_would() {
        let options = GrpcOptions { queue_messages: 10_000, ..GrpcOptions::default() };
        let counters = Arc::new(Counters::new(NodeId(1), NodeId(2)));
        let (queue, frames) = queue(proto::Hello::default(), &options, counters);
        for _ in 0..MAX_FRAME_MESSAGES + 2 {
            let message = proto::Message::default();
            queue.push(message.clone(), framed_bytes(&message)).await.unwrap();
        }
        drop(queue);
        let many: Vec<_> = frames.map(|frame| frame.messages.len()).collect().await;
        assert_eq!(many, [0, MAX_FRAME_MESSAGES, 2], "the hello, a full frame, and the rest");
    }
}
