//! A small S3 over any object store: what a client asks for over HTTP, done, and answered as S3 answers.
//!
//! It keeps S3's rules where a fault may meet them: an upload that is gone is `NoSuchUpload`, also for the one who completes it a
//! second time; parts are completed by their tags; conditions are `PreconditionFailed`. It never fails by itself.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutResult, UpdateVersion,
    multipart::{MultipartStore, PartId},
    path::Path,
};

use super::{plan::Operation, request::Request};

/// How many changes a stale listing is behind.
const STALE_BY: usize = 3;

#[derive(Debug)]
pub(super) struct Server<S> {
    inner: S,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    uploads: BTreeMap<String, Upload>,
    /// The listings before the last changes, oldest first.
    listings: VecDeque<Vec<ObjectMeta>>,
}

#[derive(Debug)]
struct Upload {
    path: Path,
    parts: BTreeMap<usize, PartId>,
}

/// What is answered, before it is written as HTTP.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

impl Answer {
    fn ok(body: impl Into<Bytes>) -> Answer {
        Answer { status: 200, headers: Vec::new(), body: body.into() }
    }

    fn tagged(result: PutResult) -> Answer {
        Answer::ok(Bytes::new()).with("etag", result.e_tag.unwrap_or_default())
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    /// S3's error document for a status.
    pub(super) fn error(status: u16) -> Answer {
        let code = match status {
            400 => "BadDigest",
            403 => "AccessDenied",
            404 => "NoSuchKey",
            409 => "ConditionalRequestConflict",
            412 => "PreconditionFailed",
            416 => "InvalidRange",
            429 => "TooManyRequests",
            503 => "SlowDown",
            _ => "InternalError",
        };
        Answer { status, ..Answer::ok(error_document(code)) }
    }
}

/// The body of an error, as S3 writes it.
fn error_document(code: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>by plan</Message></Error>")
}

impl<S: ObjectStore + MultipartStore> Server<S> {
    pub(super) fn over(inner: S) -> Server<S> {
        Server { inner, state: Mutex::default() }
    }

    pub(super) fn inner(&self) -> &S {
        &self.inner
    }

    pub(super) fn live_multiparts(&self) -> Vec<Path> {
        self.state().uploads.values().map(|upload| upload.path.clone()).collect()
    }

    /// Does what was asked.
    pub(super) async fn answer(&self, request: &Request) -> Answer {
        self.remember_the_listing(request.operation).await;
        let done = match request.operation {
            Operation::Put => self.put(request).await,
            Operation::CreateMultipart => self.create(request).await,
            Operation::PutPart => self.put_part(request).await,
            Operation::Complete => self.complete(request).await,
            Operation::Abort => self.abort(request).await,
            Operation::Get | Operation::Head => self.get(request).await,
            Operation::Delete => self.inner.delete(&request.path).await.map(|()| Answer::ok(Bytes::new())),
            Operation::List => self.inner.list(Some(&request.path)).try_collect().await.map(listed),
        };
        done.unwrap_or_else(|error| match error {
            Error::NotFound { .. } => Answer::error(404),
            Error::Precondition { .. } | Error::AlreadyExists { .. } => Answer::error(412),
            Error::Generic { .. } => Answer::error(416),
            other => panic!("{other}"),
        })
    }

    /// A listing that has not caught up.
    pub(super) fn stale(&self, request: &Request) -> Answer {
        let oldest = self.state().listings.front().cloned().unwrap_or_default();
        listed(oldest.into_iter().filter(|object| object.location.prefix_matches(&request.path)).collect())
    }

    async fn put(&self, request: &Request) -> Result<Answer, Error> {
        let mode = match (&request.if_none_match, &request.if_match) {
            (Some(_), _) => PutMode::Create,
            (None, Some(tag)) => PutMode::Update(UpdateVersion { e_tag: Some(tag.clone()), version: None }),
            (None, None) => PutMode::Overwrite,
        };
        self.inner.put_opts(&request.path, request.body.clone().into(), mode.into()).await.map(Answer::tagged)
    }

    async fn create(&self, request: &Request) -> Result<Answer, Error> {
        let id = self.inner.create_multipart(&request.path).await?;
        let upload = Upload { path: request.path.clone(), parts: BTreeMap::new() };
        self.state().uploads.insert(id.clone(), upload);
        let id = format!("<UploadId>{id}</UploadId>");
        Ok(Answer::ok(format!("<InitiateMultipartUploadResult>{id}</InitiateMultipartUploadResult>")))
    }

    async fn put_part(&self, request: &Request) -> Result<Answer, Error> {
        if !self.state().uploads.contains_key(&request.upload) {
            return Ok(no_such_upload());
        }
        let body = request.body.clone().into();
        let part = self.inner.put_part(&request.path, &request.upload, request.part - 1, body).await?;
        match self.state().uploads.get_mut(&request.upload) {
            None => return Ok(no_such_upload()),
            Some(upload) => upload.parts.insert(request.part, part),
        };
        Ok(Answer::ok(Bytes::new()).with("etag", tag(request.part)))
    }

    async fn complete(&self, request: &Request) -> Result<Answer, Error> {
        let Some(upload) = self.state().uploads.remove(&request.upload) else { return Ok(no_such_upload()) };
        let asked = String::from_utf8_lossy(&request.body).into_owned();
        let in_order = (1..=upload.parts.len()).all(|part| upload.parts.contains_key(&part));
        let tags = asked.matches("<ETag>").count();
        let known =
            (1..=tags).all(|part| asked.contains(&tag(part).replace('"', "&quot;")) || asked.contains(&tag(part)));
        if !in_order || tags != upload.parts.len() || !known {
            self.state().uploads.insert(request.upload.clone(), upload);
            return Ok(Answer { status: 400, ..Answer::ok(error_document("InvalidPart")) });
        }
        let parts = upload.parts.into_values().collect();
        let result = self.inner.complete_multipart(&request.path, &request.upload, parts).await?;
        let tag = format!("<ETag>{}</ETag>", result.e_tag.unwrap_or_default());
        Ok(Answer::ok(format!("<CompleteMultipartUploadResult>{tag}</CompleteMultipartUploadResult>")))
    }

    async fn abort(&self, request: &Request) -> Result<Answer, Error> {
        if self.state().uploads.remove(&request.upload).is_none() {
            return Ok(no_such_upload());
        }
        self.inner.abort_multipart(&request.path, &request.upload).await?;
        Ok(Answer { status: 204, ..Answer::ok(Bytes::new()) })
    }

    async fn get(&self, request: &Request) -> Result<Answer, Error> {
        let range = request.range.as_deref().map(asked_range);
        let options = GetOptions { range, if_match: request.if_match.clone(), ..GetOptions::default() };
        let found = self.inner.get_opts(&request.path, options).await?;
        let (meta, range) = (found.meta.clone(), found.range.clone());
        let body = if request.operation == Operation::Head { Bytes::new() } else { found.bytes().await? };
        let answer = Answer { status: if request.range.is_some() { 206 } else { 200 }, ..Answer::ok(body) }
            .with("etag", meta.e_tag.clone().unwrap_or_default())
            .with("last-modified", meta.last_modified.to_rfc2822())
            .with("content-length", (range.end - range.start).to_string());
        Ok(match request.range {
            None => answer,
            Some(_) => answer.with("content-range", format!("bytes {}-{}/{}", range.start, range.end - 1, meta.size)),
        })
    }

    async fn remember_the_listing(&self, next: Operation) {
        if matches!(next, Operation::Put | Operation::Complete | Operation::Delete) {
            let before = self.inner.list(None).try_collect().await.expect("the inner store does not fail");
            let mut state = self.state();
            state.listings.push_back(before);
            if state.listings.len() > STALE_BY {
                state.listings.pop_front();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_such_upload() -> Answer {
    Answer { status: 404, ..Answer::ok(error_document("NoSuchUpload")) }
}

fn tag(part: usize) -> String {
    format!("\"part-{part}\"")
}

/// `bytes=1-2`, `bytes=1-` or `bytes=-2`.
fn asked_range(header: &str) -> GetRange {
    let (start, last) = header.strip_prefix("bytes=").and_then(|range| range.split_once('-')).expect("a range");
    let number = |text: &str| text.parse::<u64>().expect("a number");
    match (start, last) {
        ("", length) => GetRange::Suffix(number(length)),
        (start, "") => GetRange::Offset(number(start)),
        (start, last) => GetRange::Bounded(number(start)..number(last) + 1),
    }
}

fn listed(objects: Vec<ObjectMeta>) -> Answer {
    let mut body = String::from("<ListBucketResult>");
    for object in objects {
        let ObjectMeta { location, last_modified, size, .. } = object;
        let modified = last_modified.to_rfc3339();
        let fields = format!("<Key>{location}</Key><LastModified>{modified}</LastModified><Size>{size}</Size>");
        write!(body, "<Contents>{fields}</Contents>").expect("a string takes it");
    }
    Answer::ok(body + "</ListBucketResult>")
}
