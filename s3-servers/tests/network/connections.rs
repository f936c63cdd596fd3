//! Connections that are cut, stalled and slowed, through a proxy before the stand-in in this process.

use std::{net::SocketAddr, time::Duration};

use eraft_s3_servers::stand_in::StandIn;
use eraft_storage_s3::RetryOptions;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    proxy::{Proxy, Weather},
    store::{Node, assert_away, brief, patient},
};

/// Less than a part and more than a chunk.
const CUT_AFTER: u64 = 3 << 20;

struct Line {
    node: Node,
    proxy: Proxy,
    _server: StandIn,
    _directory: TempDir,
}

async fn line(name: &str, retry: RetryOptions) -> Line {
    let directory = tempfile::tempdir().unwrap();
    let server = StandIn::start(directory.path()).unwrap();
    let address: SocketAddr = server.address();
    let proxy = Proxy::before(address).await;
    let node = Node::at(server.access(), proxy.address, name, retry).await;
    Line { node, proxy, _server: server, _directory: directory }
}

#[tokio::test]
async fn an_upload_whose_connections_are_cut_begins_its_parts_anew() {
    let Line { node, proxy, .. } = &line("cut-up", patient()).await;
    proxy.turn(Weather::CutAfter(CUT_AFTER));
    let line = async {
        proxy.after_cuts(3).await;
        node.save().await;
        proxy.turn(Weather::Clear);
        Ok(())
    };
    tokio::try_join!(node.publish(), line).unwrap();
    node.read().await.unwrap();
}

#[tokio::test]
async fn a_download_whose_connections_are_always_cut_gets_on_chunk_by_chunk() {
    let Line { node, proxy, .. } = &line("cut-down", patient()).await;
    node.publish().await.unwrap();
    proxy.turn(Weather::CutAfter(1 << 20));
    node.read().await.unwrap();
    assert!(proxy.cuts() >= 8, "{} cuts", proxy.cuts());
}

/// What was under way is never answered, on connections that stay open: only whoever gives it up gets on.
#[tokio::test]
async fn what_stalls_with_the_line_is_given_up_and_tried_again() {
    let Line { node, proxy, .. } = &line("stall", patient()).await;
    for upload in [true, false] {
        let work = async { if upload { node.publish().await } else { node.read().await } };
        let work = tokio::time::timeout(Duration::from_secs(120), work);
        let (done, ()) = tokio::join!(work, async {
            proxy.after(1 << 20).await;
            proxy.turn(Weather::Stalled);
            tokio::time::sleep(Duration::from_secs(1)).await;
            node.save().await;
            proxy.turn(Weather::Clear);
        });
        done.expect("it waits for an answer that never comes").unwrap();
    }
}

#[tokio::test]
async fn a_line_of_a_kilobyte_a_second_is_unavailable_in_time_and_commits_go_on() {
    let Line { node, proxy, .. } = &line("slow", brief()).await;
    node.publish().await.unwrap();
    for upload in [true, false] {
        proxy.turn(Weather::Slow(1_000));
        let begun = Instant::now();
        let (done, ()) = tokio::join!(async { if upload { node.publish().await } else { node.read().await } }, async {
            for _ in 0..20 {
                node.save().await;
            }
        });
        assert_away(done);
        // Nobody waits for 12 MiB at that speed.
        assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
        proxy.turn(Weather::Clear);
        node.read().await.unwrap();
    }
    node.publish().await.unwrap();
}

#[tokio::test]
async fn a_line_that_is_down_is_unavailable_and_what_was_published_stays() {
    let Line { node, proxy, .. } = &line("down", brief()).await;
    node.publish().await.unwrap();
    proxy.turn(Weather::Down);
    assert_away(node.publish().await);
    assert_away(node.read().await);
    node.save().await;
    proxy.turn(Weather::Clear);
    node.read().await.unwrap();
    node.publish().await.unwrap();
    node.read().await.unwrap();
}
