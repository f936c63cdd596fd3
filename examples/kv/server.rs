//! The listener: one task per client, a bounded number of them.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use rustix::process::{Resource, getrlimit};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{connection, service::Service};

/// Clients that are served at once; a further one is told so and closed.
const MAX_CLIENTS: u64 = 1024;
/// Open files that are left to the store and the peers: a store that cannot open its next segment ends its node.
const OTHER_FILES: u64 = 128;
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
        loop {
            let (stream, client) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(failed) => {
                    tracing::warn!(%failed, "no client could be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            while clients.try_join_next().is_some() {}
            if clients.len() as u64 >= max_clients {
                clients.spawn(turn_away(stream));
                continue;
            }
            let service = service.clone();
            clients.spawn(async move {
                if let Err(failed) = connection::serve(stream, service).await {
                    tracing::debug!(%client, %failed, "a client was closed");
                }
            });
        }
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
