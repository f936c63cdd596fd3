//! A proxy on the loopback that cuts, stalls and slows the connections through it.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// What the proxy does to the bytes of every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Clear,
    /// Every connection is reset once it has moved so many bytes in either direction.
    CutAfter(u64),
    /// Open connections stay open, and nothing moves; a connection that has met this moves nothing ever after.
    Stalled,
    /// So many bytes move in a second.
    Slow(u64),
    /// Every connection is reset, and so is every new one.
    Down,
}

/// A proxy before a server; dropped, it ends all connections.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    weather: watch::Sender<Weather>,
    cuts: Arc<AtomicU64>,
    moved: Arc<AtomicU64>,
    running: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn before(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (weather, seen) = watch::channel(Weather::Clear);
        let (cuts, moved) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let line = Line { weather: seen, moved: moved.clone() };
        let running = tokio::spawn(serve(listener, server, line, cuts.clone()));
        Proxy { address, weather, cuts, moved, running }
    }

    pub(crate) fn turn(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// How many connections were reset.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }

    /// Waits until so many connections were reset.
    pub(crate) async fn after_cuts(&self, cuts: u64) {
        while self.cuts() < cuts {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until so many more bytes have come through.
    pub(crate) async fn after(&self, bytes: u64) {
        let until = self.moved.load(Ordering::Relaxed) + bytes;
        while self.moved.load(Ordering::Relaxed) < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.running.abort();
    }
}

#[derive(Clone, Debug)]
struct Line {
    weather: watch::Receiver<Weather>,
    moved: Arc<AtomicU64>,
}

async fn serve(listener: TcpListener, server: SocketAddr, line: Line, cuts: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (line, cuts) = (line.clone(), cuts.clone());
        connections.spawn(async move {
            // A reset is counted; an end that came from either side is not.
            if carry(client, server, line).await.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionAborted) {
                cuts.fetch_add(1, Ordering::Relaxed);
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(client: TcpStream, server: SocketAddr, line: Line) -> io::Result<()> {
    // Closed with this set, a socket says "reset".
    client.set_zero_linger()?;
    let upstream = TcpStream::connect(server).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = upstream.into_split();
    let (mut up, mut down) = (line.clone(), line);
    tokio::select! {
        ended = up.move_all(from_client, to_server) => ended,
        ended = down.move_all(from_server, to_client) => ended,
    }
}

impl Line {
    async fn move_all(&mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let (mut buffer, mut total) = (vec![0; 16 << 10], 0);
        loop {
            let length = tokio::select! {
                length = from.read(&mut buffer) => length?,
                down = self.weather.wait_for(|weather| *weather == Weather::Down) => {
                    down.map(drop).map_err(io::Error::other)?;
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            };
            if length == 0 {
                return Ok(());
            }
            self.bear(length as u64, total).await?;
            to.write_all(&buffer[..length]).await?;
            total += length as u64;
            self.moved.fetch_add(length as u64, Ordering::Relaxed);
        }
    }

    /// Whether so many bytes may move, and when.
    async fn bear(&mut self, length: u64, total: u64) -> io::Result<()> {
        let weather = *self.weather.borrow_and_update();
        match weather {
            Weather::Stalled => std::future::pending().await,
            Weather::Down => Err(io::ErrorKind::ConnectionAborted.into()),
            Weather::CutAfter(most) if total + length > most => Err(io::ErrorKind::ConnectionAborted.into()),
            Weather::Slow(per_second) => {
                let millis = length * 1000 / per_second;
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(millis)) => {}
                    _ = self.weather.changed() => {}
                }
                Ok(())
            }
            Weather::Clear | Weather::CutAfter(_) => Ok(()),
        }
    }
}
