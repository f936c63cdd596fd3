//! Trouble on the way out: a consumer gets the snapshot's bytes or an error, and never one wrong byte before it.

use bytes::Bytes;
use eraft_core::{StorageErrorKind::*, *};
use eraft_storage_s3::{Compression, S3Options};
use futures_util::StreamExt as _;
use object_store::{Error, ObjectStoreExt as _, Result as Answer, path::Path};

use crate::support::*;

const SIZE: usize = 1000;

/// A store that has published `SIZE` bytes of noise: ten chunks, in four reads.
async fn published() -> (Watched, Store) {
    let watched = Watched::default();
    let store = fresh(&watched, S3Options { reads_in_flight: 1, ..options() }).await;
    publish(&store, 5, &noise(1, SIZE)).await;
    watched.take_asked();
    (watched, store)
}

/// Reads as far as it goes, and holds what comes against what was published.
async fn read_until_error(store: &Store) -> (usize, StorageError) {
    let mut reader = store.read_snapshot().await.unwrap().unwrap();
    let mut bytes = Vec::new();
    loop {
        match reader.chunks.next().await.expect("it ends with an error") {
            Ok(chunk) => bytes.extend(chunk),
            Err(error) => {
                assert_eq!(bytes, noise(1, SIZE)[..bytes.len()], "what was handed on before {error}");
                assert!(reader.chunks.next().await.is_none(), "an error ends the stream");
                return (bytes.len(), error);
            }
        }
    }
}

fn flipped(mut bytes: Vec<u8>) -> Vec<Answer<Bytes>> {
    bytes[150] ^= 0x10;
    vec![Ok(bytes.into())]
}

#[tokio::test]
async fn a_byte_that_was_changed_on_the_way_is_fetched_again() {
    let (watched, store) = published().await;
    watched.once(Call::Get, Fate::Change(flipped));
    assert_eq!(read(&store).await.unwrap(), noise(1, SIZE));
    let ranges: Vec<_> = watched.take_asked().into_iter().filter_map(|asked| asked.range).collect();
    assert_eq!(ranges, [0..300, 100..300, 300..600, 600..900, 900..1000], "from the wrong chunk on");
}

#[tokio::test]
async fn a_byte_that_is_wrong_at_rest_is_corrupt_and_is_not_handed_on() {
    for place in 0..SIZE {
        if place % 7 != 0 {
            continue;
        }
        let (watched, store) = published().await;
        let object = Path::from(watched.names().await[0].as_str());
        let mut bytes = watched.inner.get(&object).await.unwrap().bytes().await.unwrap().to_vec();
        bytes[place] ^= 1;
        watched.inner.put(&object, bytes.into()).await.unwrap();
        let (read, error) = read_until_error(&store).await;
        assert_eq!(error.kind(), Corrupt, "{error}");
        assert!(error.detail().contains(object.as_ref()) && error.detail().contains("offset"), "{error}");
        assert!(read <= place, "{read} bytes were handed on, the wrong one is {place}");
    }
}

#[tokio::test]
async fn a_compressed_chunk_that_is_wrong_is_corrupt() {
    for compression in [Compression::Zstd, Compression::Lz4] {
        let watched = Watched::default();
        let store = fresh(&watched, S3Options { compression, ..options() }).await;
        publish(&store, 5, &Bytes::from(vec![7; SIZE])).await;
        let object = Path::from(watched.names().await[0].as_str());
        let bytes = watched.inner.get(&object).await.unwrap().bytes().await.unwrap().to_vec();
        assert!(bytes.len() < SIZE / 2);
        for place in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[place] ^= 0x80;
            watched.inner.put(&object, bytes.into()).await.unwrap();
            match read(&store).await {
                Ok(bytes) => assert_eq!(bytes, vec![7; SIZE], "a bit that means nothing, at {place}"),
                Err(error) => assert_eq!(error.kind(), Corrupt, "{error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_gone_on_with_at_its_first_missing_chunk() {
    for broken in [|| Ok(Bytes::new()), || Err(busy())] as [fn() -> Answer<Bytes>; 2] {
        let (watched, store) = published().await;
        let mut cuts = vec![broken, broken];
        watched.script(move |asked| match (asked.call, cuts.pop()) {
            (Call::Get, Some(broken)) if broken().is_ok() => {
                Fate::Change(|bytes| vec![Ok(bytes[..150].to_vec().into())])
            }
            (Call::Get, Some(_)) => Fate::Change(|bytes| vec![Ok(bytes[..150].to_vec().into()), Err(busy())]),
            _ => Fate::Pass,
        });
        assert_eq!(read(&store).await.unwrap(), noise(1, SIZE));
        let ranges: Vec<_> = watched.take_asked().into_iter().filter_map(|asked| asked.range).collect();
        assert_eq!(ranges, [0..300, 100..300, 200..300, 300..600, 600..900, 900..1000]);
    }
}

#[tokio::test]
async fn bodies_that_always_end_too_soon_are_never_taken_for_whole() {
    let (watched, store) = published().await;
    watched.always(Call::Get, || Fate::Change(|bytes| vec![Ok(bytes[..bytes.len().min(99)].to_vec().into())]));
    let (read, error) = read_until_error(&store).await;
    assert_eq!((read, error.kind()), (0, Unavailable), "{error}");
    assert_eq!(watched.take_asked().iter().filter(|asked| asked.call == Call::Get).count(), 4);
}

#[tokio::test]
async fn an_object_that_is_gone_from_beside_its_manifest_is_corrupt() {
    let (watched, store) = published().await;
    let object = Path::from(watched.names().await[0].as_str());
    watched.inner.delete(&object).await.unwrap();
    let (read, error) = read_until_error(&store).await;
    assert_eq!((read, error.kind()), (0, Corrupt), "{error}");
    assert!(error.detail().contains(object.as_ref()) && error.detail().contains("gone"), "{error}");
    let gets = watched.take_asked().iter().filter(|asked| asked.call == Call::Get).count();
    assert_eq!(gets, options().retry.attempts as usize, "a node ends by it, and so it is not believed at once");
}

#[tokio::test]
async fn an_absence_that_passes_is_not_noticed() {
    let (watched, store) = published().await;
    watched.once(Call::Get, Fate::Fail(absent(&Path::from("it"))));
    assert_eq!(read(&store).await.unwrap(), noise(1, SIZE));
}

#[tokio::test]
async fn a_bucket_that_lacks_the_manifest_too_or_refuses_or_is_away_is_unavailable() {
    type Fail = fn() -> Error;
    let gone: Fail = || absent(&Path::from("it"));
    let no_bucket: Fail = || Error::NotFound { path: "it".into(), source: "<Code>NoSuchBucket</Code>".into() };
    let attempts = options().retry.attempts as usize;
    for (fail, calls) in [(gone, attempts), (no_bucket, 1), (denied as Fail, 1), (busy as Fail, attempts)] {
        let (watched, store) = published().await;
        watched.script(move |_| Fate::Fail(fail()));
        let (read, error) = read_until_error(&store).await;
        assert_eq!((read, error.kind()), (0, Unavailable), "{error}");
        let gets = watched.take_asked().iter().filter(|asked| asked.call == Call::Get).count();
        assert_eq!(gets, calls, "{error}");
    }
    // The object is said to be gone, and nothing is said of its manifest.
    let (watched, store) = published().await;
    watched.script(move |asked| Fate::Fail(if asked.path.ends_with(".manifest") { busy() } else { gone() }));
    assert_eq!(read_until_error(&store).await.1.kind(), Unavailable);
}

#[tokio::test]
async fn an_object_that_lost_its_end_is_corrupt() {
    for length in [0, 1, 299, 300, 301, 999] {
        let (watched, store) = published().await;
        let object = Path::from(watched.names().await[0].as_str());
        let bytes = watched.inner.get(&object).await.unwrap().bytes().await.unwrap();
        watched.inner.put(&object, bytes.slice(..length).into()).await.unwrap();
        let (_, error) = read_until_error(&store).await;
        assert_eq!(error.kind(), Corrupt, "cut at {length}: {error}");
    }
}

#[tokio::test]
async fn no_more_reads_are_under_way_than_may_be_however_slow_the_consumer_is() {
    let watched = Watched::default();
    let store = fresh(&watched, S3Options { reads_in_flight: 3, ..options() }).await;
    publish(&store, 5, &noise(1, 6000)).await;
    watched.take_asked();
    let mut reader = store.read_snapshot().await.unwrap().unwrap();
    assert_eq!(watched.take_asked().len(), 0, "nothing is asked before it is polled");
    let mut asked = 0;
    for nth in 0..60 {
        reader.chunks.next().await.unwrap().unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        asked += watched.take_asked().len();
        assert!(asked <= nth / 3 + 1 + 3, "after chunk {nth}, {asked} reads");
    }
    assert_eq!(asked, 20);
    drop(reader);
}
