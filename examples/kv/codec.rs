//! Requests from bytes, replies to bytes: RESP, Redis' protocol.
//!
//! What arrives comes from anyone who can reach the port. RESP nests as deeply and grows as long as its sender likes; a
//! request is only ever a flat array of strings, or one line as it is typed into telnet. So every length is held against
//! its bound before anything waits for what it announces, and [`Codec`] never asks for more than [`MAX_REQUEST_BYTES`]
//! to be gathered. Anything else closes the connection.
//!
//! This file knows nothing of the service: it stands alone, so that tests and fuzzers may take it by its path.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

/// Arguments of one request, the command's name included.
pub const MAX_ARGUMENTS: usize = 1024;
/// One whole request. A command must also fit an entry of the log, whose bound the node checks at `propose`; this one is
/// twice as long, so that a value a little too large is refused in the node's words, and the connection goes on.
pub const MAX_REQUEST_BYTES: usize = 2 * 1024 * 1024;
/// A request that is typed as a line, its end included; the same in Redis.
pub const MAX_INLINE_BYTES: usize = 64 * 1024;
/// A length line: its type byte, up to 20 digits, its line end.
const MAX_LENGTH_LINE_BYTES: usize = 23;
const LINE_END: &[u8] = b"\r\n";
const UNBALANCED: &str = "unbalanced quotes in request";

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

/// Which version of the protocol a client reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What every connection begins with.
    #[default]
    Resp2,
    /// What a client asks for by `HELLO 3`.
    Resp3,
}

/// A reply; how it is written depends on the protocol. What goes into the first two must be free of line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A word or two, such as `OK`.
    SimpleString(String),
    /// Why not: a code in capitals, and a text.
    Error(String),
    /// A number.
    Integer(i64),
    /// Any bytes.
    BulkString(Bytes),
    /// Nothing, where there could be something.
    Null,
    /// Several, in their order.
    Array(Vec<Frame>),
    /// Keys and values; in RESP2 an array in which they alternate.
    Map(Vec<(Frame, Frame)>),
}

/// Turns the bytes of one connection into requests, and replies into bytes.
#[derive(Debug, Default)]
pub struct Codec;

impl Decoder for Codec {
    type Item = Vec<Bytes>;
    type Error = ProtocolError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        loop {
            let arguments = match buffer.first() {
                None => return Ok(None),
                Some(b'*') => array(buffer)?,
                Some(_) => line(buffer)?,
            };
            // A request of nothing (an empty line, an empty array) is passed over, as Redis does.
            if arguments.as_ref().is_none_or(|arguments| !arguments.is_empty()) {
                return Ok(arguments);
            }
        }
    }
}

impl Encoder<(Frame, Protocol)> for Codec {
    type Error = ProtocolError;

    fn encode(&mut self, (frame, protocol): (Frame, Protocol), buffer: &mut BytesMut) -> Result<(), ProtocolError> {
        write(&frame, protocol, buffer);
        Ok(())
    }
}

/// Takes the array of strings at the head of `buffer`; `None` until all of it has arrived.
fn array(buffer: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
    let Some((count, mut end)) = length_line(buffer, 0, b'*', MAX_ARGUMENTS)? else { return Ok(None) };
    let mut spans: Vec<Range<usize>> = Vec::new();
    for _ in 0..count {
        let Some((length, body)) = length_line(buffer, end, b'$', MAX_REQUEST_BYTES)? else { return Ok(None) };
        end = body + length + LINE_END.len();
        if end > MAX_REQUEST_BYTES {
            return Err(malformed(format!("a request takes at most {MAX_REQUEST_BYTES} bytes")));
        }
        if buffer.get(body + length..end).is_some_and(|after| after != LINE_END) {
            return Err(malformed("a string longer than its length"));
        }
        spans.push(body..body + length);
    }
    if end > buffer.len() {
        return Ok(None);
    }
    let request = buffer.split_to(end).freeze();
    Ok(Some(spans.into_iter().map(|span| request.slice(span)).collect()))
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
    let number = rest.get(..digits).filter(|digits| digits.iter().all(u8::is_ascii_digit));
    let number = number.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let number = number.filter(|number| *number <= most);
    let number = number.ok_or_else(|| malformed(format!("invalid length, expected 0 to {most}")))?;
    // After the number: what is wrong is told alike, whether the byte behind the line has arrived with it or later.
    if rest.get(digits + 1).is_some_and(|after| *after != b'\n') {
        return Err(malformed("a length without an end"));
    }
    Ok(Some((number, start + 1 + digits + LINE_END.len())))
}

/// Takes the line at the head of `buffer` and cuts it into words; `None` until its end has arrived.
fn line(buffer: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
    let Some(end) = buffer.iter().take(MAX_INLINE_BYTES).position(|byte| *byte == b'\n') else {
        let unfinished = buffer.len() < MAX_INLINE_BYTES;
        return if unfinished { Ok(None) } else { Err(malformed("too big inline request")) };
    };
    let line = buffer.split_to(end + 1);
    let mut rest = line.as_ref();
    let mut words = Vec::new();
    while let Some(word) = next_word(&mut rest)? {
        if words.len() == MAX_ARGUMENTS {
            return Err(malformed(format!("a request has at most {MAX_ARGUMENTS} arguments")));
        }
        words.push(word);
    }
    // A web page can make its visitor's browser send a form anywhere, with commands in the form's lines. What HTTP sends
    // before them ends the connection, as in Redis.
    let http =
        words.first().is_some_and(|name| [&b"post"[..], b"host:"].iter().any(|it| name.eq_ignore_ascii_case(it)));
    if http { Err(malformed("this is not a web server")) } else { Ok(Some(words)) }
}

/// Takes the next word off `rest`, which may be quoted, in whole or from some byte on; `None` at the end.
fn next_word(rest: &mut &[u8]) -> Result<Option<Bytes>, ProtocolError> {
    *rest = rest.trim_ascii_start();
    if rest.is_empty() {
        return Ok(None);
    }
    let mut word = BytesMut::new();
    while let Some((byte, after)) = rest.split_first() {
        *rest = after;
        match byte {
            b'"' | b'\'' => {
                unquote(*byte, rest, &mut word)?;
                break;
            }
            byte if byte.is_ascii_whitespace() => break,
            byte => word.put_u8(*byte),
        }
    }
    Ok(Some(word.freeze()))
}

/// Takes what stands between the quote that was just taken off `rest` and the closing one, which must end the word.
fn unquote(quote: u8, rest: &mut &[u8], word: &mut BytesMut) -> Result<(), ProtocolError> {
    let double = quote == b'"';
    loop {
        let (byte, after) = match *rest {
            [] => return Err(malformed(UNBALANCED)),
            [byte, after @ ..] if *byte == quote => {
                *rest = after;
                let ends = after.first().is_none_or(u8::is_ascii_whitespace);
                return if ends { Ok(()) } else { Err(malformed(UNBALANCED)) };
            }
            [b'\\', b'x', high, low, after @ ..] if double && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex(*high) * 16 + hex(*low), after)
            }
            [b'\\', escaped, after @ ..] if double => (unescape(*escaped), after),
            [b'\\', b'\'', after @ ..] => (b'\'', after),
            [byte, after @ ..] => (*byte, after),
        };
        word.put_u8(byte);
        *rest = after;
    }
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10),
    }
}

fn unescape(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

fn write(frame: &Frame, protocol: Protocol, buffer: &mut BytesMut) {
    let mut line = |kind: u8, text: &[u8]| {
        buffer.put_u8(kind);
        buffer.put_slice(text);
        buffer.put_slice(LINE_END);
    };
    match frame {
        Frame::SimpleString(text) => line(b'+', text.as_bytes()),
        Frame::Error(text) => line(b'-', text.as_bytes()),
        Frame::Integer(number) => line(b':', number.to_string().as_bytes()),
        Frame::BulkString(bytes) => {
            line(b'$', bytes.len().to_string().as_bytes());
            buffer.put_slice(bytes);
            buffer.put_slice(LINE_END);
        }
        Frame::Null if protocol == Protocol::Resp3 => line(b'_', b""),
        Frame::Null => line(b'$', b"-1"),
        Frame::Array(items) => {
            line(b'*', items.len().to_string().as_bytes());
            items.iter().for_each(|item| write(item, protocol, buffer));
        }
        Frame::Map(pairs) => {
            match protocol {
                Protocol::Resp2 => line(b'*', (pairs.len() * 2).to_string().as_bytes()),
                Protocol::Resp3 => line(b'%', pairs.len().to_string().as_bytes()),
            }
            pairs.iter().flat_map(|(key, value)| [key, value]).for_each(|item| write(item, protocol, buffer));
        }
    }
}

fn malformed(what: impl ToString) -> ProtocolError {
    ProtocolError::Malformed(what.to_string())
}
