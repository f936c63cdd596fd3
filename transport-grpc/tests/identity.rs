//! No message passes between nodes that do not agree on who they are.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeSet;

use common::*;
use eraft_core::{ClusterId, GroupId, Identity, NodeId, Transport};
use eraft_transport_grpc::{
    GrpcOptions, GrpcTransport,
    proto::{Frame, Hello},
};
use tonic::Code;

/// Waits until `transport` was refused, and returns what a sender is told.
async fn refusal(transport: &GrpcTransport) -> String {
    until("the handshake is over", || {
        let stats = &transport.stats()[&NodeId(2)];
        stats.refused + stats.connects > 0
    })
    .await;
    assert_eq!(transport.stats()[&NodeId(2)].connects, 0, "no stream was ever open");
    transport.send(NodeId(2), numbered(1, 2, 1)).await.unwrap_err().reason
}

/// Opens a stream with `hello`, and checks that the server refuses it.
async fn server_refuses(hello: Hello, code: Code, text: &str) {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, options());
    let Err(status) = ByHand::open(server.local_addr(), Frame { hello: Some(hello), messages: vec![] }).await else {
        panic!("the server accepted {hello:?}");
    };
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(text), "{status}");
    assert_eq!((server.stats().accepted, server.stats().refused), (0, 1));
}

#[tokio::test]
async fn the_server_refuses_another_cluster() {
    let hello = Hello { cluster: 0xC2, ..honest_hello() };
    server_refuses(hello, Code::FailedPrecondition, "cluster 00000000000000c2, expected 00000000000000c1").await;
}

#[tokio::test]
async fn the_server_refuses_a_caller_that_takes_it_for_another_node() {
    server_refuses(Hello { to: 3, ..honest_hello() }, Code::FailedPrecondition, "takes node 2 for node 3").await;
}

#[tokio::test]
async fn the_server_refuses_a_node_that_is_not_a_known_peer() {
    server_refuses(Hello { node: 9, ..honest_hello() }, Code::PermissionDenied, "node 9").await;
}

#[tokio::test]
async fn the_server_refuses_a_second_copy_of_itself() {
    server_refuses(Hello { node: 2, ..honest_hello() }, Code::PermissionDenied, "node 2").await;
}

#[tokio::test]
async fn the_server_refuses_another_group_and_another_version() {
    server_refuses(Hello { group: 1, ..honest_hello() }, Code::FailedPrecondition, "group 1, expected 0").await;
    server_refuses(Hello { version: 2, ..honest_hello() }, Code::FailedPrecondition, "version 2").await;
    server_refuses(Hello { version: 0, ..honest_hello() }, Code::FailedPrecondition, "version 0").await;
}

#[tokio::test]
async fn the_server_refuses_a_stream_that_begins_with_a_message() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, options());
    for first in [
        frame(&numbered(1, 2, 1)),
        Frame { hello: Some(honest_hello()), ..frame(&numbered(1, 2, 1)) },
        Frame::default(),
    ] {
        let refused = ByHand::open(server.local_addr(), first).await.err().unwrap();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    assert!(inbox.nothing_came().await);
}

#[tokio::test]
async fn a_transport_that_is_refused_says_why_to_its_senders() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, options());
    let stranger = Identity { cluster: ClusterId(0xC2), ..identity(1) };
    let transport = dial(stranger, 2, server.local_addr(), options());
    let reason = refusal(&transport).await;
    assert!(reason.contains("refused us") && reason.contains("cluster"), "{reason}");
    assert!(inbox.nothing_came().await);
}

#[tokio::test]
async fn a_transport_that_dialled_the_wrong_node_is_refused() {
    let inbox = Arrivals::unlimited();
    // Node 3 listens where node 2 is expected.
    let server = serve(3, &inbox, options());
    let transport = dial(identity(1), 2, server.local_addr(), options());
    let reason = refusal(&transport).await;
    assert!(reason.contains("takes node 3 for node 2"), "{reason}");
}

#[tokio::test]
async fn a_node_that_is_no_longer_accepted_is_refused() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, GrpcOptions { accept: BTreeSet::from([NodeId(3)]), ..options() });
    let transport = dial(identity(1), 2, server.local_addr(), options());
    let reason = refusal(&transport).await;
    assert!(reason.contains("not among the nodes accepted"), "{reason}");
}

#[tokio::test]
async fn both_ends_must_speak_for_the_same_group() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, GrpcOptions { group: GroupId(7), ..options() });
    let transport = dial(identity(1), 2, server.local_addr(), options());
    let reason = refusal(&transport).await;
    assert!(reason.contains("group 0, expected 7"), "{reason}");
}

#[tokio::test]
async fn a_message_whose_from_is_not_the_greeted_node_closes_the_stream() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, options());
    let mut liar = ByHand::greet(server.local_addr()).await;
    liar.frames.try_send(frame(&numbered(3, 2, 1))).unwrap();
    tokio::select! {
        message = inbox.next() => panic!("{message:?} was believed"),
        () = liar.ends_with(Code::PermissionDenied, "from node 3") => {}
    }
    assert!(inbox.nothing_came().await);
    assert_eq!(server.stats().misdirected, 1);
}

#[tokio::test]
async fn a_message_that_is_for_another_node_closes_the_stream() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, options());
    let mut liar = ByHand::greet(server.local_addr()).await;
    liar.frames.try_send(frame(&numbered(1, 3, 1))).unwrap();
    tokio::select! {
        message = inbox.next() => panic!("{message:?} was believed"),
        () = liar.ends_with(Code::PermissionDenied, "to node 3") => {}
    }
    assert!(inbox.nothing_came().await);
}
