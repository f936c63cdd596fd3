//! Messages arrive, in order, once the peer is there; and a peer that is not there is soon an error.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::time::Duration;

use common::*;
use eraft_core::{NodeId, StoreId, Transport};
use eraft_transport_grpc::{GrpcOptions, GrpcServer};

#[tokio::test]
async fn ten_thousand_messages_arrive_in_the_order_in_which_they_were_sent() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, options());
    let transport = dial(identity(1), 2, server.local_addr(), options());
    connected(&transport, 2).await;
    let sending = async {
        for number in 0..10_000 {
            transport.send(NodeId(2), numbered(1, 2, number)).await.unwrap();
        }
    };
    let receiving = async {
        for number in 0..10_000 {
            assert_eq!(inbox.next().await, numbered(1, 2, number));
        }
    };
    tokio::join!(sending, receiving);
    assert_eq!(transport.stats()[&NodeId(2)].sent, 10_000);
    assert_eq!(server.stats().received, 10_000);
}

#[tokio::test]
async fn both_directions_carry_messages_each_on_its_own_stream() {
    let (inbox_1, inbox_2) = (Arrivals::unlimited(), Arrivals::unlimited());
    let (server_1, server_2) = (serve(1, &inbox_1, options()), serve(2, &inbox_2, options()));
    let to_2 = dial(identity(1), 2, server_2.local_addr(), options());
    let to_1 = dial(identity(2), 1, server_1.local_addr(), options());
    send_soon(&to_2, 2, append(1, 2, 1000)).await;
    assert_eq!(inbox_2.next().await, append(1, 2, 1000));
    send_soon(&to_1, 1, numbered(2, 1, 5)).await;
    assert_eq!(inbox_1.next().await, numbered(2, 1, 5));
}

#[tokio::test]
async fn the_stores_of_both_ends_are_known_after_the_handshake() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, options());
    let transport = dial(identity(1), 2, server.local_addr(), options());
    connected(&transport, 2).await;
    assert_eq!(transport.stats()[&NodeId(2)].store, Some(StoreId(0x502)));
    assert_eq!(server.stats().stores.get(&NodeId(1)), Some(&StoreId(0x501)));
}

#[tokio::test]
async fn a_restarted_server_is_found_again_on_the_same_port() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, options());
    let address = server.local_addr();
    let transport = dial(identity(1), 2, address, options());
    send_soon(&transport, 2, numbered(1, 2, 1)).await;
    assert_eq!(inbox.next().await, numbered(1, 2, 1));

    server.shutdown().await;
    until("the loss is noticed", || !transport.stats()[&NodeId(2)].connected).await;
    assert!(transport.send(NodeId(2), numbered(1, 2, 2)).await.is_err());

    let again = Arrivals::unlimited();
    let mut restarted = None;
    until("the port is free", || {
        restarted = GrpcServer::bind(identity(2), address, again.clone(), options()).ok();
        restarted.is_some()
    })
    .await;
    send_soon(&transport, 2, numbered(1, 2, 3)).await;
    assert_eq!(again.next().await, numbered(1, 2, 3));
    assert_eq!(transport.stats()[&NodeId(2)].connects, 2);
    drop(restarted);
}

#[tokio::test]
async fn an_absent_peer_is_unreachable_at_once_and_so_is_an_unknown_one() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // Waiting for room would take forever; a peer without a stream has no queue to wait for.
    let patient = GrpcOptions { send_timeout: Duration::from_secs(3600), ..options() };
    let transport = dial(identity(1), 2, address, patient);
    until("dialling has failed", || transport.stats()[&NodeId(2)].failed_connects > 1).await;
    let absent = transport.send(NodeId(2), numbered(1, 2, 1)).await.unwrap_err();
    assert_eq!(absent.peer, NodeId(2));
    assert!(absent.reason.contains("cannot be reached"), "{absent}");
    let unknown = transport.send(NodeId(9), numbered(1, 9, 1)).await.unwrap_err();
    assert!(unknown.reason.contains("not known"), "{unknown}");
    assert_eq!(transport.stats()[&NodeId(2)].dropped_disconnected, 1);
}

#[tokio::test]
async fn a_message_that_bears_another_sender_does_not_leave() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, options());
    let transport = dial(identity(1), 2, server.local_addr(), options());
    connected(&transport, 2).await;
    assert!(transport.send(NodeId(2), numbered(3, 2, 1)).await.is_err());
    assert!(transport.send(NodeId(2), numbered(1, 3, 1)).await.is_err());
    transport.send(NodeId(2), numbered(1, 2, 1)).await.unwrap();
    assert_eq!(inbox.next().await, numbered(1, 2, 1));
}

#[tokio::test]
async fn a_shutdown_sends_what_is_queued_and_then_refuses() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, options());
    let patient = GrpcOptions { shutdown_timeout: PATIENCE, ..options() };
    let transport = dial(identity(1), 2, server.local_addr(), patient);
    connected(&transport, 2).await;
    for number in 0..100 {
        transport.send(NodeId(2), numbered(1, 2, number)).await.unwrap();
    }
    transport.shutdown().await;
    for number in 0..100 {
        assert_eq!(inbox.next().await, numbered(1, 2, number));
    }
    let refused = transport.send(NodeId(2), numbered(1, 2, 1)).await.unwrap_err();
    assert!(refused.reason.contains("shut down"), "{refused}");
}

#[tokio::test]
async fn dropping_the_transport_closes_its_streams() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, options());
    let transport = dial(identity(1), 2, server.local_addr(), options());
    connected(&transport, 2).await;
    until("the stream is open", || server.stats().connected.contains(&NodeId(1))).await;
    drop(transport);
    until("the stream is closed", || server.stats().connected.is_empty()).await;
}

#[tokio::test]
async fn dropping_the_server_closes_its_streams_and_frees_its_port() {
    let inbox = Arrivals::allowing(0);
    let server = serve(2, &inbox, options());
    let address = server.local_addr();
    let transport = dial(identity(1), 2, address, options());
    send_soon(&transport, 2, numbered(1, 2, 1)).await;
    drop(server);
    until("the loss is noticed", || !transport.stats()[&NodeId(2)].connected).await;
    until("the port is free", || GrpcServer::bind(identity(2), address, inbox.clone(), options()).is_ok()).await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error_that_names_it() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, options());
    let error = GrpcServer::bind(identity(3), server.local_addr(), inbox.clone(), options()).unwrap_err();
    assert!(error.to_string().contains(&server.local_addr().to_string()), "{error}");
}

/// Passes bytes between a caller and `to` until it is told to stop; then it holds the connection open and does nothing.
async fn relay(to: std::net::SocketAddr, stall: tokio_util::sync::CancellationToken) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut caller, _from) = listener.accept().await.unwrap();
        let mut callee = tokio::net::TcpStream::connect(to).await.unwrap();
        tokio::select! {
            () = stall.cancelled() => std::future::pending::<()>().await,
            _ended = tokio::io::copy_bidirectional(&mut caller, &mut callee) => {}
        }
    });
    address
}

#[tokio::test]
async fn a_peer_that_dies_without_a_word_is_noticed() {
    let inbox = Arrivals::unlimited();
    let pinging = GrpcOptions {
        keepalive_interval: Duration::from_millis(20),
        keepalive_timeout: Duration::from_secs(1),
        ..options()
    };
    let server = serve(2, &inbox, pinging.clone());
    let stall = tokio_util::sync::CancellationToken::new();
    let transport = dial(identity(1), 2, relay(server.local_addr(), stall.clone()).await, pinging);
    connected(&transport, 2).await;
    stall.cancel();
    until("the loss is noticed", || !transport.stats()[&NodeId(2)].connected).await;
}
