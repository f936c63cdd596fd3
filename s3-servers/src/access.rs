//! What a client must know of a server to use a bucket of it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use object_store::{
    ClientOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
    signer::Signer,
};

/// How long a server may take until it answers for the first time.
const START_WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// One bucket of one server, and the keys to it, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// Where the server is: `http://127.0.0.1:9000`.
    pub endpoint: String,
    /// The bucket; it exists.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The name of the key.
    pub access_key: String,
    /// The key.
    pub secret_key: String,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.endpoint, self.bucket)
    }
}

impl Access {
    /// The bucket that tests use, at a server that was started for them.
    pub(crate) fn local(port: u16) -> Access {
        Access {
            endpoint: format!("http://127.0.0.1:{port}"),
            bucket: "eraft-tests".into(),
            region: "us-east-1".into(),
            access_key: "eraft-tests".into(),
            secret_key: "eraft-tests-secret".into(),
        }
    }

    /// A builder of clients with all of this said, and no retries: what a server does is to be seen.
    pub fn builder(&self) -> AmazonS3Builder {
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_access_key_id(&self.access_key)
            .with_secret_access_key(&self.secret_key)
            .with_client_options(ClientOptions::new().with_allow_http(true))
            .with_retry(retry)
    }

    /// A client of the bucket.
    pub fn client(&self) -> AmazonS3 {
        self.builder().build().expect("a client of the test's own server")
    }

    /// Waits until the server answers, and makes the bucket where it is not there yet: a signed `PUT` of the bucket's own name,
    /// which every server understands.
    pub(crate) fn make_bucket(&self) -> Result<(), String> {
        let signed = futures_util::future::FutureExt::now_or_never(self.client().signed_url(
            "PUT".parse().expect("a method"),
            &Path::default(),
            Duration::from_secs(600),
        ));
        let url = signed.ok_or("signing waited")?.map_err(|error| format!("signing: {error}"))?;
        let address = self.endpoint.trim_start_matches("http://").to_owned();
        let target = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        let give_up = Instant::now() + START_WITHIN;
        loop {
            match put(&address, &target) {
                // It was there already: 409 with one of two names, by whose it is.
                Ok(status) if status.contains(" 200") || status.contains(" 409") => return Ok(()),
                // A server that is starting says that it is busy, or its port is served and nobody is behind it yet; any other
                // refusal is its last word.
                Ok(status) if Instant::now() > give_up || !(status.is_empty() || status.contains(" 503")) => {
                    return Err(format!("the bucket was refused: {status}"));
                }
                Err(error) if Instant::now() > give_up => return Err(format!("no answer at {address}: {error}")),
                _ => std::thread::sleep(PAUSE),
            }
        }
    }
}

/// The first line of the answer.
fn put(address: &str, target: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let request = format!("PUT {target} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
}
