//! The transport port: carries messages at best effort, and hands arriving ones to an inbox.

use std::fmt;

use async_trait::async_trait;

use crate::{message::Message, types::NodeId};

/// Carries messages to other members.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Hands `message` on towards `to`, in the order of calls. Awaiting is the backpressure, and is bounded in time: a
    /// peer that cannot be reached is an error, soon. `Ok` promises nothing: the message may still be lost.
    ///
    /// # Errors
    /// [`Unreachable`]; the message was dropped.
    async fn send(&self, to: NodeId, message: Message) -> Result<(), Unreachable>;
}

/// Takes messages that have arrived; the node is one.
#[async_trait]
pub trait Inbox: fmt::Debug + Send + Sync + 'static {
    /// Takes one message whose sender the transport has verified. Awaiting is the backpressure.
    async fn receive(&self, message: Message);
}

/// A peer that a message could not be handed on to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {peer} is unreachable: {reason}")]
pub struct Unreachable {
    /// Who.
    pub peer: NodeId,
    /// Why, for a person.
    pub reason: String,
}
