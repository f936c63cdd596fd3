//! The receiving side: listens, admits connections, and hands the messages of known peers to the inbox.

use std::{fmt, future::Future, io, net::SocketAddr, sync::Arc};

use eraft_core::{Identity, Inbox};
use eraft_metrics_kit::Counter;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Error, Server};
use tracing::{info, warn};

use crate::{
    GrpcOptions, ServerStats, admission::admitted, metrics, proto::raft_server::RaftServer, receiver::Receiver,
};

/// Receives messages from peers; dropping it stops its tasks.
pub struct GrpcServer {
    local_addr: SocketAddr,
    receiver: Receiver,
    options: GrpcOptions,
    /// Asks streams to end.
    stop: CancellationToken,
    /// Ends connections that did not.
    cut: CancellationToken,
    task: JoinHandle<()>,
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
    /// Listens on `addr` before it returns, and takes messages from the nodes of [`GrpcOptions::accept`].
    ///
    /// # Errors
    /// [`BindError`]: the address is taken, or not ours.
    ///
    /// # Panics
    /// Outside a tokio runtime with time and I/O enabled, for that is where its tasks live.
    pub fn bind(
        identity: Identity,
        addr: SocketAddr,
        inbox: Arc<dyn Inbox>,
        options: GrpcOptions,
    ) -> Result<GrpcServer, BindError> {
        let listener = listen(addr).map_err(|source| BindError { addr, source })?;
        let local_addr = listener.local_addr().map_err(|source| BindError { addr, source })?;
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let receiver = Receiver::new(identity, inbox, options.clone(), stop.clone());
        let serving =
            serve(listener, receiver.clone(), &options, stop.clone(), cut.clone(), metrics::ungreeted(identity.node));
        let task = tokio::spawn(async move {
            if let Err(error) = serving.await {
                warn!(%error, "the server for peers has failed");
            }
        });
        info!(node = %identity.node, %local_addr, "listening for peers");
        Ok(GrpcServer { local_addr, receiver, options, stop, cut, task })
    }

    /// Where it listens; the port that the system chose, if it was asked to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What happened so far.
    pub fn stats(&self) -> ServerStats {
        self.receiver.stats()
    }

    /// Stops listening, tells the peers, and ends their streams; what is still open after `shutdown_timeout` is cut.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if timeout(self.options.shutdown_timeout, &mut self.task).await.is_err() {
            self.cut.cancel();
            if timeout(self.options.shutdown_timeout, &mut self.task).await.is_err() {
                self.task.abort();
            }
        }
    }
}

impl Drop for GrpcServer {
    fn drop(&mut self) {
        self.stop.cancel();
        self.cut.cancel();
    }
}

impl fmt::Debug for GrpcServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcServer").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

/// Blocks only for the system call, so that `bind` can say at once whether it worked.
fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// How connections are served. Everything that concerns the connection itself is said here, so that TLS (with the peer's
/// certificate bound to its node id) has one place to go; until then the handshake names nodes but proves nothing.
fn serve(
    listener: TcpListener,
    receiver: Receiver,
    options: &GrpcOptions,
    stop: CancellationToken,
    cut: CancellationToken,
    ungreeted: Counter,
) -> impl Future<Output = Result<(), Error>> + use<> {
    let service = RaftServer::new(receiver)
        .max_decoding_message_size(options.max_frame_bytes)
        .max_encoding_message_size(options.max_frame_bytes);
    let connections = admitted(listener, options.max_connections, options.handshake_timeout, cut, ungreeted);
    Server::builder()
        .http2_keepalive_interval(Some(options.keepalive_interval))
        .http2_keepalive_timeout(Some(options.keepalive_timeout))
        .initial_stream_window_size(options.window_bytes)
        .initial_connection_window_size(options.window_bytes)
        // One for messages; a peer has no reason to open many.
        .max_concurrent_streams(8)
        .http2_max_header_list_size(16 << 10)
        .add_service(service)
        .serve_with_incoming_shutdown(connections, stop.cancelled_owned())
}
