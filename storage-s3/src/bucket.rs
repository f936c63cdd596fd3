//! What a bucket must be able to do: plain calls, and multipart uploads step by step.
//!
//! The low-level multipart calls are used, not `object_store`'s own uploader, since an upload must be abortable by whoever
//! knows its id, and its parts must be counted and repeated one by one.

use object_store::{ObjectStore, multipart::MultipartStore};

/// Anything that `object_store` can write in parts: S3 and what speaks like it, or its `InMemory` for tests.
pub trait Bucket: ObjectStore + MultipartStore {}

impl<T: ObjectStore + MultipartStore> Bucket for T {}
