//! What the transport tells: what it loses, by reason, and no more than that.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::time::Duration;

use common::{dial, identity, numbered, options, until};
use eraft_core::{NodeId, Transport};
use eraft_transport_grpc::GrpcOptions;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

/// What the counter of this name and reason has counted since it was last asked.
fn counted(snapshotter: &Snapshotter, name: &str, reason: &str) -> u64 {
    let told = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .find(|(key, ..)| key.key().name() == name && key.key().labels().any(|label| label.value() == reason));
    match told {
        Some((_, _, _, DebugValue::Counter(count))) => count,
        other => panic!("{name} with {reason}: {other:?}"),
    }
}

#[tokio::test]
async fn a_message_for_an_absent_peer_is_counted_as_dropped_by_its_reason() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let patient = GrpcOptions { send_timeout: Duration::from_secs(3600), ..options() };
    let transport = metrics::with_local_recorder(&recorder, || dial(identity(1), 2, address, patient));
    until("dialling has failed", || transport.stats()[&NodeId(2)].failed_connects > 1).await;
    for number in 1..=3 {
        transport.send(NodeId(2), numbered(1, 2, number)).await.unwrap_err();
    }
    assert_eq!(counted(&snapshotter, "eraft_transport_messages_dropped_total", "disconnected"), 3);
    assert_eq!(counted(&snapshotter, "eraft_transport_messages_dropped_total", "queue_full"), 0);
}
