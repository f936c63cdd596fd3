//! The listener: one task per client, a bounded number of them.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{connection, service::Service};

/// Clients that are served at once; a further one is told so and closed.
const MAX_CLIENTS: usize = 1024;
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
            if clients.len() >= MAX_CLIENTS {
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

async fn turn_away(mut stream: TcpStream) {
    // It is told at best effort: the message fits any socket's buffer, so this cannot wait for a client that does not read.
    let _told = stream.try_write(b"-ERR max number of clients reached\r\n");
    let _closed = stream.shutdown().await;
}
