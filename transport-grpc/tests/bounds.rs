//! Nothing that is sent or received is without a bound.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::time::Duration;

use common::*;
use eraft_core::{NodeId, Transport};
use eraft_transport_grpc::{GrpcOptions, proto::Frame};
use tonic::Code;

fn small_frames() -> GrpcOptions {
    GrpcOptions { max_frame_bytes: 10_000, ..options() }
}

#[tokio::test]
async fn a_message_beyond_the_cap_is_refused_and_the_stream_lives_on() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, small_frames());
    let transport = dial(identity(1), 2, server.local_addr(), small_frames());
    connected(&transport, 2).await;
    let refused = transport.send(NodeId(2), append(1, 2, 10_000)).await.unwrap_err();
    assert!(refused.reason.contains("max_frame_bytes"), "{refused}");
    transport.send(NodeId(2), append(1, 2, 9_900)).await.unwrap();
    assert_eq!(inbox.next().await, append(1, 2, 9_900));
    let stats = &transport.stats()[&NodeId(2)];
    assert_eq!((stats.dropped_oversize, stats.connects, stats.sent), (1, 1, 1));
}

#[tokio::test]
async fn messages_that_do_not_fit_into_one_frame_travel_in_several() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, small_frames());
    let transport = dial(identity(1), 2, server.local_addr(), small_frames());
    connected(&transport, 2).await;
    for size in [9_000, 1_000, 9_900, 1, 4_000, 4_000, 4_000] {
        transport.send(NodeId(2), append(1, 2, size)).await.unwrap();
    }
    for size in [9_000, 1_000, 9_900, 1, 4_000, 4_000, 4_000] {
        assert_eq!(inbox.next().await, append(1, 2, size));
    }
    assert_eq!(transport.stats()[&NodeId(2)].connects, 1);
}

#[tokio::test]
async fn the_server_closes_a_stream_whose_frame_exceeds_the_cap() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, small_frames());
    let mut liar = ByHand::greet(server.local_addr()).await;
    liar.frames.try_send(frame(&append(1, 2, 10_000))).unwrap();
    tokio::select! {
        _message = inbox.next() => panic!("the frame was taken"),
        () = liar.ends_with(Code::InvalidArgument, "limit") => {}
    }
    assert_eq!(server.stats().malformed, 1);
    assert!(inbox.nothing_came().await);
}

#[tokio::test]
async fn the_server_closes_a_stream_whose_frame_has_more_messages_than_a_sender_packs() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, options());
    let mut liar = ByHand::greet(server.local_addr()).await;
    let messages = vec![eraft_transport_grpc::proto::Message::default(); 4097];
    liar.frames.try_send(Frame { hello: None, messages }).unwrap();
    liar.ends_with(Code::InvalidArgument, "more than 4096 messages").await;
    assert_eq!(server.stats().malformed, 1);
    assert!(inbox.nothing_came().await);
}

/// Sends to a peer whose node takes nothing until the queue is full; returns how many messages were accepted.
async fn fill(options: GrpcOptions, payload_bytes: usize) -> usize {
    let inbox = Arrivals::allowing(0);
    let server = serve(2, &inbox, options.clone());
    let transport = dial(identity(1), 2, server.local_addr(), options);
    connected(&transport, 2).await;
    let mut accepted = 0;
    let full = loop {
        match transport.send(NodeId(2), append(1, 2, payload_bytes)).await {
            Ok(()) => accepted += 1,
            Err(full) => break full,
        }
    };
    assert!(full.reason.contains("no room"), "{full}");
    assert!(transport.stats()[&NodeId(2)].connected, "a full queue does not end the stream");
    assert_eq!(transport.stats()[&NodeId(2)].dropped_queue_full, 1);

    // What was accepted arrives once the node takes messages again.
    inbox.allowed.add_permits(1 << 30);
    for _ in 0..accepted {
        assert_eq!(inbox.next().await, append(1, 2, payload_bytes));
    }
    accepted
}

#[tokio::test]
async fn the_queue_is_bounded_in_bytes() {
    let options = GrpcOptions {
        queue_bytes: 100_000,
        window_bytes: 65_535,
        send_timeout: Duration::from_millis(200),
        ..options()
    };
    let accepted = fill(options, 50_000).await;
    // One or two in the queue; the rest is under way, within the windows and buffers of HTTP/2.
    assert!(accepted < 200, "{accepted} messages of 50,000 bytes were accepted");
}

#[tokio::test]
async fn the_queue_is_bounded_in_messages() {
    let options = GrpcOptions {
        queue_messages: 4,
        batch_bytes: 1,
        window_bytes: 65_535,
        send_timeout: Duration::from_millis(200),
        ..options()
    };
    let accepted = fill(options, 20_000).await;
    assert!(accepted < 400, "{accepted} messages were accepted");
}

#[tokio::test]
async fn a_queue_that_is_full_when_the_stream_is_lost_is_dropped_and_its_waiters_are_told() {
    let options = GrpcOptions {
        queue_messages: 4,
        batch_bytes: 1,
        window_bytes: 65_535,
        send_timeout: Duration::from_secs(3600),
        ..options()
    };
    let inbox = Arrivals::allowing(0);
    let server = serve(2, &inbox, options.clone());
    let transport = dial(identity(1), 2, server.local_addr(), options);
    connected(&transport, 2).await;
    let sending = async {
        loop {
            if let Err(lost) = transport.send(NodeId(2), append(1, 2, 20_000)).await {
                break lost;
            }
        }
    };
    let losing = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(server);
    };
    let (lost, ()) = tokio::join!(sending, losing);
    assert!(lost.reason.contains("lost"), "{lost}");
    until("the queue is dropped", || transport.stats()[&NodeId(2)].dropped_stream_lost > 0).await;
}

#[tokio::test]
async fn a_connection_that_never_greets_is_closed() {
    use tokio::io::AsyncReadExt;

    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, GrpcOptions { handshake_timeout: Duration::from_millis(50), ..options() });
    let mut silent = tokio::net::TcpStream::connect(server.local_addr()).await.unwrap();
    let mut said = Vec::new();
    // Whatever the server says first, it then closes.
    let _closed = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut said)).await.unwrap();
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, GrpcOptions { max_connections: 1, ..options() });
    let first = ByHand::greet(server.local_addr()).await;
    let transport = dial(identity(3), 2, server.local_addr(), options());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!transport.stats()[&NodeId(2)].connected);
    drop(first);
    connected(&transport, 2).await;
}

#[tokio::test]
async fn a_newer_stream_of_the_same_node_ends_the_older_one() {
    let inbox = Arrivals::unlimited();
    let server = serve(2, &inbox, options());
    let mut older = ByHand::greet(server.local_addr()).await;
    let newer = ByHand::greet(server.local_addr()).await;
    older.ends_with(Code::Aborted, "newer stream").await;
    newer.frames.try_send(frame(&numbered(1, 2, 1))).unwrap();
    assert_eq!(inbox.next().await, numbered(1, 2, 1));
    assert_eq!(server.stats().replaced, 1);
    newer.frames.try_send(Frame::default()).unwrap();
}
