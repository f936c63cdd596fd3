//! The faulty bucket itself: without faults it is an object store, and each fault does what it says.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{
    Error, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, memory::InMemory,
    multipart::MultipartStore as _, path::Path,
};
use tokio::time::{Instant, timeout};

use crate::bucket::{Call, Fault, FaultyObjectStore, Operation};

const BYTES: usize = 10_000;

fn bucket() -> FaultyObjectStore<InMemory> {
    FaultyObjectStore::over(InMemory::new(), 1)
}

fn content() -> Bytes {
    (0..BYTES).map(|n| (n % 251) as u8).collect::<Vec<u8>>().into()
}

fn payload() -> PutPayload {
    content().into()
}

async fn list(bucket: &FaultyObjectStore<InMemory>, prefix: &str) -> Vec<ObjectMeta> {
    bucket.list(Some(&Path::from(prefix))).try_collect().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn without_a_fault_it_is_an_object_store() {
    let (bucket, path) = (bucket(), Path::from("a b/c=%d"));
    bucket.put(&path, payload()).await.unwrap();
    assert_eq!(bucket.get(&path).await.unwrap().bytes().await.unwrap(), content());
    assert_eq!(bucket.get_range(&path, 300..303).await.unwrap(), content().slice(300..303));
    assert_eq!(bucket.head(&path).await.unwrap().size, BYTES as u64);
    let again = bucket.put_opts(&path, payload(), PutMode::Create.into()).await.unwrap_err();
    assert!(matches!(again, Error::AlreadyExists { .. }), "{again}");
    assert_eq!(list(&bucket, "a b").await[0].location, path);
    bucket.delete(&path).await.unwrap();
    assert!(matches!(bucket.head(&path).await.unwrap_err(), Error::NotFound { .. }));

    let id = bucket.create_multipart(&path).await.unwrap();
    let second = bucket.put_part(&path, &id, 1, payload()).await.unwrap();
    let first = bucket.put_part(&path, &id, 0, payload()).await.unwrap();
    assert_eq!(bucket.live_multiparts(), std::slice::from_ref(&path));
    let swapped = bucket.complete_multipart(&path, &id, vec![first.clone()]).await.unwrap_err();
    assert!(swapped.to_string().contains("InvalidPart"), "{swapped}");
    bucket.complete_multipart(&path, &id, vec![first, second]).await.unwrap();
    assert_eq!(bucket.head(&path).await.unwrap().size, 2 * BYTES as u64);
    assert!(bucket.live_multiparts().is_empty());
    let again = bucket.abort_multipart(&path, &id).await.unwrap_err();
    assert!(matches!(again, Error::NotFound { .. }), "{again}");
    assert_eq!(bucket.objects().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_status_comes_before_the_effect_or_after_it() {
    let (bucket, path) = (bucket(), Path::from("a"));
    bucket.faults().at(0, Fault::Status(503));
    bucket.faults().at(1, Fault::StatusDone(500));
    let refused = bucket.put(&path, payload()).await.unwrap_err();
    assert!(refused.to_string().contains("503") && refused.to_string().contains("SlowDown"), "{refused}");
    assert!(bucket.objects().await.is_empty());
    let lost = bucket.put(&path, payload()).await.unwrap_err();
    assert!(lost.to_string().contains("500"), "{lost}");
    assert_eq!(bucket.objects().await.len(), 1);
    let call = |fault| Call { operation: Operation::Put, path: path.clone(), part: 0, fault: Some(fault) };
    assert_eq!(bucket.faults().calls(), [call(Fault::Status(503)), call(Fault::StatusDone(500))]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_is_done_or_not_and_never_answered() {
    let (bucket, path) = (bucket(), Path::from("a"));
    bucket.faults().at(0, Fault::Hang);
    bucket.faults().at(1, Fault::HangDone);
    for objects in [0, 1] {
        timeout(Duration::from_secs(3600), bucket.put(&path, payload())).await.unwrap_err();
        assert_eq!(bucket.objects().await.len(), objects);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_breaks_in_the_body_and_elsewhere_before_or_after_the_effect() {
    let (bucket, path) = (bucket(), Path::from("a"));
    bucket.faults().at(0, Fault::Reset);
    bucket.faults().at(1, Fault::ResetDone);
    bucket.faults().at(2, Fault::Reset);
    for objects in [0, 1] {
        let error = bucket.put(&path, payload()).await.unwrap_err();
        assert!(matches!(error, Error::Generic { .. }), "{error}");
        assert_eq!(bucket.objects().await.len(), objects);
    }
    let mut body = bucket.get(&path).await.unwrap().into_stream();
    assert_eq!(body.try_next().await.unwrap().unwrap(), content().slice(..BYTES / 2));
    body.try_next().await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_body_is_cut_flipped_or_slow_on_the_way_down_and_nobody_says_so() {
    let (bucket, path) = (bucket(), Path::from("a"));
    for (nth, fault) in [Fault::Short, Fault::Flip, Fault::Slow].into_iter().enumerate() {
        bucket.faults().at(1 + nth, fault);
    }
    bucket.put(&path, payload()).await.unwrap();
    assert_eq!(bucket.get(&path).await.unwrap().bytes().await.unwrap(), content().slice(..BYTES / 2));
    assert_eq!(wrong_bits(&bucket.get(&path).await.unwrap().bytes().await.unwrap()), 1);
    let begun = Instant::now();
    assert_eq!(bucket.get(&path).await.unwrap().bytes().await.unwrap(), content());
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_body_is_cut_flipped_or_slow_on_the_way_up_and_nobody_says_so() {
    let (bucket, path) = (bucket(), Path::from("a"));
    for (nth, fault) in [Fault::Short, Fault::Flip, Fault::Slow].into_iter().enumerate() {
        bucket.faults().at(nth, fault);
    }
    let stored = async || bucket.inner().get(&path).await.unwrap().bytes().await.unwrap();
    bucket.put(&path, payload()).await.unwrap();
    assert_eq!(stored().await, content().slice(..BYTES / 2));
    bucket.put(&path, payload()).await.unwrap();
    assert_eq!(wrong_bits(&stored().await), 1);
    let begun = Instant::now();
    bucket.put(&path, payload()).await.unwrap();
    assert_eq!((stored().await, begun.elapsed()), (content(), Duration::from_secs(10)));
}

#[tokio::test(start_paused = true)]
async fn a_stale_listing_misses_the_last_changes() {
    let bucket = bucket();
    for name in ["x/1", "x/2", "x/3", "x/4"] {
        bucket.put(&Path::from(name), payload()).await.unwrap();
    }
    bucket.faults().at(4, Fault::Stale);
    assert_eq!(list(&bucket, "x").await.len(), 1);
    assert_eq!(list(&bucket, "x").await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_outage_lasts_until_it_is_healed() {
    let bucket = bucket();
    bucket.faults().from(1, Fault::Status(500));
    bucket.put(&Path::from("a"), payload()).await.unwrap();
    for _ in 0..2 {
        bucket.put(&Path::from("b"), payload()).await.unwrap_err();
    }
    bucket.faults().heal();
    bucket.put(&Path::from("b"), payload()).await.unwrap();
}

/// `200 OK` is no success where the body says otherwise.
#[tokio::test(start_paused = true)]
async fn a_completion_is_given_up_in_the_body() {
    let (bucket, path) = (bucket(), Path::from("a"));
    bucket.faults().at(2, Fault::ErrorInBody);
    let id = bucket.create_multipart(&path).await.unwrap();
    let part = bucket.put_part(&path, &id, 0, payload()).await.unwrap();
    let error = bucket.complete_multipart(&path, &id, vec![part.clone()]).await.unwrap_err();
    assert!(error.to_string().contains("InternalError"), "{error}");
    assert_eq!(bucket.live_multiparts().len(), 1);
    bucket.complete_multipart(&path, &id, vec![part]).await.unwrap();
}

fn wrong_bits(got: &Bytes) -> u32 {
    assert_eq!(got.len(), BYTES);
    got.iter().zip(content()).map(|(a, b)| (a ^ b).count_ones()).sum()
}
