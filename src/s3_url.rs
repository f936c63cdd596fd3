//! A store that keeps its snapshots in a bucket, as one URL: `s3+file:///path?bucket=name&prefix=folder`.
//!
//! Before the `+` stands where snapshots go, after it the URL of the store that keeps everything else, and behind the last
//! `?` which bucket it is. Values are taken as they are: nothing is decoded, so none holds a `&`. Credentials have no
//! place here; a URL ends up in logs.

use std::sync::Arc;

use eraft_core::{ClusterId, Expected, GroupId, Identity, NodeId, Result, Storage, StorageError};

use crate::s3::{BucketOptions, Fencing, S3Options, S3Storage};

/// What may stand behind the `?`.
const KEYS: [&str; 7] = ["bucket", "prefix", "endpoint", "region", "allow_http", "fencing", "inline_over_bytes"];

/// What comes before the local store's own URL.
const SCHEME: &str = "s3+";

/// A URL, taken apart.
struct Place<'a> {
    /// The local store's own.
    local: &'a str,
    bucket: BucketOptions,
    options: S3Options,
}

/// Whether `url` is one of these.
pub(crate) fn is_one(url: &str) -> bool {
    url.starts_with(SCHEME)
}

/// Creates the local store; the bucket is not asked.
pub(crate) async fn create(url: &str, cluster: ClusterId, node: NodeId) -> Result<Identity> {
    // Recursion would need a box; the local store never is one of these.
    let place = Place::parse(url)?;
    crate::create_local(place.local, cluster, node)
}

/// Opens the local store, and keeps its snapshots in the bucket, which is not asked yet.
pub(crate) async fn open(url: &str, expected: Expected) -> Result<Arc<dyn Storage>> {
    let Place { local, bucket, options } = Place::parse(url)?;
    // Before anything is locked: a mistyped endpoint is told at once.
    let bucket = bucket.connect()?;
    match local.split_once("://") {
        #[cfg(feature = "file")]
        Some(("file", path)) if path.starts_with('/') => {
            let local = crate::file::FileStorage::open(path, expected)?;
            Ok(Arc::new(S3Storage::over(local, GroupId::ZERO, bucket, options).await?))
        }
        #[cfg(feature = "rocksdb")]
        Some(("rocksdb", path)) if path.starts_with('/') => {
            let local = crate::rocksdb::RocksStorage::open(path, expected)?;
            Ok(Arc::new(S3Storage::over(local, GroupId::ZERO, bucket, options).await?))
        }
        _ => Err(crate::no_backend(local, &expected)),
    }
}

impl Place<'_> {
    /// # Errors
    /// `Invalid` where no bucket is named, or something else is that is not known.
    fn parse(url: &str) -> Result<Place<'_>> {
        let refused = |why: String| Err(StorageError::invalid(format!("{:?}: {why}", crate::shown(url))));
        let local = url.strip_prefix(SCHEME).unwrap_or(url);
        let Some((local, pairs)) = local.rsplit_once('?') else {
            return refused("no bucket is named: expected ?bucket=NAME at its end".to_owned());
        };
        let (mut bucket, mut options) = (BucketOptions::new(""), S3Options::default());
        let mut seen = Vec::new();
        for pair in pairs.split('&') {
            // What is refused is told by its key alone. A pair without one may be the rest of a secret that holds a `&`.
            let Some(pair) = pair.split_once('=') else {
                return refused(format!(
                    "a part behind the ? has no =; expected {}, each with =VALUE",
                    KEYS.join(", ")
                ));
            };
            if seen.contains(&pair.0) {
                return refused(format!("{:?} stands there twice", pair.0));
            }
            seen.push(pair.0);
            match pair {
                ("bucket", name) => bucket.bucket = name.to_owned(),
                ("prefix", prefix) => options.prefix = prefix.to_owned(),
                ("endpoint", endpoint) => bucket.endpoint = Some(endpoint.to_owned()),
                ("region", region) => bucket.region = Some(region.to_owned()),
                ("allow_http", "true") => bucket.allow_http = true,
                ("allow_http", "false") => bucket.allow_http = false,
                ("allow_http", _) => return refused("allow_http is neither true nor false".to_owned()),
                ("fencing", "required") => options.fencing = Fencing::Required,
                ("fencing", "off") => options.fencing = Fencing::Off,
                ("fencing", _) => return refused("fencing is neither required nor off".to_owned()),
                ("inline_over_bytes", bytes) => match bytes.parse() {
                    Ok(bytes) => options.inline_over_bytes = bytes,
                    Err(error) => return refused(format!("inline_over_bytes is no number of bytes: {error}")),
                },
                (key, _) => return refused(format!("{key:?} is not known; expected {}", KEYS.join(", "))),
            }
        }
        if bucket.bucket.is_empty() {
            return refused("no bucket is named: expected bucket=NAME behind the ?".to_owned());
        }
        Ok(Place { local, bucket, options })
    }
}
