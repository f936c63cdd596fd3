//! An S3 server in a process of its own, so that its work is not taken for that of the contenders: this program once more, as the
//! stand-in of the tests, over loopback. It syncs nothing, and what it keeps lies on the measured disk.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, ensure};
use object_store::{
    ClientOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
};
use tokio::{net::TcpListener, runtime::Runtime};

const BUCKET: &str = "benches";
const KEY: &str = "eraft-benches";

/// The other process; it ends when this one drops it, or ends in whatever way.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    endpoint: String,
}

impl Server {
    /// Serves an empty directory, which must exist.
    ///
    /// # Errors
    /// The process cannot be started, or does not serve.
    pub(crate) fn start(dir: &Path) -> anyhow::Result<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg("--dir").arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("the server cannot be started")?;
        let mut endpoint = String::new();
        BufReader::new(process.stdout.take().context("its output")?).read_line(&mut endpoint)?;
        ensure!(endpoint.ends_with('\n'), "the server ended before it served");
        Ok(Server { process, endpoint: endpoint.trim_end().to_owned() })
    }

    /// A client of its bucket, without retries: what fails here is nothing to be measured.
    ///
    /// # Errors
    /// None is expected: nothing is asked of the server yet.
    pub(crate) fn client(&self) -> anyhow::Result<AmazonS3> {
        let client = ClientOptions::new().with_allow_http(true).with_timeout_disabled();
        let builder = AmazonS3Builder::new().with_endpoint(&self.endpoint).with_bucket_name(BUCKET);
        let builder = builder.with_access_key_id(KEY).with_secret_access_key(KEY).with_client_options(client);
        Ok(builder.with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() }).build()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its input.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// The other process's side: serves `dir` at a port that the system chooses, tells it, and ends with its input.
///
/// # Errors
/// The directory cannot be used, or no port is to be had.
pub(crate) fn serve(dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir.join(BUCKET))?;
    let service = eraft_s3_stand_in::service(dir, KEY, KEY)?;
    let runtime = Runtime::new()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    println!("http://{}", listener.local_addr()?);
    runtime.spawn(eraft_s3_stand_in::serve(listener, service));
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
