//! What the fuzz targets (`fuzz/`) reach of this crate: the decoders of what peers send, on whatever bytes, and the
//! encoders that make honest ones.
//!
//! No part of the interface: hidden, and free to change. It holds no rule of its own, or the targets would test that
//! instead of what a server runs.

use bytes::{Bytes, BytesMut};
use eraft_core::{GroupId, Identity, Message, NodeId, SnapshotMeta, StoreId, Term};
use prost::Message as _;

use crate::{
    GrpcOptions,
    codec::Decodable as _,
    handshake::{self, Expect},
    proto::{self, SnapshotFrame, snapshot_frame::Part},
    snapshot::parts::{Header, Tally},
    wire,
};

/// What a frame of a peer's stream says.
#[derive(Debug, PartialEq)]
pub struct Frame {
    /// Who speaks, where the frame bears a hello and it is judged to be `peer` who speaks to `ours`.
    pub hello: Option<Result<(NodeId, StoreId), String>>,
    /// Its messages.
    pub messages: Vec<Message>,
}

impl Frame {
    /// What `bytes` say to `ours`, of group 0, who waits for `peer`.
    ///
    /// # Errors
    /// Why the stream would be closed.
    pub fn decode(bytes: Bytes, ours: &Identity, peer: NodeId) -> Result<Frame, String> {
        let frame = proto::Frame::decode_checked(bytes).map_err(|error| error.to_string())?;
        let accept = [peer].into();
        let judge = |hello| handshake::check(&hello, ours, GroupId::ZERO, Expect::AnyOf(&accept));
        let hello = frame.hello.map(|hello| judge(hello).map_err(|refusal| refusal.to_string()));
        let messages = frame.messages.into_iter().map(wire::from_proto).collect::<Result<_, _>>();
        Ok(Frame { hello, messages: messages.map_err(|error| error.to_string())? })
    }
}

/// A frame: with a hello from `speaker` to `to`, or with messages.
pub fn encode_frame(hello: Option<(&Identity, NodeId)>, messages: Vec<Message>) -> Vec<u8> {
    let hello = hello.map(|(speaker, to)| handshake::hello(speaker, GroupId::ZERO, to));
    proto::Frame { hello, messages: messages.into_iter().map(wire::to_proto).collect() }.encode_to_vec()
}

/// A snapshot as it came in.
#[derive(Debug, PartialEq)]
pub struct Snapshot {
    /// The sender's term.
    pub term: Term,
    /// What it stands for.
    pub meta: SnapshotMeta,
    /// Its pieces.
    pub chunks: Vec<Bytes>,
}

impl Snapshot {
    /// What a stream of frames brings, each preceded by its length. Where `mend` is set, offsets, lengths and checksums are
    /// first made what they should be, so that what lies behind them is reached.
    ///
    /// # Errors
    /// Why the stream would be closed.
    pub fn decode(mut stream: Bytes, mend: bool) -> Result<Snapshot, String> {
        let mut next = || match stream.is_empty() {
            true => Ok(None),
            false => SnapshotFrame::decode_length_delimited(&mut stream).map(Some).map_err(|error| error.to_string()),
        };
        let Some(SnapshotFrame { part: Some(Part::Opening(opening)) }) = next()? else {
            return Err("no opening".to_owned());
        };
        let Header { term, meta, size_bytes } = Header::decode(&opening).map_err(|error| error.to_string())?;
        let (mut tally, mut all, mut chunks) = (Tally::new(size_bytes), BytesMut::new(), Vec::new());
        loop {
            let mut frame = next()?;
            match frame.as_mut().and_then(|frame| frame.part.as_mut()) {
                Some(Part::Chunk(chunk)) if mend => {
                    (chunk.offset, chunk.crc32c) = (all.len() as u64, crc_fast::crc32_iscsi(&chunk.data));
                }
                Some(Part::End(end)) if mend => {
                    (end.size_bytes, end.crc32c) = (all.len() as u64, crc_fast::crc32_iscsi(&all));
                }
                _ => {}
            }
            let max_bytes = GrpcOptions::default().max_snapshot_chunk_bytes;
            match tally.check(frame, max_bytes).map_err(|error| error.to_string())? {
                Some(chunk) => {
                    all.extend_from_slice(&chunk);
                    chunks.push(chunk);
                }
                None => return Ok(Snapshot { term, meta, chunks }),
            }
        }
    }

    /// The stream that a sender makes of it.
    ///
    /// # Errors
    /// Why it would not.
    pub fn encode(&self, speaker: &Identity, to: NodeId) -> Result<Bytes, String> {
        let size_bytes = self.chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let header = Header { term: self.term, meta: self.meta.clone(), size_bytes };
        let opening = header.encode(handshake::hello(speaker, GroupId::ZERO, to));
        let (mut tally, mut parts) = (Tally::new(size_bytes), vec![Part::Opening(opening)]);
        for chunk in &self.chunks {
            parts.push(Part::Chunk(tally.chunk(chunk.clone()).map_err(|error| error.to_string())?));
        }
        parts.push(Part::End(tally.end().map_err(|error| error.to_string())?));
        let frames = parts.into_iter().map(|part| SnapshotFrame { part: Some(part) }.encode_length_delimited_to_vec());
        Ok(frames.flatten().collect())
    }
}
