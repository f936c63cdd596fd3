//! A bucket that fails, delays, forgets and lies by plan: [`FaultyObjectStore`], over any object store.
//!
//! It is `object_store`'s own S3 client over a connector without sockets, behind which a small server keeps what it is given in
//! the store that is wrapped. The faults come between the two, where a network and a server have theirs. So every error is one
//! that the client really gives, whole with its chain of causes. The client's own retries are off: whoever stands on it sees
//! every fault. It has no limit of time either, so a request without an answer is for its caller to end. It may assume a tokio
//! runtime, whose paused clock drives what is slow.

mod body;
mod plan;
mod request;
mod server;
mod service;

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream::BoxStream};
use object_store::{
    ClientOptions, CopyOptions, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut},
    client::{HttpClient, HttpConnector},
    multipart::{MultipartStore, PartId},
    path::Path,
};

pub(crate) use self::plan::{Call, Fault, Operation};
use self::{plan::Plan, server::Server, service::Service};

/// Hands everything on to another object store, under a plan of faults.
#[derive(Debug)]
pub(crate) struct FaultyObjectStore<S> {
    client: AmazonS3,
    server: Arc<Server<S>>,
    faults: Faults,
}

/// The strings of a [`FaultyObjectStore`]; clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    plan: Arc<Mutex<Plan>>,
    seed: u64,
}

impl<S: ObjectStore + MultipartStore> FaultyObjectStore<S> {
    /// Wraps a store; nothing fails before [`FaultyObjectStore::faults`] say so. The seed draws the byte that a flip hits.
    pub(crate) fn over(inner: S, seed: u64) -> FaultyObjectStore<S> {
        let faults = Faults { plan: Arc::default(), seed };
        let server = Arc::new(Server::over(inner));
        let service = Service::new(server.clone(), faults.clone());
        let client = AmazonS3Builder::new()
            .with_endpoint("http://s3.test")
            .with_bucket_name("bucket")
            .with_region("us-east-1")
            .with_access_key_id("access")
            .with_secret_access_key("secret")
            .with_allow_http(true)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(Wired(HttpClient::new(service)))
            .build()
            .expect("these options are complete");
        FaultyObjectStore { client, server, faults }
    }

    pub(crate) fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// Multipart uploads that were begun, and neither completed nor aborted.
    pub(crate) fn live_multiparts(&self) -> Vec<Path> {
        self.server.live_multiparts()
    }

    /// The objects that there are, read past every fault.
    pub(crate) async fn objects(&self) -> Vec<ObjectMeta> {
        self.server.inner().list(None).try_collect().await.expect("the inner store does not fail")
    }

    /// What is stored in truth, past every fault.
    pub(crate) fn inner(&self) -> &S {
        self.server.inner()
    }
}

impl Faults {
    /// The request of this index, counted from 0, meets a fault, if it is of a kind that can.
    pub(crate) fn at(&self, index: usize, fault: Fault) {
        self.plan().add(index, fault);
    }

    /// The request of this index and every later one meet a fault.
    pub(crate) fn from(&self, index: usize, fault: Fault) {
        self.plan().add_from(index, fault);
    }

    /// Takes every planned fault back.
    pub(crate) fn heal(&self) {
        self.plan().heal();
    }

    /// Every request so far, in its order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.plan().calls.clone()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects every client to the same service.
#[derive(Debug)]
struct Wired(HttpClient);

impl HttpConnector for Wired {
    fn connect(&self, _options: &ClientOptions) -> Result<HttpClient> {
        Ok(self.0.clone())
    }
}

impl<S: fmt::Debug> fmt::Display for FaultyObjectStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.client)
    }
}

#[async_trait]
impl<S: ObjectStore + MultipartStore> ObjectStore for FaultyObjectStore<S> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.client.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, at: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.client.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.client.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.client.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.client.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.client.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.client.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.client.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl<S: ObjectStore + MultipartStore> MultipartStore for FaultyObjectStore<S> {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.client.create_multipart(path).await
    }

    async fn create_multipart_opts(&self, path: &Path, opts: PutMultipartOptions) -> Result<MultipartId> {
        self.client.create_multipart_opts(path, opts).await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, index: usize, data: PutPayload) -> Result<PartId> {
        self.client.put_part(path, id, index, data).await
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        self.client.complete_multipart(path, id, parts).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.client.abort_multipart(path, id).await
    }
}
