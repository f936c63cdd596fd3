//! What the tests of this folder share: identities, an inbox that can be awaited, and a client that speaks the protocol
//! by hand, so that it can lie.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests; each file uses a part"
)]

pub mod snapshots;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use eraft_core::{
    ClusterId, Entry, EntryId, Identity, Inbox, LogIndex, Message, MessageBody, NodeId, SnapshotReader,
    SnapshotRefused, StoreId, Term, Transport,
};
use eraft_transport_grpc::{
    GrpcOptions, GrpcServer, GrpcTransport,
    proto::{self, Answer, Frame, raft_client::RaftClient},
    wire,
};
use prost::Message as _;
use tokio::{
    sync::{Mutex, Semaphore, mpsc},
    time::{sleep, timeout},
};
use tonic::{Code, Status, Streaming};

/// Long enough for anything that is bound to happen; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How much a test lets gather before it looks.
const QUEUED: usize = 1 << 15;

pub const CLUSTER: ClusterId = ClusterId(0xC1);

pub fn identity(node: u64) -> Identity {
    Identity { cluster: CLUSTER, node: NodeId(node), store: StoreId(0x500 + node) }
}

/// Options with short waits between attempts, so that a test is soon over, and long ones where a busy machine must not
/// count as a lost peer.
pub fn options() -> GrpcOptions {
    GrpcOptions {
        backoff_min: Duration::from_millis(5),
        backoff_max: Duration::from_millis(20),
        shutdown_timeout: Duration::from_millis(200),
        send_timeout: PATIENCE,
        connect_timeout: PATIENCE,
        handshake_timeout: PATIENCE,
        ..GrpcOptions::accepting([NodeId(1), NodeId(2), NodeId(3)])
    }
}

/// Keeps what arrives; takes only as many messages as it has been allowed to.
#[derive(Debug)]
pub struct Arrivals {
    sender: mpsc::Sender<Message>,
    receiver: Mutex<mpsc::Receiver<Message>>,
    pub allowed: Semaphore,
}

#[async_trait]
impl Inbox for Arrivals {
    async fn receive(&self, message: Message) {
        self.allowed.acquire().await.unwrap().forget();
        self.sender.send(message).await.unwrap();
    }

    async fn receive_snapshot(
        &self,
        _from: NodeId,
        _term: Term,
        _snapshot: SnapshotReader,
    ) -> Result<(), SnapshotRefused> {
        Err(SnapshotRefused { reason: "this inbox takes messages only".to_owned() })
    }
}

impl Arrivals {
    pub fn allowing(messages: usize) -> Arc<Arrivals> {
        let (sender, receiver) = mpsc::channel(QUEUED);
        Arc::new(Arrivals { sender, receiver: Mutex::new(receiver), allowed: Semaphore::new(messages) })
    }

    pub fn unlimited() -> Arc<Arrivals> {
        Arrivals::allowing(1 << 40)
    }

    pub async fn next(&self) -> Message {
        timeout(PATIENCE, self.receiver.lock().await.recv()).await.expect("a message arrives").unwrap()
    }

    pub async fn nothing_came(&self) -> bool {
        self.receiver.lock().await.is_empty()
    }
}

/// A server of node `node` on a port that the system chose.
pub fn serve(node: u64, inbox: &Arc<impl Inbox>, options: GrpcOptions) -> GrpcServer {
    GrpcServer::bind(identity(node), "127.0.0.1:0".parse().unwrap(), inbox.clone(), options).unwrap()
}

/// A transport of node `from` whose only peer is `to` at `address`.
pub fn dial(from: Identity, to: u64, address: SocketAddr, options: GrpcOptions) -> GrpcTransport {
    GrpcTransport::new(from, BTreeMap::from([(NodeId(to), address.to_string())]), options)
}

/// Waits until `condition` holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let holds = async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, holds).await.unwrap_or_else(|_elapsed| panic!("it never came true that {what}"));
}

pub async fn connected(transport: &GrpcTransport, to: u64) {
    until("the peer is connected", || transport.stats()[&NodeId(to)].connected).await;
}

/// A small message that bears `number`.
pub fn numbered(from: u64, to: u64, number: u64) -> Message {
    let body = MessageBody::Appended { matched: LogIndex(number), round: number };
    Message { from: NodeId(from), to: NodeId(to), term: Term(1), body }
}

/// A message that carries one entry of `payload_bytes`.
pub fn append(from: u64, to: u64, payload_bytes: usize) -> Message {
    let entries = vec![Entry::command(Term(1), LogIndex(1), vec![7; payload_bytes])];
    let body = MessageBody::AppendEntries { prev: EntryId::ZERO, entries, commit: LogIndex(0), round: 1 };
    Message { from: NodeId(from), to: NodeId(to), term: Term(1), body }
}

/// Sends until the peer takes it.
pub async fn send_soon(transport: &GrpcTransport, to: u64, message: Message) {
    let sent = async {
        while transport.send(NodeId(to), message.clone()).await.is_err() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, sent).await.expect("the peer can be reached");
}

/// The hello of an honest node 1 that dials node 2.
pub fn honest_hello() -> proto::Hello {
    proto::Hello { version: 1, cluster: CLUSTER.0, node: 1, store: 0x501, group: 0, to: 2 }
}

pub fn frame(message: &Message) -> Frame {
    let message = proto::Message::decode(wire::encode(message).as_slice()).unwrap();
    Frame { hello: None, messages: vec![message] }
}

/// A stream whose frames the test writes itself.
pub struct ByHand {
    pub frames: mpsc::Sender<Frame>,
    pub answers: Streaming<Answer>,
}

impl ByHand {
    /// Opens a stream with this first frame; `Err` is the server's refusal.
    pub async fn open(address: SocketAddr, first: Frame) -> Result<ByHand, Status> {
        let mut client = RaftClient::connect(format!("http://{address}")).await.unwrap();
        let (frames, mut queued) = mpsc::channel(QUEUED);
        frames.try_send(first).unwrap();
        let outgoing = futures_util::stream::poll_fn(move |cx| queued.poll_recv(cx));
        let mut answers = timeout(PATIENCE, client.deliver(outgoing)).await.unwrap()?.into_inner();
        assert!(answers.message().await?.unwrap().hello.is_some(), "the first answer is a hello");
        Ok(ByHand { frames, answers })
    }

    pub async fn greet(address: SocketAddr) -> ByHand {
        ByHand::open(address, Frame { hello: Some(honest_hello()), messages: vec![] }).await.unwrap()
    }

    /// The status with which the server ends the stream.
    pub async fn end(&mut self) -> Status {
        match timeout(PATIENCE, self.answers.message()).await.expect("the stream ends") {
            Ok(end) => panic!("the stream ended without a refusal: {end:?}"),
            Err(status) => status,
        }
    }

    pub async fn ends_with(&mut self, code: Code, text: &str) {
        let status = self.end().await;
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(text), "{status}");
    }
}
