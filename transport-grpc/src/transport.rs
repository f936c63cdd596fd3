//! The sending side: one task and one bounded queue per peer.

use std::collections::BTreeMap;

use async_trait::async_trait;
use eraft_core::{Identity, Message, NodeId, Transport, Unreachable};

use crate::{GrpcOptions, PeerStats};

/// Sends messages to peers; dropping it stops its tasks.
#[derive(Debug)]
pub struct GrpcTransport {}

impl GrpcTransport {
    /// Starts to dial `peers` (`host:port` each); must be called within a tokio runtime.
    pub fn new(_identity: Identity, _peers: BTreeMap<NodeId, String>, _options: GrpcOptions) -> GrpcTransport {
        GrpcTransport {}
    }

    /// What happened so far, by peer.
    pub fn stats(&self) -> BTreeMap<NodeId, PeerStats> {
        BTreeMap::new()
    }

    /// Closes the streams and waits, within `shutdown_timeout`, until its tasks have ended.
    pub async fn shutdown(&self) {}
}

#[async_trait]
impl Transport for GrpcTransport {
    async fn send(&self, to: NodeId, _message: Message) -> Result<(), Unreachable> {
        Err(Unreachable { peer: to, reason: "not connected yet".into() })
    }
}
