//! Requests from bytes, replies to bytes: RESP2, by the `redis-protocol` crate.
//!
//! What arrives comes from anyone who can reach the port. The library reads any RESP value, nested as deeply and as long
//! as its sender likes; a request is only ever a flat array of strings. So [`measure`] walks the lengths first, within
//! bounds, and the library sees nothing but a whole, flat, bounded request. Anything else closes the connection.

use bytes::{Bytes, BytesMut};
use redis_protocol::{codec::Resp2, resp2::types::BytesFrame};
use tokio_util::codec::{Decoder, Encoder};

/// Arguments of one request, the command's name included.
const MAX_ARGUMENTS: usize = 1024;
/// One whole request. A command must also fit an entry of the log, whose bound the node checks at `propose`; this one is
/// twice as long, so that a value a little too large is refused in the node's words, and the connection goes on.
const MAX_REQUEST_BYTES: usize = 2 * 1024 * 1024;
/// A length line: its type byte, up to 20 digits, its line end.
const MAX_LENGTH_LINE_BYTES: usize = 23;
const LINE_END: &[u8] = b"\r\n";

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// Its bytes are no request.
    #[error("Protocol error: {0}")]
    Malformed(String),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Turns the bytes of one connection into requests, and replies into bytes.
#[derive(Debug, Default)]
pub struct Codec {
    resp: Resp2,
}

impl Decoder for Codec {
    type Item = Vec<Bytes>;
    type Error = ProtocolError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        let Some(request_bytes) = measure(buffer)? else { return Ok(None) };
        let mut request = buffer.split_to(request_bytes);
        let frame = self.resp.decode(&mut request).map_err(malformed)?;
        let Some(BytesFrame::Array(arguments)) = frame else { return Err(malformed("expected an array")) };
        arguments.into_iter().map(string).collect::<Result<_, _>>().map(Some)
    }
}

impl Encoder<BytesFrame> for Codec {
    type Error = ProtocolError;

    fn encode(&mut self, reply: BytesFrame, buffer: &mut BytesMut) -> Result<(), ProtocolError> {
        self.resp.encode(reply, buffer).map_err(malformed)
    }
}

/// How many bytes the request at the head of `buffer` takes; `None` until all of it has arrived.
fn measure(buffer: &[u8]) -> Result<Option<usize>, ProtocolError> {
    let Some((arguments, mut end)) = length_line(buffer, 0, b'*', MAX_ARGUMENTS)? else { return Ok(None) };
    for _ in 0..arguments {
        let Some((length, body)) = length_line(buffer, end, b'$', MAX_REQUEST_BYTES)? else { return Ok(None) };
        end = body + length + LINE_END.len();
        if end > MAX_REQUEST_BYTES {
            return Err(malformed(format!("a request takes at most {MAX_REQUEST_BYTES} bytes")));
        }
        if buffer.get(body + length..end).is_some_and(|after| after != LINE_END) {
            return Err(malformed("a string longer than its length"));
        }
    }
    Ok((end <= buffer.len()).then_some(end))
}

/// The number in the line at `start`, which must begin with `kind`, and where the next line begins.
fn length_line(buffer: &[u8], start: usize, kind: u8, most: usize) -> Result<Option<(usize, usize)>, ProtocolError> {
    let Some((first, rest)) = buffer.get(start..).and_then(<[u8]>::split_first) else { return Ok(None) };
    if *first != kind {
        let (expected, found) = (char::from(kind), first.escape_ascii());
        return Err(malformed(format!("expected '{expected}', got '{found}'")));
    }
    let Some(digits) = rest.iter().take(MAX_LENGTH_LINE_BYTES).position(|byte| *byte == b'\r') else {
        let unfinished = rest.len() < MAX_LENGTH_LINE_BYTES;
        return if unfinished { Ok(None) } else { Err(malformed("a length without an end")) };
    };
    let number = rest.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let number = number.filter(|number| *number <= most);
    let number = number.ok_or_else(|| malformed(format!("invalid length, expected 0 to {most}")))?;
    Ok(Some((number, start + 1 + digits + LINE_END.len())))
}

fn string(argument: BytesFrame) -> Result<Bytes, ProtocolError> {
    match argument {
        BytesFrame::BulkString(bytes) => Ok(bytes),
        _ => Err(malformed("expected an array of strings")),
    }
}

fn malformed(what: impl ToString) -> ProtocolError {
    ProtocolError::Malformed(what.to_string())
}
