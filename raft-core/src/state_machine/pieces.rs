//! A typed snapshot as bytes: pieces, one after the other, each its length (four bytes, big-endian) and versioned
//! MessagePack.
//!
//! One piece at a time is in memory as bytes, whatever the size of the state. It may assume that the store has verified
//! the bytes, but not that this build wrote them: what does not decode is an error that says where.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use serde::{Serialize, de::DeserializeOwned};

use super::{SnapshotStream, StateMachineError};
use crate::{codec, types::SnapshotReader};

/// Small pieces are gathered until a chunk has so many bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// The stream of `pieces`; each is made when its turn has come.
pub(super) fn encode<P: Serialize + 'static>(mut pieces: Box<dyn Iterator<Item = P> + Send>) -> SnapshotStream {
    let chunks = std::iter::from_fn(move || {
        let mut chunk = BytesMut::new();
        while chunk.len() < CHUNK_BYTES
            && let Some(piece) = pieces.next()
        {
            if let Err(error) = append(&mut chunk, &piece) {
                return Some(Err(error));
            }
        }
        (!chunk.is_empty()).then(|| Ok(chunk.freeze()))
    });
    Box::pin(stream::iter(chunks))
}

fn append<P: Serialize>(chunk: &mut BytesMut, piece: &P) -> Result<(), StateMachineError> {
    let bytes = codec::try_encode(piece)?;
    let length = u32::try_from(bytes.len())
        .map_err(|_| format!("a piece of {} bytes is too long: give smaller pieces", bytes.len()))?;
    chunk.extend_from_slice(&length.to_be_bytes());
    chunk.extend_from_slice(&bytes);
    Ok(())
}

/// The pieces within `snapshot`, in order.
pub(super) async fn decode<P: DeserializeOwned>(snapshot: SnapshotReader) -> Result<Vec<P>, StateMachineError> {
    let SnapshotReader { size_bytes, mut chunks, .. } = snapshot;
    let (mut pieces, mut received, mut bytes) = (Vec::new(), 0, BytesMut::new());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        received += chunk.len() as u64;
        bytes.extend_from_slice(&chunk);
        while let Some(piece) = split_piece(&mut bytes) {
            let number = pieces.len();
            let piece = codec::decode(&piece).map_err(|error| {
                format!("piece {number} of the snapshot cannot be decoded: {error}; was it written by another version?")
            })?;
            pieces.push(piece);
        }
    }
    if received != size_bytes || !bytes.is_empty() {
        let cut = bytes.len();
        return Err(
            format!("the snapshot ends after {received} of {size_bytes} bytes, with {cut} of a piece cut off").into()
        );
    }
    Ok(pieces)
}

/// The next piece, if all of it is there.
fn split_piece(bytes: &mut BytesMut) -> Option<Bytes> {
    const LENGTH_BYTES: usize = 4;
    let length = usize::try_from(u32::from_be_bytes(*bytes.first_chunk::<LENGTH_BYTES>()?)).ok()?;
    if bytes.len() - LENGTH_BYTES < length {
        return None;
    }
    bytes.advance(LENGTH_BYTES);
    Some(bytes.split_to(length).freeze())
}
