//! One client's connection: requests are read in batches, answered, and their replies written with one flush.
//!
//! A batch is what has arrived by the time the one before it was answered, within bounds; until it is answered nothing
//! more is read, so a client that sends faster than it is served is slowed down by TCP.

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_util::codec::Framed;

use super::{
    codec::{Codec, Frame, Protocol, ProtocolError},
    request::{Local, Request},
    service::{Service, error},
    session::Session,
};

/// Requests of one client that are under way at once.
const MAX_BATCH_REQUESTS: usize = 1024;
/// Bytes after which a batch takes no more of them.
const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// Bytes of replies that are gathered before they are written.
const REPLY_BUFFER_BYTES: usize = 64 * 1024;

/// Some requests, and why none follows them, if none does.
struct Batch {
    requests: Vec<Request>,
    end: Option<Result<(), ProtocolError>>,
}

/// Serves one client until it leaves.
///
/// # Errors
/// Why it was made to leave.
pub async fn serve(stream: &mut TcpStream, service: Service) -> Result<(), ProtocolError> {
    stream.set_nodelay(true)?;
    let mut wire = Framed::new(stream, Codec);
    let mut session = Session::new();
    wire.set_backpressure_boundary(REPLY_BUFFER_BYTES);
    loop {
        let batch = next_batch(&mut wire).await;
        for reply in service.answer(&batch.requests, &mut session).await {
            wire.feed(reply).await?;
        }
        if let Some(Err(malformed @ ProtocolError::Malformed(_))) = &batch.end {
            wire.feed((error(format!("ERR {malformed}")), session.protocol())).await?;
        }
        SinkExt::<(Frame, Protocol)>::flush(&mut wire).await?;
        if let Some(end) = batch.end {
            return end;
        }
    }
}

/// Waits for one request, and takes those that have arrived with it.
async fn next_batch(wire: &mut Framed<&mut TcpStream, Codec>) -> Batch {
    let mut batch = Batch { requests: Vec::new(), end: None };
    let mut bytes = 0;
    let mut arrived = wire.next().await;
    loop {
        match arrived {
            Some(Ok(arguments)) => {
                // An argument without a byte takes room all the same.
                bytes += arguments.iter().map(|argument| argument.len() + size_of::<Bytes>()).sum::<usize>();
                batch.requests.push(Request::parse(arguments).unwrap_or_else(Request::Refused));
            }
            Some(Err(failed)) => batch.end = Some(Err(failed)),
            None => batch.end = Some(Ok(())),
        }
        if let Some(Request::Local(Local::Quit)) = batch.requests.last() {
            batch.end = Some(Ok(()));
        }
        if batch.end.is_some() || batch.requests.len() >= MAX_BATCH_REQUESTS || bytes >= MAX_BATCH_BYTES {
            return batch;
        }
        match wire.next().now_or_never() {
            Some(next) => arrived = next,
            None => return batch,
        }
    }
}
