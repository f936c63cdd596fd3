//! The task of one peer: sends what its lanes hold, in order, one thing at a time.
//!
//! It may assume nothing about what the log looks like when a read returns: the node may have lost its leadership and
//! taken another leader's entries meanwhile. So it looks at the leading term *after* each read, and must never send
//! entries under a term in which this node does not lead any more.

use std::sync::Arc;

use eraft_core::{
    Entry, Event, Message, MessageBody, NodeId, Replicate, StorageError, StorageErrorKind, Transport, Unreachable,
};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{Lanes, lanes::NextRead};
use crate::{StopCause, shared::Shared, snapshots::News};

/// Everything the task works with.
pub(crate) struct PeerTask {
    pub(crate) peer: NodeId,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) transport: Arc<dyn Transport>,
}

impl PeerTask {
    /// Runs until it is aborted.
    pub(crate) async fn run(self) {
        loop {
            self.send_messages().await;
            match self.lanes.next_read() {
                NextRead::Nothing => self.lanes.woken().await,
                NextRead::WindowFull => self.wait_for_acknowledgement().await,
                NextRead::Read { replicate, epoch } => self.replicate(replicate, epoch).await,
            }
        }
    }

    async fn send_messages(&self) {
        while let Some(message) = self.lanes.pop_message() {
            self.send(message).await;
        }
    }

    /// Waits until something new is said; where acknowledgements were lost, only so long.
    async fn wait_for_acknowledgement(&self) {
        if timeout(self.shared.options.election_timeout, self.lanes.woken()).await.is_err() {
            debug!(peer = %self.peer, "what is under way was not acknowledged in time");
            self.lanes.forget_inflight();
        }
    }

    /// Sends one message's worth of entries from the start of the range.
    async fn replicate(&self, replicate: Replicate, epoch: u64) {
        let entries = match self.read(&replicate).await {
            Ok(entries) => entries,
            Err(error) => return self.read_failed(error).await,
        };
        // After the read, never before: between them a later leader's entries may have come into the log.
        if !self.shared.leading.is(replicate.term) {
            debug!(peer = %self.peer, term = %replicate.term, "dropped entries: this node leads no longer in their term");
            return self.lanes.restart();
        }
        if entries.is_empty() {
            warn!(peer = %self.peer, range = ?replicate.range, "the log does not show entries that it should hold");
            return self.lanes.failed();
        }
        if self.lanes.take(epoch, &entries) {
            let Replicate { to, term, prev, commit, round, .. } = replicate;
            let body = MessageBody::AppendEntries { prev, entries, commit, round };
            self.send(Message { from: self.shared.identity.node, to, term, body }).await;
        }
    }

    /// Entries from the start of the range, as many as fit a message. Messages go on while the disk is read.
    async fn read(&self, replicate: &Replicate) -> Result<Vec<Entry>, StorageError> {
        let empty_message_bytes = 64;
        let max_bytes = self.shared.options.max_message_bytes - empty_message_bytes;
        if let Some(entries) = self.shared.cache.read(&replicate.range, max_bytes) {
            return Ok(entries);
        }
        let mut reading = self.shared.storage.read_entries(replicate.range.clone(), max_bytes);
        loop {
            tokio::select! {
                biased;
                entries = &mut reading => return entries,
                () = self.lanes.woken() => self.send_messages().await,
            }
        }
    }

    async fn read_failed(&self, error: StorageError) {
        if error.kind() == StorageErrorKind::Compacted {
            // A snapshot was published since the core asked for them: it is to decide again. No message was lost.
            debug!(peer = %self.peer, "entries for a peer were compacted before they were read");
            self.lanes.restart();
            self.shared.tell(News::Event(Event::Compacted { peer: self.peer })).await;
            return;
        }
        if error.kind() == StorageErrorKind::Corrupt {
            return self.shared.signals.fail(StopCause::Storage(error));
        }
        warn!(peer = %self.peer, %error, "entries for a peer cannot be read; they are tried again");
        self.lanes.failed();
    }

    async fn send(&self, message: Message) {
        if let Err(Unreachable { reason, .. }) = self.transport.send(self.peer, message).await {
            debug!(peer = %self.peer, reason, "a message was not handed on");
            self.lanes.failed();
        }
    }
}
