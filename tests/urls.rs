//! A store is chosen by a URL: what is behind it, and what is said where nothing is.

#![allow(clippy::unwrap_used, reason = "a test")]

use eraft::{ConfState, Expected, NodeId, StorageError, StorageErrorKind};
use futures_executor::block_on;

/// Of this build.
const SCHEMES: &[&str] = if cfg!(feature = "rocksdb") { &["file", "rocksdb"] } else { &["file"] };

fn refused(url: &str) -> String {
    let cluster = ConfState::of_voters([(NodeId(1), "here".into())]).founding_cluster_id("urls");
    let errors = [
        block_on(eraft::create(url, cluster, NodeId(1))).unwrap_err(),
        block_on(eraft::open(url, Expected::any())).unwrap_err(),
    ];
    let [created, opened] = errors.map(|error: StorageError| {
        assert_eq!(error.kind(), StorageErrorKind::Invalid, "{error}");
        error.to_string()
    });
    // Whose store it was to be stands in parentheses, where that was looked at.
    let reason = |text: &str| text.rsplit_once("): ").map_or(text, |(_, reason)| reason).to_owned();
    assert_eq!(reason(&created), reason(&opened));
    opened
}

#[test]
fn what_was_created_by_a_url_is_opened_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = ConfState::of_voters([(NodeId(7), "here".into())]).founding_cluster_id("urls");
    for scheme in SCHEMES {
        let url = format!("{scheme}://{}/{scheme}", dir.path().display());
        let never = block_on(eraft::open(&url, Expected::any())).unwrap_err();
        assert_eq!(never.kind(), StorageErrorKind::NotInitialised, "{never}");
        let identity = block_on(eraft::create(&url, cluster, NodeId(7))).unwrap();
        let storage = block_on(eraft::open(&url, Expected::exactly(cluster, NodeId(7)))).unwrap();
        assert_eq!(block_on(storage.read_raft_state()).unwrap().identity, identity);
        block_on(storage.close()).unwrap();
    }
}

#[cfg(not(feature = "rocksdb"))]
#[test]
fn a_backend_that_was_not_compiled_in_is_told_by_the_feature_that_brings_it() {
    let text = refused("rocksdb:///var/lib/eraft");
    assert!(text.contains("build with the feature `rocksdb` of eraft"), "{text}");
    assert!(text.contains("features = [\"rocksdb\"]") && text.contains("--features rocksdb"), "{text}");
}

#[cfg(not(feature = "s3"))]
#[test]
fn a_bucket_is_told_by_the_feature_that_brings_it() {
    for url in ["s3://snapshots", "s3+file:///var/lib/eraft?bucket=snapshots"] {
        let text = refused(url);
        assert!(text.contains("build with the feature `s3` of eraft"), "{text}");
    }
}

/// A bucket that nobody serves: neither creating nor opening asks it.
#[cfg(feature = "s3")]
#[tokio::test]
async fn a_store_with_its_snapshots_in_a_bucket_is_created_and_opened_while_that_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = ConfState::of_voters([(NodeId(7), "here".into())]).founding_cluster_id("urls");
    let options =
        "bucket=snapshots&prefix=a/b&endpoint=http://127.0.0.1:9&region=here&allow_http=true&inline_over_bytes=0";
    for scheme in SCHEMES {
        let url = format!("s3+{scheme}://{}/{scheme}?{options}", dir.path().display());
        let identity = eraft::create(&url, cluster, NodeId(7)).await.unwrap();
        let storage = eraft::open(&url, Expected::exactly(cluster, NodeId(7))).await.unwrap();
        assert_eq!(storage.read_raft_state().await.unwrap().identity, identity);
        assert!(format!("{storage:?}").contains("S3Storage"), "{storage:?}");
        storage.close().await.unwrap();
    }
}

#[cfg(feature = "s3")]
#[test]
fn a_bucket_s_url_that_cannot_be_is_refused_with_what_is_wrong() {
    let wrong = [
        ("s3://snapshots", "expected an absolute path, as in s3+file:///absolute/path?bucket=NAME"),
        ("s3+file:///here", "no bucket is named"),
        ("s3+file:///here?prefix=a", "no bucket is named"),
        ("s3+file:///here?bucket=b&key=secret", "\"key\" is not known; expected bucket, prefix,"),
        ("s3+file:///here?bucket=b&endpoint=https://me:the&secret@host", "has no =; expected bucket, prefix,"),
        ("s3+file:///here?bucket=b&allow_http=secret", "allow_http is neither true nor false"),
        ("s3+file:///here?bucket=b&prefix=p&bucket=secret", "\"bucket\" stands there twice"),
        ("s3+file:///here?bucket=b&fencing=secret", "fencing is neither required nor off"),
        ("s3+file:///here?bucket=b&inline_over_bytes=secret", "inline_over_bytes is no number of bytes"),
        ("s3+file://here?bucket=b", "expected an absolute path"),
        ("s3+s3+file:///here?bucket=a?bucket=b", "expected an absolute path"),
        ("s3+ftp:///here?bucket=b", "no backend has that name"),
    ];
    for (url, why) in wrong {
        let text = refused(url);
        assert!(text.contains(why) && !text.contains("secret"), "{url}: {text}");
    }
    let opened = block_on(eraft::open("s3+file:///here?bucket=b&endpoint=http://127.0.0.1:9", Expected::any()));
    let text = opened.unwrap_err().to_string();
    assert!(text.contains("http"), "an endpoint without TLS, which nobody has allowed: {text}");
}

#[test]
fn a_path_that_is_not_absolute_is_refused() {
    // Below a file: whoever takes it for a directory's name makes nothing, and says something else.
    for scheme in SCHEMES {
        let url = format!("{scheme}://Cargo.toml/here");
        let text = refused(&url);
        assert!(text.contains(&format!("{url:?}")) && text.contains("expected an absolute path"), "{text}");
    }
}

#[test]
fn a_url_that_is_refused_is_shown_without_credentials() {
    for url in ["s3://me:the/secret@bucket", "ftp:///here?password=secret", "s3+file://here?bucket=b&token=secret"] {
        let text = refused(url);
        assert!(text.contains(url.split_once("://").unwrap().0) && !text.contains("secret"), "{text}");
    }
}

#[test]
fn a_url_of_no_backend_is_told_what_there_is() {
    for url in ["", "/var/lib/eraft", "ftp:///var/lib/eraft"] {
        let text = refused(url);
        assert!(text.contains("expected file:///absolute/path, with the feature `file`"), "{text}");
    }
}
