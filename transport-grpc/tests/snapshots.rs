//! A snapshot arrives whole or not at all, and never in the way of messages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::{
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use common::{
    snapshots::{Hasty, Stage, Unwilling, gigabyte, meta, of, reader, unreadable},
    *,
};
use eraft_core::{ClusterId, Identity, NodeId, SnapshotNotSent, Term, Transport};
use eraft_transport_grpc::{GrpcOptions, GrpcTransport};
use futures_util::{StreamExt, stream};
use tokio::time::timeout;

fn random_bytes(len: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(7);
    (0..len).map(|_| random.u8(..)).collect()
}

/// Sends `snapshot` to node 2.
async fn send(transport: &GrpcTransport, snapshot: eraft_core::SnapshotReader) -> Result<(), SnapshotNotSent> {
    timeout(PATIENCE, transport.send_snapshot(NodeId(2), Term(7), snapshot)).await.expect("it ends")
}

#[tokio::test]
async fn a_snapshot_of_many_chunks_arrives_as_it_was() {
    let options = GrpcOptions { max_snapshot_chunk_bytes: 100_000, ..options() };
    let stage = Stage::unlimited();
    let server = serve(2, &stage, options.clone());
    let transport = dial(identity(1), 2, server.local_addr(), options);
    let content = random_bytes(3_000_000);
    // Pieces below, at and far beyond the longest chunk, and one of nothing.
    let mut rest = content.clone();
    let pieces = [1, 100_000, 0, 99_999, 1_500_000, 100_001, 1_199_999].map(|len| Ok(rest.split_to(len))).to_vec();
    assert!(rest.is_empty());
    send(&transport, reader(3_000_000, pieces)).await.unwrap();

    let taken = stage.next().await;
    assert!(taken.end.is_ok() && taken.bytes == content);
    assert_eq!((taken.from, taken.term, taken.meta, taken.size_bytes), (NodeId(1), Term(7), meta(), 3_000_000));
    assert_eq!(taken.longest_chunk_bytes, 100_000);
    let stats = &transport.stats()[&NodeId(2)];
    assert_eq!((stats.snapshots_sent, stats.snapshots_failed, stats.snapshot_bytes_sent), (1, 0, 3_000_000));
    let stats = server.stats();
    assert_eq!((stats.snapshots_received, stats.snapshot_bytes_received), (1, 3_000_000));
    assert_eq!((stats.snapshots_refused, stats.snapshots_broken), (0, 0));
}

#[tokio::test]
async fn an_empty_snapshot_arrives() {
    let stage = Stage::unlimited();
    let server = serve(2, &stage, options());
    let transport = dial(identity(1), 2, server.local_addr(), options());
    send(&transport, of(Bytes::new())).await.unwrap();
    let taken = stage.next().await;
    assert!(taken.end.is_ok() && taken.bytes.is_empty());
}

#[tokio::test]
async fn what_the_receivers_node_says_reaches_the_sender() {
    let server = serve(2, &Arc::new(Unwilling), options());
    let transport = dial(identity(1), 2, server.local_addr(), options());
    match send(&transport, of(random_bytes(1 << 20))).await {
        Err(SnapshotNotSent::Refused { peer: NodeId(2), reason }) => assert!(reason.contains("its term is over")),
        other => panic!("{other:?}"),
    }
    assert_eq!(server.stats().snapshots_refused, 1);
    assert_eq!(transport.stats()[&NodeId(2)].snapshots_failed, 1);
}

#[tokio::test]
async fn a_node_that_stops_reading_before_the_end_has_staged_nothing() {
    let server = serve(2, &Arc::new(Hasty), options());
    let transport = dial(identity(1), 2, server.local_addr(), options());
    for len in [1, 1 << 20] {
        let refused = send(&transport, of(random_bytes(len))).await.unwrap_err();
        assert!(matches!(&refused, SnapshotNotSent::Refused { .. }), "{refused}");
    }
    assert_eq!((server.stats().snapshots_received, server.stats().snapshots_refused), (0, 2));
}

#[tokio::test]
async fn a_snapshot_whose_reader_fails_half_way_is_not_taken_for_whole() {
    let stage = Stage::unlimited();
    let server = serve(2, &stage, options());
    let transport = dial(identity(1), 2, server.local_addr(), options());
    let half = random_bytes(500_000);
    for (size_bytes, chunks, text) in [
        (1_000_000, vec![Ok(half.clone()), Err(unreadable())], "the checksum is wrong"),
        (500_000, vec![Ok(half.clone()), Err(unreadable())], "the checksum is wrong"),
        // It ends too early, or too late.
        (1_000_000, vec![Ok(half.clone())], "500000 of 1000000"),
        (500_000, vec![Ok(half.clone()), Ok(Bytes::from_static(b"x"))], "500001"),
    ] {
        match send(&transport, reader(size_bytes, chunks)).await {
            Err(SnapshotNotSent::ReaderFailed { peer: NodeId(2), source }) => {
                assert!(source.to_string().contains(text), "{source}: expected {text}");
            }
            other => panic!("{other:?}"),
        }
        stage.broken().await;
    }
    until("the server has counted", || server.stats().snapshots_broken == 4).await;
    assert_eq!((server.stats().snapshots_received, transport.stats()[&NodeId(2)].snapshots_failed), (0, 4));
}

#[tokio::test]
async fn both_ends_learn_that_the_connection_was_cut_half_way() {
    let stage = Stage::allowing(3);
    let server = serve(2, &stage, options());
    let transport = dial(identity(1), 2, server.local_addr(), options());
    let cutting = async {
        until("the snapshot is under way", || stage.allowed.available_permits() == 0).await;
        drop(server);
        stage.allowed.add_permits(1 << 30);
    };
    let (sent, ()) = tokio::join!(send(&transport, gigabyte(&Arc::default())), cutting);
    assert!(matches!(&sent, Err(SnapshotNotSent::Unreachable(_))), "{sent:?}");
    stage.broken().await;
}

#[tokio::test]
async fn a_snapshot_that_the_sender_gives_up_half_way_is_aborted_at_the_receiver() {
    let stage = Stage::allowing(3);
    let server = serve(2, &stage, options());
    let transport = dial(identity(1), 2, server.local_addr(), options());
    {
        let sending = transport.send_snapshot(NodeId(2), Term(7), gigabyte(&Arc::default()));
        let under_way = until("the snapshot is under way", || stage.allowed.available_permits() == 0);
        tokio::select! {
            sent = sending => panic!("{sent:?}"),
            () = under_way => {}
        }
    }
    stage.allowed.add_permits(1 << 30);
    stage.broken().await;
    // Its place is free again.
    send(&transport, of(random_bytes(10))).await.unwrap();
}

#[tokio::test]
async fn a_transport_that_is_shut_down_gives_its_snapshots_up() {
    let stage = Stage::allowing(0);
    let server = serve(2, &stage, options());
    let transport = dial(identity(1), 2, server.local_addr(), options());
    let closing = async {
        until("the snapshot is under way", || stage.begun.load(Ordering::Relaxed) == 1).await;
        transport.shutdown().await;
    };
    let (sent, ()) = tokio::join!(send(&transport, gigabyte(&Arc::default())), closing);
    assert!(sent.unwrap_err().to_string().contains("shut down"));
    stage.allowed.add_permits(1 << 30);
    stage.broken().await;
}

/// Sends a second snapshot while a first one is under way.
async fn refused_as_busy(transport: &GrpcTransport, stage: &Stage) {
    tokio::select! {
        busy = send(transport, of(random_bytes(10))) => {
            assert!(matches!(&busy, Err(SnapshotNotSent::Busy { .. })), "{busy:?}");
        }
        () = until("the second is under way", || stage.begun.load(Ordering::Relaxed) == 2) => {
            panic!("two snapshots are under way at once");
        }
    }
}

#[tokio::test]
async fn no_more_snapshots_leave_at_once_than_allowed() {
    let options = GrpcOptions { max_snapshots_out: 1, ..options() };
    let stage = Stage::allowing(0);
    let server = serve(2, &stage, options.clone());
    let transport = dial(identity(1), 2, server.local_addr(), options);
    let second = async {
        until("the first is under way", || stage.begun.load(Ordering::Relaxed) == 1).await;
        refused_as_busy(&transport, &stage).await;
        stage.allowed.add_permits(1 << 30);
    };
    let (first, ()) = tokio::join!(send(&transport, of(random_bytes(10))), second);
    first.unwrap();
    send(&transport, of(random_bytes(10))).await.unwrap();
}

#[tokio::test]
async fn no_more_snapshots_come_in_at_once_than_allowed() {
    let options = GrpcOptions { max_snapshots_in: 1, ..options() };
    let stage = Stage::allowing(0);
    let server = serve(2, &stage, options.clone());
    let first = dial(identity(1), 2, server.local_addr(), options.clone());
    let other = dial(identity(3), 2, server.local_addr(), options);
    let second = async {
        until("the first is under way", || stage.begun.load(Ordering::Relaxed) == 1).await;
        refused_as_busy(&other, &stage).await;
        stage.allowed.add_permits(1 << 30);
    };
    let (sent, ()) = tokio::join!(send(&first, of(random_bytes(10))), second);
    sent.unwrap();
    send(&other, of(random_bytes(10))).await.unwrap();
    assert_eq!((server.stats().snapshots_received, server.stats().snapshots_refused), (2, 1));
}

#[tokio::test]
async fn messages_flow_while_a_throttled_snapshot_is_under_way() {
    let options = GrpcOptions { snapshot_bytes_per_second: Some(1 << 20), ..options() };
    let stage = Stage::unlimited();
    let server = serve(2, &stage, options.clone());
    let transport = dial(identity(1), 2, server.local_addr(), options);
    connected(&transport, 2).await;
    let messages = async {
        until("the snapshot is under way", || server.stats().snapshot_bytes_received > 0).await;
        for number in 0..1000 {
            transport.send(NodeId(2), numbered(1, 2, number)).await.unwrap();
            assert_eq!(stage.messages.next().await, numbered(1, 2, number));
        }
    };
    tokio::select! {
        sent = send(&transport, gigabyte(&Arc::default())) => panic!("a throttled gigabyte arrived: {sent:?}"),
        () = messages => {}
    }
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_holds_the_reader_up_and_is_given_up() {
    let options =
        GrpcOptions { window_bytes: 256 << 10, snapshot_stall_timeout: Duration::from_millis(300), ..options() };
    let (stage, pulled_bytes) = (Stage::allowing(0), Arc::new(AtomicU64::new(0)));
    let server = serve(2, &stage, options.clone());
    let transport = dial(identity(1), 2, server.local_addr(), options);
    match send(&transport, gigabyte(&pulled_bytes)).await {
        Err(SnapshotNotSent::Unreachable(error)) => assert!(error.reason.contains("snapshot_stall_timeout")),
        other => panic!("{other:?}"),
    }
    let pulled_bytes = pulled_bytes.load(Ordering::Relaxed);
    // The window of 256 KiB, and a few chunks of 64 KiB in buffers on the way.
    assert!(pulled_bytes < 2 << 20, "{pulled_bytes} bytes were pulled");
}

#[tokio::test]
async fn a_reader_that_gives_nothing_is_given_up() {
    let quick = GrpcOptions { snapshot_stall_timeout: Duration::from_millis(100), ..options() };
    let stage = Stage::unlimited();
    let server = serve(2, &stage, options());
    let transport = dial(identity(1), 2, server.local_addr(), quick);
    let silent = stream::once(async { Ok(Bytes::from_static(b"abc")) }).chain(stream::pending());
    let snapshot = eraft_core::SnapshotReader { meta: meta(), size_bytes: 10, chunks: silent.boxed() };
    let failed = send(&transport, snapshot).await;
    assert!(matches!(&failed, Err(SnapshotNotSent::ReaderFailed { .. })), "{failed:?}");
    stage.broken().await;
}

#[tokio::test]
async fn a_snapshot_of_another_cluster_is_refused() {
    let stage = Stage::unlimited();
    let server = serve(2, &stage, options());
    let stranger = Identity { cluster: ClusterId(0xC2), ..identity(1) };
    let transport = dial(stranger, 2, server.local_addr(), options());
    match send(&transport, of(random_bytes(10))).await {
        Err(SnapshotNotSent::Refused { reason, .. }) => assert!(reason.contains("cluster"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(stage.begun.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_node_that_is_away_or_unknown_is_unreachable() {
    let stage = Stage::unlimited();
    let server = serve(2, &stage, options());
    let address = server.local_addr();
    server.shutdown().await;
    let transport = dial(identity(1), 2, address, options());
    let away = send(&transport, of(random_bytes(10))).await;
    assert!(matches!(&away, Err(SnapshotNotSent::Unreachable(_))), "{away:?}");
    let unknown = transport.send_snapshot(NodeId(3), Term(7), of(random_bytes(10))).await;
    assert!(matches!(&unknown, Err(SnapshotNotSent::Unreachable(_))), "{unknown:?}");
}
