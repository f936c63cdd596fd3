//! A server that stops, or freezes, and comes back while a snapshot is on its way to it or from it.

use std::{net::SocketAddr, time::Duration};

use eraft_conformance::machine;
use eraft_s3_servers::{
    Access,
    container::{self, Container, OWN_IMAGE},
    stand_in::StandIn,
};
use eraft_storage_s3::RetryOptions;
use tempfile::TempDir;

use crate::{
    proxy::Proxy,
    store::{Node, assert_away, brief, patient},
};

/// Some way into a snapshot of 12 MiB.
const MIDDLE: u64 = 4 << 20;
/// How long the server is away: less than the store's attempts take.
const AWAY: Duration = Duration::from_millis(1_500);

/// The stand-in, in a container or in this process, reached through a proxy that knows where a snapshot has got to.
struct Bucket {
    server: Server,
    access: Access,
    proxy: Proxy,
}

enum Server {
    Container(Box<Container>),
    InProcess { running: Option<Box<StandIn>>, directory: TempDir, address: SocketAddr },
}

impl Bucket {
    async fn in_process() -> Bucket {
        let directory = tempfile::tempdir().unwrap();
        let running = StandIn::start(directory.path()).unwrap();
        let (access, address) = (running.access().clone(), running.address());
        let server = Server::InProcess { running: Some(Box::new(running)), directory, address };
        Bucket { server, access, proxy: Proxy::before(address).await }
    }

    /// # Errors
    /// Why no container can be had.
    async fn in_a_container() -> Result<Bucket, String> {
        container::engine()?;
        if !container::has(OWN_IMAGE) {
            return Err(format!("no image {OWN_IMAGE} (cargo xtask s3-image makes it)"));
        }
        let container = Container::start(OWN_IMAGE)?;
        let access = container.access().clone();
        let address = access.endpoint.trim_start_matches("http://").parse().map_err(|error| format!("{error}"))?;
        Ok(Bucket { server: Server::Container(Box::new(container)), access, proxy: Proxy::before(address).await })
    }

    async fn node(&self, name: &str, retry: RetryOptions) -> Node {
        Node::at(&self.access, self.proxy.address, name, retry).await
    }

    fn stop(&mut self) {
        match &mut self.server {
            Server::Container(container) => container.stop(),
            Server::InProcess { running, .. } => drop(running.take()),
        }
    }

    /// Where it was, with what it had.
    fn start_again(&mut self) {
        match &mut self.server {
            Server::Container(container) => container.start_again(),
            Server::InProcess { running, directory, address } => {
                *running = Some(Box::new(StandIn::start_at(directory.path(), *address).unwrap()));
            }
        }
    }
}

/// Publishes and reads while the server is restarted in the middle of each.
async fn survives_restarts(mut bucket: Bucket) {
    let node = bucket.node("restarted", patient()).await;
    for upload in [true, false] {
        let work = async { if upload { node.publish().await } else { node.read().await } };
        let mut work = std::pin::pin!(work);
        tokio::select! {
            done = &mut work => panic!("it was over before the server stopped: {done:?}"),
            () = bucket.proxy.after(MIDDLE) => {}
        }
        tokio::task::block_in_place(|| bucket.stop());
        node.save().await;
        let (done, ()) = tokio::join!(work, async {
            tokio::time::sleep(AWAY).await;
            node.save().await;
            tokio::task::block_in_place(|| bucket.start_again());
        });
        done.unwrap();
    }
    node.read().await.unwrap();
}

/// What is asked while the server is stopped is unavailable in time; afterwards all is as it was.
async fn survives_an_outage(mut bucket: Bucket) {
    let node = bucket.node("away", brief()).await;
    node.publish().await.unwrap();
    tokio::task::block_in_place(|| bucket.stop());
    assert_away(node.publish().await);
    assert_away(node.read().await);
    node.save().await;
    tokio::task::block_in_place(|| bucket.start_again());
    node.read().await.unwrap();
    node.publish().await.unwrap();
    node.read().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_gets_through_a_restart_of_the_server() {
    survives_restarts(Bucket::in_process().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_unavailable_in_time_and_comes_back() {
    survives_an_outage(Bucket::in_process().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_gets_through_a_restart_of_the_container() {
    match Bucket::in_a_container().await {
        Ok(bucket) => survives_restarts(bucket).await,
        Err(reason) => machine::skip("a_snapshot_gets_through_a_restart_of_the_container", "docker", &reason),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_down_is_unavailable_in_time_and_comes_back() {
    match Bucket::in_a_container().await {
        Ok(bucket) => survives_an_outage(bucket).await,
        Err(reason) => {
            machine::skip("a_container_that_is_down_is_unavailable_in_time_and_comes_back", "docker", &reason);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_gets_through_a_pause_of_the_container() {
    let bucket = match Bucket::in_a_container().await {
        Ok(bucket) => bucket,
        Err(reason) => {
            return machine::skip("a_snapshot_gets_through_a_pause_of_the_container", "docker", &reason);
        }
    };
    let node = bucket.node("paused", patient()).await;
    let Server::Container(container) = &bucket.server else { panic!("it is in a container") };
    for upload in [true, false] {
        let work = async { if upload { node.publish().await } else { node.read().await } };
        let (done, ()) = tokio::join!(work, async {
            bucket.proxy.after(MIDDLE).await;
            tokio::task::block_in_place(|| container.pause());
            // Longer than a call may take: those that hang are given up, and tried again.
            tokio::time::sleep(Duration::from_secs(5)).await;
            node.save().await;
            tokio::task::block_in_place(|| container.unpause());
        });
        done.unwrap();
    }
    node.read().await.unwrap();
}
