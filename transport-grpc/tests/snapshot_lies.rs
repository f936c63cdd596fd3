//! No bytes from a peer pass for a snapshot unless they are all of one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use common::{
    snapshots::{SnapshotByHand, Stage, chunk, end, frame, meta, opening},
    *,
};
use eraft_core::{ConfState, EntryId, SnapshotMeta, codec};
use eraft_transport_grpc::{
    GrpcOptions,
    proto::{Hello, SnapshotChunk, SnapshotEnd, SnapshotFrame, SnapshotOpening, snapshot_frame::Part},
};
use tonic::Code;

/// Sends these parts of a snapshot of `size_bytes`, and checks that both the sender and the node are told `text`.
async fn refused(size_bytes: u64, parts: Vec<Part>, text: &str) {
    let stage = Stage::unlimited();
    let server = serve(2, &stage, GrpcOptions { max_snapshot_chunk_bytes: 8, ..options() });
    let answer = SnapshotByHand::all(server.local_addr(), size_bytes, parts).await;
    let status = answer.expect_err("the server took it for a snapshot");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains(text), "{status}: expected {text}");
    let broken = stage.broken().await;
    assert!(broken.contains(text), "{broken}: expected {text}");
    assert_eq!((server.stats().snapshots_received, server.stats().snapshots_broken), (0, 1));
}

#[tokio::test]
async fn what_is_written_by_hand_and_honest_is_taken() {
    let stage = Stage::unlimited();
    let server = serve(2, &stage, options());
    let parts = vec![Part::Chunk(chunk(0, b"hello ")), Part::Chunk(chunk(6, b"world")), Part::End(end(b"hello world"))];
    assert!(SnapshotByHand::all(server.local_addr(), 11, parts).await.unwrap());
    assert_eq!(stage.next().await.bytes, b"hello world");
}

#[tokio::test]
async fn a_snapshot_without_its_end_mark_is_not_taken() {
    refused(6, vec![], "before its end mark").await;
    refused(6, vec![Part::Chunk(chunk(0, b"abc"))], "before its end mark").await;
    // All the bytes are there; whether they are all of them, nobody has said.
    refused(6, vec![Part::Chunk(chunk(0, b"abc")), Part::Chunk(chunk(3, b"def"))], "before its end mark").await;
}

#[tokio::test]
async fn an_end_mark_that_comes_too_early_completes_nothing() {
    refused(6, vec![Part::Chunk(chunk(0, b"abc")), Part::End(end(b"abc"))], "3 of 6").await;
    refused(6, vec![Part::Chunk(chunk(0, b"abc")), Part::End(end(b"abcdef"))], "3 of 6").await;
    refused(6, vec![Part::End(end(b"abcdef"))], "0 of 6").await;
}

#[tokio::test]
async fn an_end_mark_of_another_length_or_checksum_completes_nothing() {
    let abc = || Part::Chunk(chunk(0, b"abc"));
    refused(3, vec![abc(), Part::End(SnapshotEnd { size_bytes: 4, ..end(b"abc") })], "it ends at 4").await;
    refused(3, vec![abc(), Part::End(end(b"abd"))], "the checksum of the whole").await;
}

#[tokio::test]
async fn a_damaged_chunk_is_refused() {
    let flipped = SnapshotChunk { data: Bytes::from_static(b"abd"), ..chunk(0, b"abc") };
    // The end is that of the damaged bytes, so that nothing else can tell.
    refused(3, vec![Part::Chunk(flipped), Part::End(end(b"abd"))], "the checksum of the chunk at 0").await;
}

#[tokio::test]
async fn a_chunk_at_another_offset_is_refused() {
    let parts =
        |offset| vec![Part::Chunk(chunk(0, b"abc")), Part::Chunk(chunk(offset, b"def")), Part::End(end(b"abcdef"))];
    refused(6, parts(4), "begins at 4, expected 3").await;
    refused(6, parts(0), "begins at 0, expected 3").await;
    refused(6, parts(u64::MAX), "expected 3").await;
}

#[tokio::test]
async fn a_chunk_that_is_too_long_or_empty_is_refused() {
    refused(9, vec![Part::Chunk(chunk(0, b"abcdefghi")), Part::End(end(b"abcdefghi"))], "expected 1 to 8").await;
    refused(9, vec![Part::Chunk(chunk(0, b""))], "expected 1 to 8").await;
}

#[tokio::test]
async fn more_bytes_than_announced_are_refused() {
    refused(2, vec![Part::Chunk(chunk(0, b"abc")), Part::End(end(b"abc"))], "2 bytes as announced, and 3").await;
}

#[tokio::test]
async fn a_frame_that_is_no_part_is_refused() {
    refused(3, vec![Part::Opening(opening(3))], "neither chunk nor end").await;
}

#[tokio::test]
async fn a_sender_that_falls_silent_is_given_up() {
    let quick = GrpcOptions { snapshot_stall_timeout: Duration::from_millis(100), ..options() };
    let stage = Stage::unlimited();
    let server = serve(2, &stage, quick);
    let mut silent = SnapshotByHand::open(server.local_addr(), frame(Part::Opening(opening(3)))).await.unwrap();
    assert_eq!(silent.answer().await.unwrap_err().code(), Code::DeadlineExceeded);
    assert!(stage.broken().await.contains("nothing came"));
}

/// Openings that no honest node sends, with what the refusal names.
fn nonsense() -> Vec<(SnapshotOpening, &'static str)> {
    let of = |meta: SnapshotMeta| SnapshotOpening { meta: codec::encode(&meta), ..opening(3) };
    let long = Bytes::from(vec![1; 600 << 10]);
    vec![
        (SnapshotOpening { meta: Bytes::new(), ..opening(3) }, "empty"),
        (SnapshotOpening { meta: Bytes::from_static(b"\x02abc"), ..opening(3) }, "version 2"),
        (SnapshotOpening { meta: Bytes::from_static(b"\x01\xdd\xff\xff\xff\xff"), ..opening(3) }, "malformed"),
        (SnapshotOpening { meta: long, ..opening(3) }, "the metadata takes 614400 bytes"),
        (of(SnapshotMeta { last: EntryId::ZERO, ..meta() }), "its last index is 0"),
        (of(SnapshotMeta { last: EntryId::new(5, u64::MAX), ..meta() }), "its last index is 18446744073709551615"),
        (of(SnapshotMeta { last: EntryId::new(8, 1000), ..meta() }), "its sender is in term 7"),
        (of(SnapshotMeta { conf_state: ConfState::default(), ..meta() }), "its configuration"),
        (opening(u64::MAX), "18446744073709551615 bytes"),
    ]
}

#[tokio::test]
async fn an_opening_that_is_nonsense_is_refused_before_the_node_hears_of_it() {
    let stage = Stage::unlimited();
    let server = serve(2, &stage, options());
    for (opening, text) in nonsense() {
        let status = SnapshotByHand::open(server.local_addr(), frame(Part::Opening(opening))).await.err().unwrap();
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
        assert!(status.message().contains(text), "{status}: expected {text}");
    }
    assert_eq!(stage.begun.load(Ordering::Relaxed), 0);
    assert_eq!(server.stats().snapshots_refused, nonsense().len() as u64);
}

#[tokio::test]
async fn metadata_with_flipped_bytes_is_valid_or_refused() {
    let stage = Stage::unlimited();
    let server = serve(2, &stage, options());
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        let mut meta = codec::encode(&meta()).to_vec();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..meta.len());
            meta[at] = random.u8(..);
        }
        let opening = SnapshotOpening { meta: meta.into(), ..opening(3) };
        match SnapshotByHand::open(server.local_addr(), frame(Part::Opening(opening))).await {
            Err(status) => assert!(matches!(status.code(), Code::FailedPrecondition | Code::ResourceExhausted)),
            Ok(opened) => {
                drop(opened);
                let taken = stage.next().await;
                assert!(taken.end.is_err() && taken.meta.conf_state.is_valid() && taken.meta.last.index.0 > 0);
            }
        }
    }
}

#[tokio::test]
async fn a_snapshot_is_refused_by_whoever_is_not_meant() {
    let stage = Stage::unlimited();
    let server = serve(2, &stage, options());
    for (hello, code) in [
        (Some(Hello { cluster: 0xC2, ..honest_hello() }), Code::FailedPrecondition),
        (Some(Hello { to: 3, ..honest_hello() }), Code::FailedPrecondition),
        (Some(Hello { node: 9, ..honest_hello() }), Code::PermissionDenied),
        (Some(Hello { group: 1, ..honest_hello() }), Code::FailedPrecondition),
        (Some(Hello { version: 2, ..honest_hello() }), Code::FailedPrecondition),
        (None, Code::InvalidArgument),
    ] {
        let opening = frame(Part::Opening(SnapshotOpening { hello, ..opening(3) }));
        let status = SnapshotByHand::open(server.local_addr(), opening).await.err().unwrap();
        assert_eq!(status.code(), code, "{status}");
    }
    for first in [SnapshotFrame { part: None }, frame(Part::Chunk(chunk(0, b"abc"))), frame(Part::End(end(b"")))] {
        let status = SnapshotByHand::open(server.local_addr(), first).await.err().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    assert_eq!((stage.begun.load(Ordering::Relaxed), server.stats().refused), (0, 9));
}
