//! Frames from bytes: protobuf, after a look at how much memory they would take.
//!
//! An empty element of a list takes two bytes on the wire and a hundred in memory, so a frame within its bound could take
//! a hundred times that. The bytes are walked first, which allocates nothing; what only a liar sends is refused.

use std::marker::PhantomData;

use bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstEncoder;

use crate::{
    proto::{Answer, Frame, SnapshotAnswer, SnapshotFrame},
    wire::Malformed,
};

/// The most messages that one frame carries.
pub(crate) const MAX_FRAME_MESSAGES: usize = 4096;

/// The shortest entry: an index and a term, each with its tag.
const MIN_ENTRY_BYTES: usize = 4;

// As `raft.proto` numbers them.
const FRAME_MESSAGES: u32 = 2;
const MESSAGE_APPEND_ENTRIES: u32 = 14;
const APPEND_ENTRIES_ENTRIES: u32 = 2;

/// What each of the protocol's streams is made of.
pub(crate) trait Decodable: prost::Message + Default {
    /// Refuses bytes that would take far more memory than they are.
    fn check(_bytes: &[u8]) -> Result<(), Malformed> {
        Ok(())
    }

    /// One of these, of all of `bytes`.
    fn decode_checked(bytes: Bytes) -> Result<Self, Malformed> {
        Self::check(&bytes)?;
        Self::decode(bytes).map_err(|error| Malformed(error.to_string()))
    }
}

impl Decodable for Frame {
    fn check(bytes: &[u8]) -> Result<(), Malformed> {
        let mut count = 0_usize;
        each(bytes, FRAME_MESSAGES, &mut |message| {
            count += 1;
            if count > MAX_FRAME_MESSAGES {
                return Err(Malformed(format!("a frame has more than {MAX_FRAME_MESSAGES} messages")));
            }
            crate::proto::Message::check(message)
        })
    }
}

impl Decodable for crate::proto::Message {
    fn check(bytes: &[u8]) -> Result<(), Malformed> {
        each(bytes, MESSAGE_APPEND_ENTRIES, &mut |append| {
            each(append, APPEND_ENTRIES_ENTRIES, &mut |entry| match entry.len() {
                MIN_ENTRY_BYTES.. => Ok(()),
                found => Err(Malformed(format!("an entry takes {found} bytes, expected at least {MIN_ENTRY_BYTES}"))),
            })
        })
    }
}

impl Decodable for Answer {}
impl Decodable for SnapshotFrame {}
impl Decodable for SnapshotAnswer {}

/// Calls `look` with every value of `field`, a message of its own, in the order of `bytes`; knows no other field.
fn each(mut bytes: &[u8], field: u32, look: &mut dyn FnMut(&[u8]) -> Result<(), Malformed>) -> Result<(), Malformed> {
    let malformed = |error: prost::DecodeError| Malformed(error.to_string());
    while !bytes.is_empty() {
        let (tag, wire_type) = decode_key(&mut bytes).map_err(malformed)?;
        if tag != field || wire_type != WireType::LengthDelimited {
            skip_field(wire_type, tag, &mut bytes, DecodeContext::default()).map_err(malformed)?;
            continue;
        }
        let length = decode_varint(&mut bytes).map_err(malformed)?;
        let value = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
        let (value, rest) = value.ok_or_else(|| Malformed("it ends within a field".to_owned()))?;
        look(value)?;
        bytes = rest;
    }
    Ok(())
}

/// The codec of every stream: prost's, with [`Decodable::check`] before it.
#[derive(Debug)]
pub(crate) struct CheckedCodec<T, U>(PhantomData<(T, U)>);

/// The decoding half of [`CheckedCodec`].
#[derive(Debug)]
pub(crate) struct CheckedDecoder<U>(PhantomData<U>);

impl<T, U> Default for CheckedCodec<T, U> {
    fn default() -> Self {
        CheckedCodec(PhantomData)
    }
}

impl<T, U> Codec for CheckedCodec<T, U>
where
    T: prost::Message + Send + 'static,
    U: Decodable + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = CheckedDecoder<U>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> CheckedDecoder<U> {
        CheckedDecoder(PhantomData)
    }
}

impl<U: Decodable> Decoder for CheckedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        U::decode_checked(bytes).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
