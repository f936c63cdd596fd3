//! What an operator sees of the bucket: what travels, what is tried again, and what came back wrong.

use std::{collections::BTreeMap, time::Duration};

use eraft_core::Storage as _;
use eraft_storage_s3::{CollectOptions, S3Options};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use crate::support::*;

fn counted(snapshotter: &Snapshotter) -> BTreeMap<String, u64> {
    let all = snapshotter.snapshot().into_vec().into_iter();
    let number = |value| match value {
        DebugValue::Counter(count) => count,
        DebugValue::Gauge(level) => level.to_string().parse().unwrap(),
        DebugValue::Histogram(_) => panic!("{value:?} is no number"),
    };
    all.map(|(key, _, _, value)| (key.key().name().to_owned(), number(value))).collect()
}

#[tokio::test]
async fn what_travels_and_what_fails_is_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _here = metrics::set_default_local_recorder(&recorder);
    let watched = Watched::default();
    let store = fresh(&watched, S3Options { reads_in_flight: 1, ..options() }).await;
    let names: Vec<_> = eraft_storage_s3::metrics().into_iter().map(|metric| metric.name.to_owned()).collect();
    let found = counted(&snapshotter);
    assert!(names.iter().all(|name| found[name] == 0), "{found:?}");

    watched.once(Call::Part, Fate::Fail(busy()));
    publish(&store, 5, &noise(1, 1000)).await;
    let found = counted(&snapshotter);
    let expected = [("uploads", 1), ("uploaded_bytes", 1000), ("read_bytes", 1000), ("retries", 1), ("failures", 0)];
    for (name, count) in expected {
        assert_eq!(found[&format!("eraft_s3_{name}_total")], count, "{name} of {found:?}");
    }

    watched.always(Call::Get, || {
        Fate::Change(|mut bytes| {
            bytes[0] ^= 1;
            vec![Ok(bytes.into())]
        })
    });
    stage(&store, 6, &noise(2, 1000)).await.unwrap_err();
    watched.always(Call::Get, || Fate::Fail(denied()));
    read(&store).await.unwrap_err();
    let found = counted(&snapshotter);
    for (name, count) in [("uploads", 0), ("wrong_chunks", 2), ("refused_uploads", 1), ("failures", 1)] {
        assert_eq!(found[&format!("eraft_s3_{name}_total")], count, "{name} of {found:?}");
    }
}

#[tokio::test]
async fn the_epoch_and_its_loss_are_told() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _here = metrics::set_default_local_recorder(&recorder);
    let watched = Watched::default();
    let told = || {
        let found = counted(&snapshotter);
        [found["eraft_s3_owner_epoch"], found["eraft_s3_fenced"]]
    };
    let store = fresh(&watched, options()).await;
    assert_eq!(told(), [0, 0]);
    publish(&store, 5, &noise(1, 100)).await;
    assert_eq!(told(), [1, 0]);
    let twin = fresh(&watched, options()).await;
    publish(&twin, 5, &noise(2, 100)).await;
    assert_eq!(told(), [2, 0]);
    stage(&store, 6, &noise(3, 100)).await.unwrap_err();
    assert_eq!(told()[1], 1);
}

#[tokio::test]
async fn what_could_not_be_removed_is_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _here = metrics::set_default_local_recorder(&recorder);
    let watched = Watched::default();
    let store = fresh(&watched, options()).await;
    watched.script(|asked| match asked.call {
        Call::PutNew | Call::Delete => Fate::Fail(denied()),
        _ => Fate::Pass,
    });
    stage(&store, 5, &noise(1, 1000)).await.unwrap_err();
    let mut left_behind = 0;
    for _ in 0..100 {
        tokio::task::yield_now().await;
        left_behind += counted(&snapshotter)["eraft_s3_left_behind_total"];
    }
    assert_eq!(left_behind, 2, "the manifest, which may be there, and the object");
    assert_eq!(watched.names().await.len(), 1);
}

#[tokio::test]
async fn an_outage_is_told_from_the_first_snapshot_that_fails_to_the_first_that_does_not() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _here = metrics::set_default_local_recorder(&recorder);
    let watched = Watched::default();
    let told = || {
        let found = counted(&snapshotter);
        [found["eraft_s3_kept_here_total"], found["eraft_s3_bucket_away"]]
    };
    let store = fresh(&watched, S3Options { inline_over_bytes: 0, ..options() }).await;
    watched.watch_all();
    watched.script(|_| Fate::Fail(busy()));
    publish(&store, 5, &noise(1, 100)).await;
    assert_eq!(told(), [1, 1]);
    watched.heal();
    watched.settle_to(2).await;
    let mut tries = 0..500;
    while told() != [0, 0] {
        assert!(tries.next().is_some(), "it is still told to be away: {:?}", store.facts());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_is_collected_is_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _here = metrics::set_default_local_recorder(&recorder);
    let watched = Watched::default();
    let (keep_younger, grace, every) = (Duration::ZERO, Duration::ZERO, Duration::from_secs(1 << 30));
    let collect = CollectOptions { keep_last: 1, keep_younger, grace, every };
    let store = fresh(&watched, S3Options { collect, ..options() }).await;
    publish(&store, 1, &noise(1, 600)).await;
    // Its own collector has its turn, and finds nothing yet.
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    publish(&store, 2, &noise(2, 600)).await;
    let gone = store.collect_garbage().await.unwrap();
    let found = counted(&snapshotter);
    let told = [found["eraft_s3_collected_total"], found["eraft_s3_collected_bytes_total"]];
    assert_eq!(told, [gone.objects.len() as u64, gone.size_bytes]);
    assert_eq!(told[0], 2, "an object and its manifest: {gone:?}");
}
