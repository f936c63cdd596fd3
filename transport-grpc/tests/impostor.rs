//! A server that is not who was dialled gets no message, whatever it says.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{net::SocketAddr, sync::Arc};

use common::*;
use eraft_core::{NodeId, Term, Transport};
use eraft_transport_grpc::proto::{
    Answer, Frame, Hello, SnapshotAnswer, SnapshotFrame,
    raft_server::{Raft, RaftServer},
};
use futures_util::{StreamExt, stream, stream::BoxStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

/// Greets everybody with the same answer, then stays silent.
#[derive(Clone)]
struct Impostor(Arc<Answer>);

#[tonic::async_trait]
impl Raft for Impostor {
    type DeliverStream = BoxStream<'static, Result<Answer, Status>>;

    async fn deliver(&self, request: Request<Streaming<Frame>>) -> Result<Response<Self::DeliverStream>, Status> {
        let first = stream::iter([Ok(Answer::clone(&self.0))]);
        // Reading keeps the stream open for as long as the caller likes.
        let rest = request.into_inner().filter_map(|frame| async { frame.err().map(Err) });
        Ok(Response::new(first.chain(rest).boxed()))
    }

    type SendSnapshotStream = BoxStream<'static, Result<SnapshotAnswer, Status>>;

    async fn send_snapshot(
        &self,
        request: Request<Streaming<SnapshotFrame>>,
    ) -> Result<Response<Self::SendSnapshotStream>, Status> {
        let first = stream::iter([Ok(SnapshotAnswer { hello: self.0.hello, staged: false })]);
        // Whoever sends more than the opening is told so.
        let rest = request.into_inner().skip(1).map(|frame| Err(Status::internal(format!("it sent {frame:?}"))));
        Ok(Response::new(first.chain(rest).boxed()))
    }
}

async fn pose(answer: Answer) -> SocketAddr {
    let incoming = tonic::transport::server::TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let service = RaftServer::new(Impostor(Arc::new(answer)));
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    address
}

/// What node 2 would answer node 1.
fn genuine() -> Hello {
    Hello { version: 1, cluster: CLUSTER.0, node: 2, store: 0x502, group: 0, to: 1 }
}

async fn client_refuses(hello: Option<Hello>, text: &str) {
    let transport = dial(identity(1), 2, pose(Answer { hello }).await, options());
    until("the handshake is over", || {
        let stats = &transport.stats()[&NodeId(2)];
        stats.refused + stats.connects > 0
    })
    .await;
    assert_eq!(transport.stats()[&NodeId(2)].connects, 0, "no stream was ever open");
    let reason = transport.send(NodeId(2), numbered(1, 2, 1)).await.unwrap_err().reason;
    assert!(reason.contains("we refused it") && reason.contains(text), "{reason}");
}

#[tokio::test]
async fn the_genuine_answer_is_accepted() {
    let transport = dial(identity(1), 2, pose(Answer { hello: Some(genuine()) }).await, options());
    connected(&transport, 2).await;
    transport.send(NodeId(2), numbered(1, 2, 1)).await.unwrap();
}

#[tokio::test]
async fn the_client_refuses_another_cluster() {
    client_refuses(Some(Hello { cluster: 0xC2, ..genuine() }), "cluster 00000000000000c2").await;
}

#[tokio::test]
async fn the_client_refuses_a_node_that_it_did_not_dial() {
    client_refuses(Some(Hello { node: 3, ..genuine() }), "it is node 3, expected node 2").await;
}

#[tokio::test]
async fn the_client_refuses_one_that_takes_it_for_another() {
    client_refuses(Some(Hello { to: 3, ..genuine() }), "takes node 1 for node 3").await;
}

#[tokio::test]
async fn the_client_refuses_another_group_another_version_and_silence() {
    client_refuses(Some(Hello { group: 4, ..genuine() }), "group 4").await;
    client_refuses(Some(Hello { version: 9, ..genuine() }), "version 9").await;
    client_refuses(None, "hello").await;
}

#[tokio::test]
async fn no_byte_of_a_snapshot_leaves_for_one_that_is_not_who_was_dialled() {
    for (hello, text) in [
        (Some(Hello { cluster: 0xC2, ..genuine() }), "cluster 00000000000000c2"),
        (Some(Hello { node: 3, ..genuine() }), "it is node 3, expected node 2"),
        (Some(Hello { to: 3, ..genuine() }), "takes node 1 for node 3"),
        (None, "hello"),
    ] {
        let transport = dial(identity(1), 2, pose(Answer { hello }).await, options());
        let sent = transport.send_snapshot(NodeId(2), Term(7), snapshots::of(bytes::Bytes::from_static(b"abc"))).await;
        let refused = sent.unwrap_err().to_string();
        assert!(refused.contains("we refused the peer") && refused.contains(text), "{refused}");
        let stats = &transport.stats()[&NodeId(2)];
        assert_eq!((stats.snapshots_failed, stats.snapshot_bytes_sent), (1, 0));
    }
}
