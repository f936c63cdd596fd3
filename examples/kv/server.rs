//! The listener: one task per client, a bounded number of them.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use rustix::process::{Resource, getrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{connection, service::Service};

/// Clients that are served at once, where the limit of open files allows it; a further one is told so and closed.
const MAX_CLIENTS: u64 = 10_000;
/// Open files that are left to the store and the peers: a store that cannot open its next segment ends its node.
const OTHER_FILES: u64 = 128;
/// What is still read, and thrown away, of a client that was told why it must leave.
const LINGER_BYTES: u64 = 64 * 1024 * 1024;
/// How long that may take.
const LINGER_TIME: Duration = Duration::from_secs(2);
/// How long no client is taken after the system refused to hand one over.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens for clients.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
}

impl Server {
    /// Listens on `address`; clients wait until [`Server::run`].
    ///
    /// # Errors
    /// The address is taken, or not ours.
    pub async fn bind(address: SocketAddr) -> anyhow::Result<Server> {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address} for clients; stop what uses it (is this node already running?)")
        })?;
        Ok(Server { listener })
    }

    /// Serves clients until it is dropped; their connections end with it.
    pub async fn run(self, service: Service) {
        let mut clients = JoinSet::new();
        let max_clients = max_clients();
        // A state is told once, not every time that it shows: a log must not fill a disk.
        let (mut told_failure, mut told_full) = (false, false);
        loop {
            let (stream, client) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(failed) => {
                    if !std::mem::replace(&mut told_failure, true) {
                        tracing::warn!(%failed, "no client can be accepted now; it is tried again");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            told_failure = false;
            while clients.try_join_next().is_some() {}
            if clients.len() as u64 >= max_clients {
                if !std::mem::replace(&mut told_full, true) {
                    tracing::warn!(
                        max_clients,
                        "further clients are turned away; raise the limit of open files, or close some"
                    );
                }
                clients.spawn(turn_away(stream));
                continue;
            }
            told_full = false;
            clients.spawn(serve(stream, client, service.clone()));
        }
    }
}

async fn serve(mut stream: TcpStream, client: SocketAddr, service: Service) {
    if let Err(failed) = connection::serve(&mut stream, service).await {
        tracing::debug!(%client, %failed, "a client was closed");
        // Closing on bytes that were not read resets the connection, and the client would never read why.
        let _closed = stream.shutdown().await;
        let rest = &mut stream.take(LINGER_BYTES);
        let _rest = tokio::time::timeout(LINGER_TIME, tokio::io::copy(rest, &mut tokio::io::sink())).await;
    }
}

/// As many as the system's limit of open files leaves room for.
fn max_clients() -> u64 {
    let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    MAX_CLIENTS.min(open_files.saturating_sub(OTHER_FILES)).max(1)
}

async fn turn_away(mut stream: TcpStream) {
    // It is told at best effort: the message fits any socket's buffer, so this cannot wait for a client that does not read.
    let _told = stream.try_write(b"-ERR max number of clients reached\r\n");
    let _closed = stream.shutdown().await;
}
