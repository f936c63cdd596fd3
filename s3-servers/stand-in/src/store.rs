//! What `s3s-fs` lacks, around it: writes that are atomic with their conditions, conditional reads, and answers that S3 gives.
//!
//! By itself `s3s-fs` looks whether an object is there and then writes it, so that of two creates both win; it replaces an object's
//! bytes before its tag; and it knows no condition of a read. Here the body is read first, and then one lock covers the look and the
//! write, of whatever object; reads take it shared until the file is open. So it is slow under many writers, and never wrong. And a
//! directory, which a key's first part is here, is no object: reading it finds nothing, and it goes with the last that is in it.
#![expect(clippy::disallowed_methods, reason = "it looks for directories among the files of a server")]

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto::*, s3_error};
use s3s_fs::FileSystem;
use tokio::sync::RwLock;

/// The largest object of a single put: the body is held in memory until it is whole.
const MAX_PUT_BYTES: usize = 128 * 1024 * 1024;

/// Files that are changed by one writer at a time.
#[derive(Debug)]
pub(crate) struct Store {
    files: Arc<FileSystem>,
    root: PathBuf,
    /// Held alone by what changes an object, together with the condition that it was asked under.
    writing: Arc<RwLock<()>>,
}

impl Store {
    pub(crate) fn open(directory: &Path) -> io::Result<Store> {
        let files = FileSystem::new(directory).map_err(|error| io::Error::other(format!("{error:?}")))?;
        Ok(Store { files: Arc::new(files), root: directory.to_owned(), writing: Arc::default() })
    }

    /// `s3s-fs` has refused whatever leads out of the root by then, or will.
    fn is_directory(&self, bucket: &str, key: &str) -> bool {
        self.root.join(bucket).join(key).is_dir()
    }

    /// Removes the directories that the key was in, up to the bucket, as far as they are empty.
    fn prune(&self, bucket: &str, key: &str) {
        let parents = Path::new(key).ancestors().skip(1).take_while(|parent| !parent.as_os_str().is_empty());
        for parent in parents {
            if std::fs::remove_dir(self.root.join(bucket).join(parent)).is_err() {
                return;
            }
        }
    }
}

/// An upload that is not known, which `s3s-fs` takes for one of somebody else: there is nobody else here.
fn no_such_upload(error: S3Error) -> S3Error {
    if *error.code() == S3ErrorCode::AccessDenied { s3_error!(NoSuchUpload) } else { error }
}

/// Why the object must not be read, if so: its tag or its time is not what the reader wants.
fn refusal(asked: &GetObjectInput, now: &HeadObjectOutput) -> Option<S3Error> {
    let matches = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(tag) => now.e_tag.as_ref().is_some_and(|is| is.weak_cmp(tag)),
    };
    let modified = now.last_modified.as_ref().and_then(as_told);
    // A condition on the tag overrides the one on the time that goes with it.
    let unwanted = match (&asked.if_match, &asked.if_unmodified_since) {
        (Some(condition), _) => !matches(condition),
        (None, Some(since)) => modified.as_ref().is_some_and(|is| is > since),
        (None, None) => false,
    };
    let known = match (&asked.if_none_match, &asked.if_modified_since) {
        (Some(condition), _) => matches(condition),
        (None, Some(since)) => modified.as_ref().is_some_and(|is| is <= since),
        (None, None) => false,
    };
    let refused = |code: S3ErrorCode| Some(S3Error::new(code));
    if unwanted {
        refused(S3ErrorCode::PreconditionFailed)
    } else if known {
        refused(S3ErrorCode::NotModified)
    } else {
        None
    }
}

/// The time as a client was told it, without parts of a second.
fn as_told(time: &Timestamp) -> Option<Timestamp> {
    let mut text = Vec::new();
    time.format(TimestampFormat::HttpDate, &mut text).ok()?;
    Timestamp::parse(TimestampFormat::HttpDate, std::str::from_utf8(&text).ok()?).ok()
}

/// The whole body: one that is cut short changes nothing.
async fn whole(body: StreamingBlob) -> S3Result<Bytes> {
    let mut body = body;
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.try_next().await.map_err(|error| s3_error!(IncompleteBody, "{error}"))? {
        if bytes.len() + chunk.len() > MAX_PUT_BYTES {
            return Err(s3_error!(EntityTooLarge));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

#[async_trait::async_trait]
impl S3 for Store {
    async fn put_object(&self, mut req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        if let Some(body) = req.input.body.take() {
            let bytes = whole(body).await?;
            req.input.body = Some(StreamingBlob::from(s3s::Body::from(bytes)));
        }
        let _alone = self.writing.write().await;
        self.files.put_object(req).await
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let _alone = self.writing.write().await;
        self.files.copy_object(req).await
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let (files, writing) = (Arc::clone(&self.files), Arc::clone(&self.writing));
        // A client that has given up waiting must not leave half of it done: it will ask again, or look for the object.
        let completing = tokio::spawn(async move {
            let _alone = writing.write().await;
            files.complete_multipart_upload(req).await.map_err(no_such_upload)
        });
        completing.await.map_err(|error| s3_error!(error, InternalError))?
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let (bucket, key) = (req.input.bucket.clone(), req.input.key.clone());
        let _alone = self.writing.write().await;
        if self.is_directory(&bucket, &key) {
            return Ok(S3Response::new(DeleteObjectOutput::default()));
        }
        let deleted = self.files.delete_object(req).await?;
        self.prune(&bucket, &key);
        Ok(deleted)
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let (bucket, objects) = (req.input.bucket.clone(), req.input.delete.objects.clone());
        let _alone = self.writing.write().await;
        let deleted = self.files.delete_objects(req).await?;
        objects.iter().for_each(|object| self.prune(&bucket, &object.key));
        Ok(deleted)
    }

    async fn get_object(&self, mut req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let _open = self.writing.read().await;
        if self.is_directory(&req.input.bucket, &req.input.key) {
            return Err(s3_error!(NoSuchKey));
        }
        let head =
            HeadObjectInput { bucket: req.input.bucket.clone(), key: req.input.key.clone(), ..Default::default() };
        let now = self.files.head_object(req.clone().map_input(|_| head)).await?;
        if let Some(refused) = refusal(&req.input, &now.output) {
            return Err(refused);
        }
        // More than there is means all there is; `s3s-fs` would look for it in front of the file.
        if let Some(Range::Suffix { length }) = &mut req.input.range {
            let size = now.output.content_length.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
            *length = size.min(*length);
        }
        self.files.get_object(req).await
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let _open = self.writing.read().await;
        if self.is_directory(&req.input.bucket, &req.input.key) {
            return Err(s3_error!(NoSuchKey));
        }
        self.files.head_object(req).await
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        let _open = self.writing.read().await;
        self.files.list_objects_v2(req).await
    }

    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        let _alone = self.writing.write().await;
        self.files.create_bucket(req).await
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.files.head_bucket(req).await
    }

    async fn list_buckets(&self, req: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        self.files.list_buckets(req).await
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.files.create_multipart_upload(req).await
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.files.upload_part(req).await.map_err(no_such_upload)
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        self.files.list_parts(req).await
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.files.abort_multipart_upload(req).await.map_err(no_such_upload)
    }
}
