//! The handle to a running member.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use eraft_core::{Inbox, StateMachine, Storage, Transport};
use tokio::sync::watch;

use crate::{Leadership, NodeStatus, Options, ProposeError, ReadError, StartError, StopCause};

/// A running member of a cluster; clones are handles to the same one. It runs until [`Node::shutdown`] or a failure, also
/// when every handle is gone.
#[derive(Clone, Debug)]
pub struct Node {
    running: Infallible,
}

impl Node {
    /// Starts the member whose data `storage` holds, on the tokio runtime that this is called on.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start(
        options: Options,
        storage: Arc<dyn Storage>,
        transport: Arc<dyn Transport>,
        state_machine: Box<dyn StateMachine>,
    ) -> Result<Node, StartError> {
        options.validate()?;
        let _parts = (storage, transport, state_machine);
        Err(StartError::Options("not built yet".to_owned()))
    }

    /// Replicates a command and resolves to the state machine's reply once this node has applied it. Dropping the
    /// future does not take the command back.
    ///
    /// # Errors
    /// [`ProposeError`], which tells whether the command may have been committed all the same.
    pub async fn propose(&self, command: Bytes) -> Result<Bytes, ProposeError> {
        drop(command);
        match self.running {}
    }

    /// Resolves once everything committed when this was called is applied here: what the caller then reads from its own
    /// state is linearizable (section 6.4 of Ongaro's dissertation).
    ///
    /// # Errors
    /// [`ReadError`]; read at the leader, or again.
    pub async fn linearizable_read(&self) -> Result<(), ReadError> {
        match self.running {}
    }

    /// How the node is doing; cheap.
    pub fn status(&self) -> NodeStatus {
        match self.running {}
    }

    /// Tells every change of role, term and leader; it ends when the node does.
    pub fn watch(&self) -> watch::Receiver<Leadership> {
        match self.running {}
    }

    /// Where the transport delivers messages for this node.
    pub fn inbox(&self) -> Arc<dyn Inbox> {
        match self.running {}
    }

    /// Takes no more requests, completes what is being saved and applied, saves the commit index, closes the store and
    /// ends. Doing it twice is no error.
    ///
    /// # Errors
    /// The cause, where the node had ended by itself, or failed while closing.
    pub async fn shutdown(&self) -> Result<(), StopCause> {
        match self.running {}
    }

    /// Resolves when the node has ended, to the first cause.
    pub async fn stopped(&self) -> StopCause {
        match self.running {}
    }
}
