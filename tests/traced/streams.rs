//! What nodes say: messages to their peers and replies to their clients, each at the moment at which its first byte was
//! given to a socket.

use std::{collections::BTreeMap, net::SocketAddr};

use bytes::Bytes;
use eraft_transport_grpc::proto;
use prost::Message as _;

use super::calls::Call;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER_BYTES: usize = 9;
const DATA: u8 = 0;
const PADDED: u8 = 8;
/// A flag and a length before each message of gRPC.
const PREFIX_BYTES: usize = 5;

/// Something that a node has said.
#[derive(Debug)]
pub struct Statement {
    /// When the call began that carried its first byte.
    pub line: usize,
    pub said: Said,
}

/// What it was.
#[derive(Debug)]
pub enum Said {
    /// To a peer.
    Message(proto::Message),
    /// To a client: the `place`-th reply on a connection, named by both its ends.
    Reply { node: SocketAddr, client: SocketAddr, place: usize, reply: Reply },
}

/// As much of a reply as vouches for something.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`.
    Done,
    /// A string.
    Value(Vec<u8>),
    /// A number, nothing, or an error.
    Other,
}

/// The bytes that one end of a connection was given, and when.
#[derive(Debug, Default)]
struct Stream {
    bytes: Vec<u8>,
    /// Where the bytes of each call begin, and its line.
    given: Vec<(usize, usize)>,
}

/// Everything that was said to `peers` and to the clients of `nodes`, in order.
pub fn read(calls: &[Call], peers: &[SocketAddr], nodes: &[SocketAddr]) -> Vec<Statement> {
    let mut streams: BTreeMap<(SocketAddr, SocketAddr), Stream> = BTreeMap::new();
    let sends = ["sendto", "sendmsg", "write", "writev"];
    for call in calls.iter().filter(|call| sends.contains(&call.name.as_str())) {
        let Some((Ok(here), Ok(there))) = call.connection().map(|(here, there)| (here.parse(), there.parse())) else {
            continue;
        };
        if peers.contains(&there) || nodes.contains(&here) {
            let stream = streams.entry((here, there)).or_default();
            stream.given.push((stream.bytes.len(), call.begun));
            stream.bytes.extend(call.written());
        }
    }
    let mut statements = Vec::new();
    for ((here, there), stream) in &streams {
        if peers.contains(there) {
            statements.extend(stream.messages());
        } else {
            let replies = stream.replies().into_iter().enumerate();
            statements.extend(replies.map(|(place, (line, reply))| {
                let said = Said::Reply { node: *here, client: *there, place, reply };
                Statement { line, said }
            }));
        }
    }
    statements.sort_by_key(|statement| statement.line);
    statements
}

impl Stream {
    fn line_of(&self, offset: usize) -> usize {
        self.given[self.given.partition_point(|(begin, _)| *begin <= offset) - 1].1
    }

    /// The messages in a stream of HTTP/2 that carries one call of gRPC.
    fn messages(&self) -> Vec<Statement> {
        let (mut at, mut body, mut given) = (0, Vec::new(), Vec::new());
        assert!(self.bytes.is_empty() || self.bytes.starts_with(PREFACE), "a stream to a peer that is not HTTP/2");
        at += PREFACE.len();
        while let Some(header) = self.bytes.get(at..at + FRAME_HEADER_BYTES) {
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            let begin = at + FRAME_HEADER_BYTES;
            let Some(payload) = self.bytes.get(begin..begin + length) else { break };
            if header[3] == DATA {
                assert_eq!(header[4] & PADDED, 0, "padding");
                given.push((body.len(), self.line_of(at)));
                body.extend_from_slice(payload);
            }
            at = begin + length;
        }
        let body = Stream { bytes: body, given };
        let (mut at, mut statements) = (0, Vec::new());
        while let Some(prefix) = body.bytes.get(at..at + PREFIX_BYTES) {
            assert_eq!(prefix[0], 0, "a compressed message");
            let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
            let begin = at + PREFIX_BYTES;
            let Some(frame) = body.bytes.get(begin..begin + length) else { break };
            let frame = proto::Frame::decode(Bytes::copy_from_slice(frame)).unwrap();
            let line = body.line_of(at);
            statements
                .extend(frame.messages.into_iter().map(|message| Statement { line, said: Said::Message(message) }));
            at = begin + length;
        }
        statements
    }

    /// The replies in a stream of RESP, each with its line.
    fn replies(&self) -> Vec<(usize, Reply)> {
        let (mut at, mut replies) = (0, Vec::new());
        while let Some(length) = self.bytes[at..].windows(2).position(|end| end == b"\r\n") {
            let (line, head) = (self.line_of(at), &self.bytes[at..at + length]);
            at += length + 2;
            let reply = match head {
                b"+OK" => Reply::Done,
                [b'$', digits @ ..] if digits != b"-1" => {
                    let length: usize = std::str::from_utf8(digits).unwrap().parse().unwrap();
                    let Some(value) = self.bytes.get(at..at + length) else { break };
                    at += length + 2;
                    Reply::Value(value.to_owned())
                }
                _ => Reply::Other,
            };
            replies.push((line, reply));
            if at > self.bytes.len() {
                break;
            }
        }
        replies
    }
}
