//! The handle to a running member.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use eraft_core::{Inbox, StateMachine, Storage, Transport};
use tokio::sync::watch;

use crate::{
    Leadership, NodeStatus, Options, ProposeError, ReadError, StartError, StopCause, inbox::Door, requests::Refused,
    shared::Shared,
};

/// A running member of a cluster; clones are handles to the same one. It runs until [`Node::shutdown`] or a failure, also
/// when every handle is gone.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

impl Node {
    /// Starts the member whose data `storage` holds, on the tokio runtime that this is called on.
    ///
    /// The state machine is rebuilt from the snapshot, where its `last_applied` lies before the log, and from the log:
    /// committed entries above are applied to it again.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start(
        options: Options,
        storage: Arc<dyn Storage>,
        transport: Arc<dyn Transport>,
        state_machine: Box<dyn StateMachine>,
    ) -> Result<Node, StartError> {
        let shared = crate::start::start(options, storage, transport, state_machine).await?;
        Ok(Node { shared })
    }

    /// Replicates a command and resolves to the state machine's reply once this node has applied it.
    ///
    /// The command takes its place at the call: commands proposed one after the other, without waiting, come into the log
    /// in that order (or not at all). Dropping the future does not take the command back, unless it still waits for a
    /// bound ([`WhenBusy::Wait`](crate::WhenBusy::Wait)).
    ///
    /// # Errors
    /// [`ProposeError`], which tells whether the command may have been committed all the same.
    pub fn propose(
        &self,
        command: Bytes,
    ) -> impl Future<Output = Result<Bytes, ProposeError>> + Send + 'static + use<> {
        let (size_bytes, max_bytes) = (command.len() as u64, self.shared.options.max_entry_bytes);
        let asked = if size_bytes > max_bytes {
            Err(ProposeError::TooLarge { size_bytes, max_bytes })
        } else {
            Ok(self.shared.requests.propose(command))
        };
        let node = self.clone();
        async move {
            match asked?.outcome().await {
                Some(Ok(outcome)) => outcome,
                Some(Err(Refused::Busy)) => Err(ProposeError::Busy),
                Some(Err(Refused::Stopped)) => {
                    Err(ProposeError::Stopped { cause: node.stopped().await, may_have_committed: false })
                }
                None => Err(ProposeError::Stopped { cause: node.stopped().await, may_have_committed: true }),
            }
        }
    }

    /// Resolves once everything committed when this was called is applied here: what the caller then reads from its own
    /// state is linearizable (section 6.4 of Ongaro's dissertation).
    ///
    /// # Errors
    /// [`ReadError`]; read at the leader, or again.
    pub fn linearizable_read(&self) -> impl Future<Output = Result<(), ReadError>> + Send + 'static + use<> {
        let asked = self.shared.requests.read();
        let node = self.clone();
        async move {
            match asked.outcome().await {
                Some(Ok(outcome)) => outcome,
                Some(Err(Refused::Busy)) => Err(ReadError::Busy),
                Some(Err(Refused::Stopped)) | None => Err(ReadError::Stopped { cause: node.stopped().await }),
            }
        }
    }

    /// How the node is doing; cheap, and also possible when it has ended.
    pub fn status(&self) -> NodeStatus {
        self.shared.status()
    }

    /// Tells every change of role, term and leader; it ends when the node does.
    pub fn watch(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.clone()
    }

    /// Where the transport delivers messages and snapshots for this node.
    pub fn inbox(&self) -> Arc<dyn Inbox> {
        Arc::new(Door { shared: Arc::clone(&self.shared) })
    }

    /// Takes no more requests, completes what is being saved and applied, saves the commit index, closes the store and
    /// ends. Doing it twice is no error.
    ///
    /// # Errors
    /// The cause, where the node had ended by itself, or failed while closing.
    pub async fn shutdown(&self) -> Result<(), StopCause> {
        self.shared.signals.request_shutdown();
        match self.stopped().await {
            StopCause::Shutdown => Ok(()),
            cause => Err(cause),
        }
    }

    /// Resolves when the node has ended, to the first cause.
    pub async fn stopped(&self) -> StopCause {
        self.shared.stop.ended().await
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("identity", &self.shared.identity).finish_non_exhaustive()
    }
}
