//! Where messages of other members arrive: a queue that is bounded in number and bytes, and holds its sender up when full.
//! Snapshots come in by the same door, and pass by the queue.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use eraft_core::{Inbox, Message, NodeId, SnapshotReader, SnapshotRefused, Term};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{Options, shared::Shared, snapshots};

/// A message with its share of the inbox's bytes.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) message: Message,
    _bytes: OwnedSemaphorePermit,
}

/// The messages that have arrived at one node.
#[derive(Debug)]
pub(crate) struct NodeInbox {
    max_bytes: u32,
    bytes: Arc<Semaphore>,
    messages: mpsc::Sender<Arrived>,
}

impl NodeInbox {
    pub(crate) fn new(options: &Options) -> (NodeInbox, mpsc::Receiver<Arrived>) {
        let (messages, queue) = mpsc::channel(options.max_inbox_messages);
        let max_bytes = u32::try_from(options.max_inbox_bytes).unwrap_or(u32::MAX);
        (NodeInbox { max_bytes, bytes: Arc::new(Semaphore::new(max_bytes as usize)), messages }, queue)
    }

    /// Messages that wait for the loop.
    pub(crate) fn waiting(&self) -> u64 {
        self.messages.max_capacity().saturating_sub(self.messages.capacity()) as u64
    }

    /// Takes no more; whoever waits to hand one in goes on without.
    pub(crate) fn close(&self) {
        self.bytes.close();
    }

    /// Queues a message; waits while the inbox is full.
    pub(crate) async fn receive(&self, message: Message) {
        // A message larger than the whole inbox still passes, alone.
        let bytes = u32::try_from(message.size_bytes()).unwrap_or(u32::MAX).min(self.max_bytes);
        let Ok(permit) = self.bytes.clone().acquire_many_owned(bytes).await else { return };
        let _node_has_ended = self.messages.send(Arrived { message, _bytes: permit }).await;
    }
}

/// Where the transport delivers: messages go to the queue, snapshots into a stage.
pub(crate) struct Door {
    pub(crate) shared: Arc<Shared>,
}

#[async_trait]
impl Inbox for Door {
    async fn receive(&self, message: Message) {
        self.shared.inbox.receive(message).await;
    }

    async fn receive_snapshot(
        &self,
        from: NodeId,
        term: Term,
        snapshot: SnapshotReader,
    ) -> Result<(), SnapshotRefused> {
        snapshots::receive(&self.shared, from, term, snapshot).await
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("node", &self.shared.identity.node).finish_non_exhaustive()
    }
}
