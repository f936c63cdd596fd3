//! Three nodes whose snapshots go to a bucket in the test's own process, which can go away.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use eraft_s3_node::{KEYS, NAME, Served, serve};
use tokio::runtime::Runtime;

use crate::processes::{Program, Trio, wait_until};

/// A bucket in this process, which can go away and come back.
pub struct Bucket {
    runtime: Option<Runtime>,
    served: Option<Served>,
    pub directory: PathBuf,
    pub address: SocketAddr,
}

impl Bucket {
    pub fn new(directory: PathBuf, port: u16) -> Bucket {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut bucket = Bucket { runtime: None, served: None, directory, address };
        bucket.comes_back();
        bucket
    }

    pub fn comes_back(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let within = runtime.enter();
        self.served = Some(wait_until("the port is free", || serve(&self.directory, self.address).ok()));
        drop(within);
        self.runtime = Some(runtime);
    }

    /// With all its connections.
    pub fn goes_away(&mut self) {
        self.served = None;
        self.runtime.take().unwrap().shutdown_background();
    }

    /// The files of the objects that it holds.
    pub fn objects(&self) -> usize {
        fn files(dir: &Path) -> usize {
            // A folder that has become empty goes with its last object.
            let entries = std::fs::read_dir(dir).into_iter().flatten().map(Result::unwrap);
            entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
        }
        files(&self.directory.join(NAME))
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        if self.runtime.is_some() {
            self.goes_away();
        }
    }
}

/// Three nodes that are founded, and do not run yet, with their snapshots in a bucket.
pub fn on_a_bucket(dir: &Path, max_log_bytes: u64) -> (Bucket, Trio) {
    let mut trio = Trio::found_on(Program::S3Node, dir);
    let port = trio.nodes[0].client.rsplit_once(':').unwrap().1.parse::<u16>().unwrap() + 200;
    let bucket = Bucket::new(dir.join("bucket"), port);
    trio.compact_often(max_log_bytes, 0);
    let endpoint = format!("http://{}", bucket.address);
    for node in &mut trio.nodes {
        node.flags.extend(["--bucket", NAME, "--endpoint", &endpoint, "--allow-http"].map(str::to_owned));
        node.starter = vec!["env".to_owned()];
        node.starter.extend(KEYS.map(|(name, value)| format!("{name}={value}")));
    }
    (bucket, trio)
}
