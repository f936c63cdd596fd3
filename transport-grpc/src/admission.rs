//! Which connections the server holds: a bounded number, and none that keeps silent.
//!
//! Whoever can reach the port can connect to it. Without this, connections that never say anything would pile up until
//! the node has no file descriptors left for its own log.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use eraft_metrics_kit::Counter;
use futures_util::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;
use tracing::warn;

/// How long accepting pauses after an error, which is usually a lack of file descriptors and returns at once.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// One accepted connection. Reading from it fails once it has kept silent too long, or the server cuts it.
#[derive(Debug)]
pub(crate) struct Admitted {
    stream: TcpStream,
    greeted: Greeted,
    /// Counts those that end without it.
    ungreeted: Counter,
    silent_too_long: Pin<Box<Sleep>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _permit: OwnedSemaphorePermit,
}

/// Set by the handshake: the connection may stay.
#[derive(Clone, Debug, Default)]
pub(crate) struct Greeted(Arc<AtomicBool>);

impl Greeted {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The connections that arrive at `listener`, at most `max_connections` of them at once; each has `greeting_timeout` for
/// its handshake, and all end with `cut`.
pub(crate) fn admitted(
    listener: TcpListener,
    max_connections: usize,
    greeting_timeout: Duration,
    cut: CancellationToken,
    ungreeted: Counter,
) -> impl Stream<Item = io::Result<Admitted>> {
    let places = Arc::new(Semaphore::new(max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    stream::unfold((listener, places, cut, ungreeted), move |(listener, places, cut, ungreeted)| async move {
        // The place first: a connection that has none waits in the backlog, where it costs us nothing.
        let permit = Arc::clone(&places).acquire_owned().await.ok()?;
        let stream = accept(&listener).await;
        let admitted = Admitted {
            stream,
            greeted: Greeted::default(),
            ungreeted: ungreeted.clone(),
            silent_too_long: Box::pin(sleep(greeting_timeout)),
            cut: Box::pin(cut.clone().cancelled_owned()),
            _permit: permit,
        };
        Some((Ok(admitted), (listener, places, cut, ungreeted)))
    })
}

async fn accept(listener: &TcpListener) -> TcpStream {
    let mut told = false;
    loop {
        match listener.accept().await {
            Ok((stream, _from)) => {
                // Only latency is lost where the system refuses this.
                let _without = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    warn!(%error, "no peer can be accepted now");
                }
                sleep(PAUSE_AFTER_ERROR).await;
            }
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if !self.greeted.is_set() {
            self.ungreeted.increment(1);
        }
    }
}

impl Connected for Admitted {
    type ConnectInfo = Greeted;

    fn connect_info(&self) -> Greeted {
        self.greeted.clone()
    }
}

impl AsyncRead for Admitted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server has stopped")));
        }
        if !self.greeted.is_set() && self.silent_too_long.as_mut().poll(cx).is_ready() && !self.greeted.is_set() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no handshake in time")));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Admitted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
