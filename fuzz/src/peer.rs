//! What a peer sends: frames of messages, the hello, and a snapshot in parts.

use bytes::Bytes;
use eraft_core::{ClusterId, Identity, NodeId, StoreId};
use eraft_transport_grpc::{
    fuzzing::{Frame, Snapshot, encode_frame},
    wire,
};

use super::{input::Input, memory};

/// Who we are, and who the peer is.
pub(crate) const OURS: Identity = Identity { cluster: ClusterId(7), node: NodeId(2), store: StoreId(12) };
pub(crate) const PEER: Identity = Identity { cluster: ClusterId(7), node: NodeId(1), store: StoreId(11) };

/// A few short messages, and the text of a refusal.
const FIXED_BYTES: usize = 4096;

/// The first byte chooses between a message and a frame of them, the rest is to be one.
pub fn message(input: &[u8]) -> bool {
    let mut input = Input(input);
    let alone = input.byte().is_multiple_of(2);
    let bytes = Bytes::copy_from_slice(input.0);
    if alone {
        let decoded = memory::within(FIXED_BYTES + 24 * bytes.len(), || wire::decode(bytes));
        let Ok(message) = decoded else { return false };
        assert_eq!(wire::decode(wire::encode(&message).into()), Ok(message));
        return true;
    }
    let decode = |bytes| Frame::decode(bytes, &OURS, PEER.node);
    // Short messages take more than their entries do; there are 4,096 of them at most.
    let decoded = memory::within(FIXED_BYTES + 120 * bytes.len(), || decode(bytes));
    let Ok(frame) = decoded else { return false };
    if let Some(Ok((node, _store))) = &frame.hello {
        assert_eq!(*node, PEER.node, "nobody else is accepted");
    }
    let again = decode(encode_frame(None, frame.messages.clone()).into()).unwrap();
    assert_eq!((again.hello, again.messages), (None, frame.messages));
    frame.hello.is_none_or(|judged| judged.is_ok())
}

/// The first byte says whether lengths and checksums are mended, the rest is a stream of frames.
pub fn snapshot_stream(input: &[u8]) -> bool {
    let mut input = Input(input);
    let mend = input.byte().is_multiple_of(2);
    let bytes = Bytes::copy_from_slice(input.0);
    let decoded = memory::within(FIXED_BYTES + 64 * bytes.len(), || Snapshot::decode(bytes, mend));
    let Ok(snapshot) = decoded else { return false };
    let stream = snapshot.encode(&PEER, OURS.node).unwrap();
    assert_eq!(Snapshot::decode(stream, false), Ok(snapshot));
    true
}
