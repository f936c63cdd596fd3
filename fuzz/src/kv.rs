//! The example's decoders: what its clients send, its commands, and its snapshots.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::{Bytes, BytesMut};
use eraft::{LogIndex, SnapshotMeta, SnapshotReader, StateMachine, StateMachineError, Typed, TypedStateMachine, codec};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio_util::codec::{Decoder as _, Encoder as _};

use super::{
    example::{
        codec::{Codec, Frame, Protocol},
        request::Request,
        store::{Command, Reply, Store},
    },
    input::Input,
    memory,
    metadata::comes_back,
};

/// What a client sends: where it is cut in two on its way, then its bytes.
pub fn request(input: &[u8]) -> bool {
    let mut input = Input(input);
    let cut = usize::from(input.u16()).min(input.0.len());
    let (requests, refused) = memory::within(16 * 1024 + 128 * input.0.len(), || decode_all(&[input.0]));
    assert_eq!((&requests, refused), (&decode_all(&[&input.0[..cut], &input.0[cut..]]).0, refused));
    for arguments in requests {
        let mut encoded = BytesMut::new();
        let strings = arguments.iter().cloned().map(Frame::BulkString).collect();
        Codec.encode((Frame::Array(strings), Protocol::Resp2), &mut encoded).unwrap();
        assert_eq!(decode_all(&[&encoded]), (vec![arguments.clone()], false));
        if let Err(text) = Request::parse(arguments) {
            assert!(!text.contains(['\r', '\n']), "{text:?} would break the reply");
        }
    }
    !refused
}

/// The requests in `pieces`, and whether the connection is closed behind the last.
fn decode_all(pieces: &[&[u8]]) -> (Vec<Vec<Bytes>>, bool) {
    let (mut codec, mut buffer, mut requests) = (Codec, BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break,
                Err(_) => return (requests, true),
            }
        }
    }
    (requests, false)
}

/// The first byte chooses between a command and a reply, the rest is to be one.
pub fn command(input: &[u8]) -> bool {
    let mut input = Input(input);
    let choice = input.byte();
    if choice % 2 == 1 {
        return comes_back::<Reply>(input.0).is_some();
    }
    let Some(command) = comes_back::<Command>(input.0) else { return false };
    let _key = command.first_key();
    let reply = Store::default().apply(LogIndex(1), command);
    assert_eq!(codec::decode(&codec::encode(&reply)), Ok(reply));
    true
}

/// What a snapshot of the example consists of.
type Part = Arc<BTreeMap<Bytes, Bytes>>;

/// Keeps the parts of a snapshot as they are; clones share them.
#[derive(Clone, Default)]
struct Parts(Arc<Mutex<Vec<Part>>>);

impl TypedStateMachine for Parts {
    type Command = ();
    type Reply = ();
    type Piece = Part;

    fn last_applied(&self) -> LogIndex {
        LogIndex::ZERO
    }

    fn apply(&mut self, _index: LogIndex, (): ()) {}

    fn snapshot(&self) -> Box<dyn Iterator<Item = Part> + Send> {
        Box::new(self.0.lock().unwrap().clone().into_iter())
    }

    fn restore(&mut self, pieces: Vec<Part>) -> Result<(), StateMachineError> {
        *self.0.lock().unwrap() = pieces;
        Ok(())
    }
}

/// How many parts the example's own store demands, and with which first two bytes an input is to be tried there, which
/// takes long.
const PARTS: usize = 1024;
const IN_THE_STORE: u16 = 0xffff;

/// A snapshot of the example, cut where the first two bytes say.
pub fn pieces(input: &[u8]) -> bool {
    let mut input = Input(input);
    let choice = input.u16();
    let (head, tail) = input.0.split_at(usize::from(choice).min(input.0.len()));
    let chunks = [head, tail].map(Bytes::copy_from_slice).to_vec();
    let parts = Parts::default();
    if memory::within((1 << 20) + 64 * input.0.len(), || restore(parts.clone(), chunks)).is_err() {
        return false;
    }
    let again = Parts::default();
    restore(again.clone(), take(parts.clone())).unwrap();
    let mut parts = parts.0.lock().unwrap().clone();
    assert_eq!(*again.0.lock().unwrap(), parts);

    if choice == IN_THE_STORE && parts.len() <= PARTS {
        parts.resize(PARTS, Part::default());
        let (mut store, again) = (Store::default(), Store::default());
        store.restore(parts).unwrap();
        restore(again.clone(), take(store.clone())).unwrap();
        let (again, store) = (again.now(), store.now());
        assert_eq!((again.digest(), again.key_count()), (store.digest(), store.key_count()));
    }
    true
}

fn restore<M: TypedStateMachine>(machine: M, chunks: Vec<Bytes>) -> Result<(), StateMachineError> {
    let size_bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    let chunks = stream::iter(chunks).map(Ok).boxed();
    let snapshot = SnapshotReader { meta: SnapshotMeta::default(), size_bytes, chunks };
    Typed::new(machine).restore(snapshot).now_or_never().unwrap()
}

fn take<M: TypedStateMachine>(machine: M) -> Vec<Bytes> {
    let stream = Typed::new(machine).snapshot().now_or_never().unwrap().unwrap();
    stream.map(Result::unwrap).collect().now_or_never().unwrap()
}
