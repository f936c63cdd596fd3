//! Calls to the bucket, repeated where that can help, each within its time.
//!
//! Every call is safe to repeat: names are never used twice, so whatever an earlier try may have done under a name, this
//! upload did. Pauses grow and half of each is drawn at random, so that the nodes of a cluster do not come back as one.
//! A call must run within the runtime, since it waits; [`Client::start`] takes it there.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream::BoxStream};
use object_store::{
    Attribute, Attributes, GetOptions, GetResult, MultipartId, ObjectMeta, ObjectStore as _, ObjectStoreExt as _,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, UpdateVersion, multipart::PartId, path::Path,
};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use crate::{
    Bucket, RetryOptions,
    failure::{Failure, Why},
    metrics::Told,
};

/// For so many bytes a call gets its time once more.
const BYTES_PER_TIMEOUT: u64 = 8 << 20;
/// For so many parts an upload gets the time of a call once more to be completed.
const PARTS_PER_TIMEOUT: u64 = 100;
/// How often a clean-up is tried: what it leaves is garbage, and nobody waits longer for that.
const CLEAN_UP_ATTEMPTS: u32 = 2;

/// A bucket, and how it is called.
#[derive(Clone)]
pub(crate) struct Client {
    bucket: Arc<dyn Bucket>,
    pub(crate) runtime: Handle,
    retry: RetryOptions,
    attributes: Attributes,
    random: Arc<Mutex<fastrand::Rng>>,
    pub(crate) told: Arc<Told>,
}

/// An object of a few bytes.
pub(crate) struct Small {
    pub(crate) bytes: Bytes,
    /// What it is now.
    pub(crate) version: UpdateVersion,
    /// When it was written, by the bucket's clock.
    pub(crate) modified: String,
}

/// How often something was tried, and whether it may be again.
pub(crate) struct Tries {
    client: Client,
    left: u32,
    pause: Duration,
}

impl Client {
    pub(crate) fn new(
        bucket: Arc<dyn Bucket>,
        runtime: Handle,
        retry: RetryOptions,
        storage_class: Option<&str>,
        random: fastrand::Rng,
        told: Told,
    ) -> Client {
        let class = storage_class.map(|class| (Attribute::StorageClass, class.to_owned()));
        let random = Arc::new(Mutex::new(random));
        Client { bucket, runtime, retry, attributes: class.into_iter().collect(), random, told: Arc::new(told) }
    }

    /// 64 random bits.
    pub(crate) fn draw(&self) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).u64(..)
    }

    /// The same client for clean-ups: it gives up early.
    pub(crate) fn brief(&self) -> Client {
        let attempts = self.retry.attempts.min(CLEAN_UP_ATTEMPTS);
        Client { retry: RetryOptions { attempts, ..self.retry }, ..self.clone() }
    }

    /// Runs `work` on the runtime from now on, whatever executor waits for it; given up where nobody waits any more.
    pub(crate) fn start<T, W>(&self, work: W) -> impl Future<Output = Result<T, Failure>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        let task = AbortOnDropHandle::new(self.runtime.spawn(work));
        async move {
            task.await.map_err(|error| {
                Failure::lasting(format!("the work was lost ({error}): the runtime shuts down, or this is a bug"))
            })
        }
    }

    pub(crate) fn tries(&self) -> Tries {
        Tries { client: self.clone(), left: self.retry.attempts, pause: self.retry.first_pause }
    }

    /// How long a call that carries so many bytes may take.
    pub(crate) fn time_for(&self, bytes: u64) -> Duration {
        let times = u32::try_from(bytes.div_ceil(BYTES_PER_TIMEOUT).max(1)).unwrap_or(u32::MAX);
        self.retry.call_timeout.saturating_mul(times)
    }

    /// One call within its time.
    pub(crate) async fn within<T>(
        &self,
        bytes: u64,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Failure> {
        let time = self.time_for(bytes);
        match tokio::time::timeout(time, call).await {
            Ok(outcome) => outcome.map_err(|error| Failure::of(&error)),
            Err(_elapsed) => Err(Failure::passing(format!("no answer within {time:?}"))),
        }
    }

    /// A call that carries so many bytes, as often as it may be tried.
    async fn repeat<T, C>(&self, bytes: u64, call: impl Fn() -> C) -> Result<T, Failure>
    where
        C: Future<Output = object_store::Result<T>>,
    {
        let mut tries = self.tries();
        loop {
            match self.within(bytes, call()).await {
                Ok(value) => return Ok(value),
                Err(failure) => tries.again(failure).await?,
            }
        }
    }

    /// Writes an object under a name that only this upload has.
    pub(crate) async fn put(&self, path: &Path, payload: PutPayload) -> Result<(), Failure> {
        let options = PutOptions { attributes: self.attributes.clone(), ..PutOptions::default() };
        let bytes = payload.content_length() as u64;
        self.repeat(bytes, || self.bucket.put_opts(path, payload.clone(), options.clone())).await?;
        Ok(())
    }

    /// Writes an object that must not be there. Where it is, it may be our own, whose reply was lost: then its bytes are ours.
    /// A try that was not answered is told by `late`: it may be done at any later time.
    pub(crate) async fn put_new(&self, path: &Path, bytes: &Bytes, late: &AtomicBool) -> Result<(), Failure> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let length = bytes.len() as u64;
        let put = || self.bucket.put_opts(path, bytes.clone().into(), options.clone());
        let mut tries = self.tries();
        loop {
            let failure = match self.within(length, put()).await {
                Ok(_) => return Ok(()),
                Err(failure) if failure.why == Why::Exists => match self.holds(path, bytes).await {
                    Ok(true) => return Ok(()),
                    Ok(false) => {
                        return Err(Failure { text: format!("another object is there ({})", failure.text), ..failure });
                    }
                    // Two tries of ours that ran into each other.
                    Err(absent) if absent.why == Why::Absent => Failure { why: Why::Passing, ..failure },
                    Err(other) => return Err(other),
                },
                Err(failure) => failure,
            };
            late.fetch_or(!failure.answered, Ordering::Relaxed);
            tries.again(failure).await?;
        }
    }

    /// Writes an object where `mode` allows it; once, since whoever writes under a condition has to look at what came of it.
    /// Where the condition does not hold, the failure is [`Why::Exists`].
    pub(crate) async fn put_if(&self, path: &Path, bytes: Bytes, mode: PutMode) -> Result<UpdateVersion, Failure> {
        let options = PutOptions { mode, ..PutOptions::default() };
        let length = bytes.len() as u64;
        Ok(self.within(length, self.bucket.put_opts(path, bytes.into(), options)).await?.into())
    }

    /// A whole object of a few bytes, where it is there, with what a change of it can be conditional on; of one that is
    /// longer than `most` bytes, so many.
    pub(crate) async fn read_small(&self, path: &Path, most: u64) -> Result<Option<Small>, Failure> {
        let get = || async {
            let answer = match self.bucket.get_opts(path, GetOptions::default()).await {
                Err(error) if Failure::of(&error).why == Why::Absent => return Ok(None),
                answer => answer?,
            };
            let meta = answer.meta.clone();
            let (version, modified) =
                (UpdateVersion { e_tag: meta.e_tag, version: meta.version }, meta.last_modified.to_string());
            let (mut body, mut seen) = (answer.into_stream(), BytesMut::new());
            while let Some(piece) = body.next().await {
                let piece = piece?;
                let room = usize::try_from(most).unwrap_or(usize::MAX) - seen.len();
                seen.extend_from_slice(piece.get(..room).unwrap_or(&piece));
                if piece.len() >= room {
                    break;
                }
            }
            Ok(Some(Small { bytes: seen.freeze(), version, modified }))
        };
        self.repeat(most, get).await
    }

    /// Whether an object has just these bytes; no more than those are read.
    pub(crate) async fn holds(&self, path: &Path, bytes: &Bytes) -> Result<bool, Failure> {
        let length = bytes.len() as u64;
        if self.size_bytes(path).await? != length {
            return Ok(false);
        }
        Ok(self.get(path, length).await? == bytes)
    }

    /// All objects below a folder; once, since whoever reads it knows when to begin anew.
    pub(crate) fn list(&self, folder: &Path) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.bucket.list(Some(folder))
    }

    pub(crate) async fn size_bytes(&self, path: &Path) -> Result<u64, Failure> {
        Ok(self.repeat(0, || self.bucket.head(path)).await?.size)
    }

    /// A whole object that is so long, at once; of a body that is longer, no more is taken.
    pub(crate) async fn get(&self, path: &Path, length: u64) -> Result<Bytes, Failure> {
        let get = || async {
            let mut body = self.get_range(path, 0..length).await?.into_stream();
            let mut seen = BytesMut::new();
            while let Some(piece) = body.next().await {
                seen.extend_from_slice(&piece?);
                if seen.len() as u64 > length {
                    return Err(broken("the body went on behind its end"));
                }
            }
            if seen.len() as u64 == length { Ok(seen.freeze()) } else { Err(ended()) }
        };
        self.repeat(length, get).await
    }

    /// Begins an answer with a range of an object; once, since whoever reads it knows where to go on.
    pub(crate) async fn get_range(&self, path: &Path, range: std::ops::Range<u64>) -> object_store::Result<GetResult> {
        let options = GetOptions { range: Some(range.into()), ..GetOptions::default() };
        self.bucket.get_opts(path, options).await
    }

    pub(crate) async fn create_multipart(&self, path: &Path) -> Result<MultipartId, Failure> {
        let options = PutMultipartOptions { attributes: self.attributes.clone(), ..PutMultipartOptions::default() };
        self.repeat(0, || self.bucket.create_multipart_opts(path, options.clone())).await
    }

    pub(crate) async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        index: usize,
        payload: PutPayload,
    ) -> Result<PartId, Failure> {
        let bytes = payload.content_length() as u64;
        self.repeat(bytes, || self.bucket.put_part(path, id, index, payload.clone())).await
    }

    /// Makes an object of the parts. A lost reply shows as "no such upload" at the next try, or never gets through: the
    /// object itself says whether it is there.
    pub(crate) async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
        size_bytes: u64,
    ) -> Result<(), Failure> {
        // S3 puts the parts together while we wait.
        let work = parts.len() as u64 * BYTES_PER_TIMEOUT / PARTS_PER_TIMEOUT;
        let mut tries = self.tries();
        loop {
            let Err(failure) = self.within(work, self.bucket.complete_multipart(path, id, parts.clone())).await else {
                return Ok(());
            };
            let found = match failure.why {
                Why::Absent => self.size_bytes(path).await,
                _ => self.within(0, self.bucket.head(path)).await.map(|found| found.size),
            };
            if found == Ok(size_bytes) {
                return Ok(());
            }
            tries.again(failure).await?;
        }
    }

    pub(crate) async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<(), Failure> {
        match self.repeat(0, || self.bucket.abort_multipart(path, id)).await {
            Err(failure) if failure.why == Why::Absent => Ok(()),
            outcome => outcome,
        }
    }

    /// Removes an object, which need not be there. That it is not is believed where it is not found either.
    pub(crate) async fn delete(&self, path: &Path) -> Result<(), Failure> {
        match self.repeat(0, || self.bucket.delete(path)).await {
            Err(failure) if failure.why == Why::Absent => match self.size_bytes(path).await {
                Ok(_) => Err(failure),
                Err(absent) if absent.why == Why::Absent => Ok(()),
                Err(other) => Err(other),
            },
            outcome => outcome,
        }
    }
}

impl Tries {
    /// Waits before the next try.
    ///
    /// # Errors
    /// `failure` itself, where it does not pass or was the last that may be.
    pub(crate) async fn again(&mut self, failure: Failure) -> Result<(), Failure> {
        self.left = self.left.saturating_sub(1);
        if failure.why != Why::Passing || self.left == 0 {
            self.client.told.failed();
            return Err(failure);
        }
        self.client.told.retried();
        debug!(failure = failure.text, "a call to the bucket failed, and is tried again");
        let half = self.pause / 2;
        let drawn = self.client.random.lock().unwrap_or_else(PoisonError::into_inner).f64();
        tokio::time::sleep(half + half.mul_f64(drawn)).await;
        self.pause = (self.pause * 2).min(self.client.retry.longest_pause);
        Ok(())
    }

    /// Something was achieved: what fails next is counted anew.
    pub(crate) fn got_on(&mut self) {
        (self.left, self.pause) = (self.client.retry.attempts, self.client.retry.first_pause);
    }
}

/// A body that is shorter than the server said.
pub(crate) fn ended() -> object_store::Error {
    broken("the body ended before its end")
}

fn broken(text: &'static str) -> object_store::Error {
    object_store::Error::Generic { store: "the bucket", source: text.into() }
}
