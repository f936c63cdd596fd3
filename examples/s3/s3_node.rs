//! A three-node key-value cluster whose snapshots are in a bucket, and all else on plain files; or one node of it.
//!
//! ```text
//! cargo run --release --features s3 --example s3_node -- --demo-s3            # on a bucket inside this program
//! cargo run --release --features s3 --example s3_node -- --bucket my-bucket   # on AWS, with your own credentials
//! cargo run --release --features s3 --example s3_node -- list --bucket my-bucket   # what is in it
//! cargo run --release --features s3 --example s3_node -- restore --help       # when every disk is gone
//! cargo run --release --features s3 --example s3_node -- --help
//! ```
//!
//! All that is particular to this backend is below. The service is in `examples/kv`, the set-up in `examples/cluster`;
//! the nodes of other backends share both.

#![allow(unreachable_pub, reason = "in a program, `pub` says what a module offers to the others")]

#[path = "../cluster/mod.rs"]
mod cluster;
#[path = "../kv/mod.rs"]
mod kv;
mod restore;

use std::{net::SocketAddr, path::Path, process::ExitCode, sync::Arc};

use anyhow::{Context, bail};
use eraft::s3::{BucketOptions, Fencing, S3Options};
use eraft_s3_node::{KEYS, NAME, Served, serve};

/// From the first node's port for clients to that of the bucket in this program.
const DEMO_PORT_OFFSET: u16 = 200;

/// Which bucket snapshots go to. Credentials come from the environment (AWS_ACCESS_KEY_ID and the like), a profile file or
/// the platform.
#[derive(Clone, Debug, clap::Args)]
struct InABucket {
    /// The bucket that snapshots go to; it exists.
    #[arg(long, value_name = "NAME", required_unless_present = "demo_s3")]
    bucket: Option<String>,
    #[command(flatten)]
    elsewhere: Elsewhere,
    /// While the bucket is away, the length of the log over which snapshots are kept in the node's own store.
    #[arg(long, value_name = "BYTES")]
    inline_over_bytes: Option<u64>,
    /// A bucket inside this program instead, to try things with; only where it starts three nodes.
    #[arg(long, conflicts_with_all = ["bucket", "endpoint", "region"])]
    demo_s3: bool,
    /// What serves it.
    #[arg(skip)]
    served: Option<Arc<Served>>,
}

/// Where a bucket is, and how it is used.
#[derive(Clone, Debug, clap::Args)]
struct Elsewhere {
    /// A folder in it; nodes and clusters may share one.
    #[arg(long, value_name = "FOLDER", default_value = "")]
    prefix: String,
    /// The server, where it is not AWS.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The region, where the environment does not say it.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Allows an endpoint without TLS: whoever is on the way reads and changes everything.
    #[arg(long)]
    allow_http: bool,
    /// For a server that ignores preconditions: nothing keeps a second process of the same node from writing.
    #[arg(long)]
    unfenced: bool,
}

impl Elsewhere {
    /// The flags that say the same.
    fn flags(&self) -> Vec<String> {
        let prefix = Some(&self.prefix).filter(|prefix| !prefix.is_empty());
        let said = [("--prefix", prefix), ("--endpoint", self.endpoint.as_ref()), ("--region", self.region.as_ref())];
        let said = said.into_iter().filter_map(|(flag, value)| Some([flag.to_owned(), value?.clone()]));
        let switches = [("--allow-http", self.allow_http), ("--unfenced", self.unfenced)];
        let switches = switches.into_iter().filter(|(_, on)| *on).map(|(flag, _)| flag.to_owned());
        said.flatten().chain(switches).collect()
    }

    /// The same for a bucket that no node is opened on.
    fn options(&self, bucket: &str) -> (BucketOptions, S3Options) {
        let fencing = if self.unfenced { Fencing::Off } else { Fencing::Required };
        let options = S3Options { prefix: self.prefix.clone(), fencing, ..S3Options::default() };
        let mut bucket = BucketOptions::new(bucket);
        (bucket.endpoint, bucket.region) = (self.endpoint.clone(), self.region.clone());
        bucket.allow_http = self.allow_http;
        (bucket, options)
    }
}

impl cluster::Snapshots for InABucket {
    const RESTORE: Option<&'static str> = Some("restore");

    type Task = restore::FromABucket;

    async fn run(task: restore::FromABucket) -> anyhow::Result<()> {
        restore::run(task).await
    }

    fn serve(&mut self, data: &Path, first_client: &str) -> anyhow::Result<Option<String>> {
        if !self.demo_s3 {
            return Ok(None);
        }
        let client: SocketAddr = first_client.parse().with_context(|| format!("{first_client} is no address"))?;
        let port =
            client.port().checked_add(DEMO_PORT_OFFSET).context("there is no port 200 above the first node's")?;
        let address = SocketAddr::new(client.ip(), port);
        let served =
            serve(&data.join("bucket"), address).with_context(|| format!("cannot serve a bucket at {address}"))?;
        (self.served, self.demo_s3) = (Some(Arc::new(served)), false);
        (self.bucket, self.elsewhere.endpoint) = (Some(NAME.to_owned()), Some(format!("http://{address}")));
        self.elsewhere.allow_http = true;
        Ok(Some(format!("bucket   {NAME} at http://{address}, kept in {}", data.join("bucket").display())))
    }

    fn url(&self, local: String) -> anyhow::Result<String> {
        let Some(bucket) = &self.bucket else {
            bail!(
                "--demo-s3 is for three nodes that are started together: name the bucket with --bucket and --endpoint"
            );
        };
        let Elsewhere { prefix, endpoint, region, allow_http, unfenced } = &self.elsewhere;
        let mut url = format!("s3+{local}?allow_http={allow_http}");
        let (bucket, prefix) = (Some(bucket), Some(prefix));
        let (endpoint, region) = (endpoint.as_ref(), region.as_ref());
        for (key, value) in [("bucket", bucket), ("prefix", prefix), ("endpoint", endpoint), ("region", region)] {
            let Some(value) = value else { continue };
            // Nothing in a URL is decoded, so that one value could become two, or another bucket's.
            if value.contains(['&', '?']) {
                bail!("--{key} holds a & or a ?: neither can stand in the URL that is made of it");
            }
            url.push_str(&format!("&{key}={value}"));
        }
        if *unfenced {
            url.push_str("&fencing=off");
        }
        if let Some(bytes) = self.inline_over_bytes {
            url.push_str(&format!("&inline_over_bytes={bytes}"));
        }
        Ok(url)
    }

    fn flags(&self) -> Vec<String> {
        let bucket = self.bucket.iter().flat_map(|bucket| ["--bucket".to_owned(), bucket.clone()]);
        let over = self.inline_over_bytes.iter();
        let over = over.flat_map(|bytes| ["--inline-over-bytes".to_owned(), bytes.to_string()]);
        bucket.chain(self.elsewhere.flags()).chain(over).collect()
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        match &self.served {
            Some(_) => KEYS.map(|(name, value)| (name, value.to_owned())).into(),
            None => Vec::new(),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let backend =
        cluster::Backend { scheme: "file", name: "plain files, snapshots in a bucket", data: "eraft-s3-data" };
    cluster::main::<InABucket>(backend).await
}
