//! Trouble on the way in: what passes is waited for, what does not is told, and nothing that was begun stays.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use eraft_core::{StorageErrorKind::*, *};
use eraft_storage_s3::{RetryOptions, S3Options, VerifyUpload};
use futures_util::FutureExt as _;
use object_store::{Attribute, ObjectStoreExt as _, path::Path};

use crate::support::*;

/// All calls that a staged snapshot takes: by one put, and by parts.
const SMALL: [Call; 3] = [Call::Put, Call::Get, Call::PutNew];
const LARGE: [Call; 5] = [Call::Create, Call::Part, Call::Complete, Call::Get, Call::PutNew];

fn every_call() -> impl Iterator<Item = (usize, Call)> {
    SMALL.map(|call| (100, call)).into_iter().chain(LARGE.map(|call| (2000, call)))
}

#[tokio::test]
async fn a_failure_that_passes_and_a_lost_reply_are_not_noticed() {
    for (size, call) in every_call() {
        for fate in [Fate::Fail(busy()), Fate::Lose(busy())] {
            let watched = Watched::default();
            let store = fresh(&watched, options()).await;
            let lost = matches!(fate, Fate::Lose(_));
            watched.once(call, fate);
            publish(&store, 5, &noise(1, size)).await;
            assert_eq!(read(&store).await.unwrap(), noise(1, size), "{call:?} of {size} bytes");
            assert_eq!(watched.names().await.len(), 2, "{call:?} of {size} bytes");
            // An upload that was begun twice because its id was lost is garbage that nobody here can know of.
            let unknown = usize::from(lost && call == Call::Create);
            assert_eq!(watched.open_uploads(), unknown, "{call:?} of {size} bytes");
        }
    }
}

#[tokio::test]
async fn what_does_not_pass_is_told_at_once_and_leaves_nothing() {
    for (size, call) in every_call() {
        let watched = Watched::default();
        let store = fresh(&watched, options()).await;
        watched.always(call, || Fate::Fail(denied()));
        let error = stage(&store, 5, &noise(1, size)).await.unwrap_err();
        assert_eq!(error.kind(), Unavailable, "{error}");
        watched.settle_to(0).await;
        let asked = watched.take_asked().iter().filter(|asked| asked.call == call).count();
        let at_once = if call == Call::Part || call == Call::Get { 3 } else { 1 };
        assert!(asked <= at_once, "{call:?} was asked {asked} times");
        watched.heal();
        publish(&store, 5, &noise(1, size)).await;
    }
}

#[tokio::test]
async fn what_never_passes_is_given_up_and_leaves_nothing() {
    for (size, call) in every_call() {
        let watched = Watched::default();
        let store = fresh(&watched, S3Options { parts_in_flight: 1, reads_in_flight: 1, ..options() }).await;
        watched.always(call, || Fate::Fail(busy()));
        let error = stage(&store, 5, &noise(1, size)).await.unwrap_err();
        assert_eq!(error.kind(), Unavailable, "{error}");
        watched.settle_to(0).await;
        let asked = watched.take_asked().iter().filter(|asked| asked.call == call).count();
        assert_eq!(asked, options().retry.attempts as usize, "{call:?}");
    }
}

#[tokio::test]
async fn a_call_that_is_not_answered_in_time_is_made_again() {
    let retry = RetryOptions { call_timeout: Duration::from_millis(30), ..options().retry };
    for (size, call) in every_call() {
        let watched = Watched::default();
        let store = fresh(&watched, S3Options { retry, ..options() }).await;
        watched.once(call, Fate::Hang);
        publish(&store, 5, &noise(1, size)).await;
        watched.heal();
        assert_eq!(read(&store).await.unwrap(), noise(1, size), "{call:?} of {size} bytes");
    }
}

#[tokio::test]
async fn a_manifest_that_reads_back_without_end_is_cut_and_asked_for_again() {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let watched = Watched::default();
    let store = fresh(&watched, S3Options { verify: VerifyUpload::ReadBack, ..options() }).await;
    watched.script(|asked| match asked.call {
        Call::Get if asked.path.ends_with(".manifest") => Fate::Endless(&TAKEN),
        _ => Fate::Pass,
    });
    assert_eq!(stage(&store, 5, &noise(1, 100)).await.unwrap_err().kind(), Unavailable);
    let taken = TAKEN.load(Ordering::Relaxed);
    assert!((1..100).contains(&taken), "{taken} pieces of 1 kB were taken");
}

#[tokio::test(start_paused = true)]
async fn an_abort_waits_no_longer_than_a_call_and_is_done_all_the_same() {
    let watched = Watched::default();
    let store = fresh(&watched, options()).await;
    let late = options().retry.call_timeout - Duration::from_secs(1);
    let mut calls = 0;
    watched.script(move |asked| {
        calls += usize::from(asked.call == Call::Create);
        match (asked.call, calls) {
            (Call::Create, ..4) => Fate::Hang,
            (Call::Create, _) => Fate::Late(late),
            _ => Fate::Pass,
        }
    });
    let mut writer = store.stage_snapshot(meta(5)).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(5), writer.write(noise(1, 500))).await.is_err());
    let begun = tokio::time::Instant::now();
    writer.abort().await.unwrap();
    assert!(begun.elapsed() <= options().retry.call_timeout + Duration::from_secs(1), "{:?}", begun.elapsed());
    tokio::time::sleep(5 * options().retry.call_timeout).await;
    let asked = watched.take_asked();
    assert!(asked.iter().any(|asked| asked.call == Call::Abort) && watched.open_uploads() == 0, "{asked:?}");
}

#[tokio::test]
async fn an_object_stays_where_its_manifest_may_yet_appear() {
    let retry = RetryOptions { call_timeout: Duration::from_millis(30), ..options().retry };
    let watched = Watched::default();
    let store = fresh(&watched, S3Options { retry, ..options() }).await;
    watched.always(Call::PutNew, || Fate::Hang);
    assert_eq!(stage(&store, 5, &noise(1, 100)).await.unwrap_err().kind(), Unavailable);
    watched.settle_to(1).await;
    // One that a second request described, and that is discarded, is no other.
    watched.once(Call::PutNew, Fate::Hang);
    let staged = stage(&store, 5, &noise(1, 100)).await.unwrap();
    store.discard_snapshot(staged).await.unwrap();
    let names = watched.names().await;
    assert!(names.len() == 2 && names.iter().all(|name| !name.ends_with(".manifest")), "{names:?}");
}

#[tokio::test]
async fn a_manifest_that_cannot_be_removed_keeps_its_object() {
    let watched = Watched::default();
    let store = fresh(&watched, options()).await;
    let staged = stage(&store, 5, &noise(1, 100)).await.unwrap();
    watched.script(|asked| match asked.call {
        Call::Delete if asked.path.ends_with(".manifest") => Fate::Fail(denied()),
        _ => Fate::Pass,
    });
    store.discard_snapshot(staged).await.unwrap();
    assert_eq!(watched.names().await.len(), 2, "a manifest always names a whole object");
}

#[tokio::test]
async fn a_manifest_that_is_said_to_be_absent_and_is_found_keeps_its_object() {
    let watched = Watched::default();
    let store = fresh(&watched, options()).await;
    let staged = stage(&store, 5, &noise(1, 100)).await.unwrap();
    watched.once(Call::Delete, Fate::Fail(absent(&object_store::path::Path::from("it"))));
    store.discard_snapshot(staged).await.unwrap();
    assert_eq!(watched.names().await.len(), 2);
}

#[tokio::test]
async fn an_upload_that_reads_back_wrong_is_refused_and_removed() {
    for size in [100, 2000] {
        let watched = Watched::default();
        let store = fresh(&watched, options()).await;
        watched.always(Call::Get, || {
            Fate::Change(|mut bytes| {
                bytes[50] ^= 1;
                vec![Ok(bytes.into())]
            })
        });
        let error = stage(&store, 5, &noise(1, size)).await.unwrap_err();
        assert_eq!(error.kind(), Unavailable, "nothing that is published is in doubt: {error}");
        watched.settle_to(0).await;
        assert!(watched.take_asked().iter().all(|asked| asked.call != Call::PutNew), "it was never described");
    }
}

#[tokio::test]
async fn a_shorter_object_than_was_sent_is_refused_by_its_length() {
    let watched = Watched::default();
    let store = fresh(&watched, S3Options { verify: VerifyUpload::Length, ..options() }).await;
    let (inner, mut done) = (watched.inner.clone(), false);
    watched.script(move |asked| {
        if asked.call == Call::Head && !std::mem::replace(&mut done, true) {
            use object_store::ObjectStoreExt as _;
            let path = object_store::path::Path::from(asked.path.as_str());
            inner.put(&path, vec![0; 99].into()).now_or_never().unwrap().unwrap();
        }
        Fate::Pass
    });
    let error = stage(&store, 5, &noise(1, 100)).await.unwrap_err();
    assert!(error.kind() == Unavailable && error.detail().contains("99 bytes, expected 100"), "{error}");
    watched.settle_to(0).await;
}

#[tokio::test]
async fn another_object_under_the_name_of_the_manifest_is_not_taken_for_it() {
    let watched = Watched::default();
    let store = fresh(&watched, options()).await;
    let (inner, mut done) = (watched.inner.clone(), false);
    watched.script(move |asked| {
        if asked.call == Call::PutNew && !std::mem::replace(&mut done, true) {
            use object_store::ObjectStoreExt as _;
            let path = object_store::path::Path::from(asked.path.as_str());
            inner.put(&path, vec![0; asked.bytes].into()).now_or_never().unwrap().unwrap();
        }
        Fate::Pass
    });
    let error = stage(&store, 5, &noise(1, 100)).await.unwrap_err();
    assert!(error.kind() == Unavailable && error.detail().contains("another object is there"), "{error}");
}

#[tokio::test]
async fn with_the_bucket_away_a_store_opens_saves_and_reads_its_state() {
    let (watched, disk) = (Watched::default(), disk());
    let store = open(&disk, &watched, options()).await;
    store.save_raft_state(entries(1..=10)).await.unwrap();
    publish(&store, 5, &noise(1, 500)).await;
    drop(store);
    watched.script(|_| Fate::Fail(busy()));
    watched.take_asked();
    let store = open(&disk, &watched, options()).await;
    store.save_raft_state(entries(11..=20)).await.unwrap();
    let compact = RaftStateUpdate { hard_state: None, log: LogChange::CompactTo(EntryId::new(1, 5)) };
    store.save_raft_state(compact).await.unwrap();
    assert_eq!(store.read_raft_state().await.unwrap().outline.last_index(), LogIndex(20));
    assert_eq!(store.read_entries(LogIndex(6)..LogIndex(21), u64::MAX).await.unwrap().len(), 15);
    assert_eq!(store.snapshot_size(), 500);
    let reader = store.read_snapshot().await.unwrap().unwrap();
    assert_eq!((reader.size_bytes, watched.take_asked()), (500, Vec::new()), "nothing was asked of the bucket");
    assert_eq!(reader.read_all().await.unwrap_err().kind(), Unavailable);
    assert_eq!(stage(&store, 6, &noise(2, 500)).await.unwrap_err().kind(), Unavailable);
    watched.heal();
    assert_eq!(read(&store).await.unwrap(), noise(1, 500));
    publish(&store, 6, &noise(2, 500)).await;
}

#[tokio::test]
async fn an_upload_holds_no_more_parts_than_it_may() {
    let watched = Watched::default();
    let store = fresh(&watched, options()).await;
    watched.always(Call::Part, || Fate::Late(Duration::from_millis(3)));
    publish(&store, 5, &noise(1, 20_000)).await;
    assert_eq!(watched.most_flying_bytes(), 3 * 250, "three parts of 250 bytes at once");

    // With no part landing, the writer takes what fills one more, and then makes its caller wait.
    watched.always(Call::Part, || Fate::Hang);
    let mut writer = store.stage_snapshot(meta(5)).await.unwrap();
    let mut taken = 0;
    while tokio::time::timeout(Duration::from_millis(50), writer.write(noise(1, 50))).await.is_ok() {
        taken += 50;
    }
    assert!((3 * 250..=4 * 250 + 100).contains(&taken), "{taken} bytes were taken");
}

#[tokio::test(start_paused = true)]
async fn an_upload_whose_writer_is_dropped_while_it_is_begun_is_aborted_all_the_same() {
    let watched = Watched::default();
    let store = fresh(&watched, options()).await;
    watched.once(Call::Create, Fate::Late(Duration::from_millis(30)));
    let mut writer = store.stage_snapshot(meta(5)).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(5), writer.write(noise(1, 500))).await.is_err());
    let later = writer.write(noise(1, 500)).await.unwrap_err();
    assert_eq!(later.kind(), Unavailable, "what follows would not join on: {later}");
    drop(writer);
    assert_eq!(watched.open_uploads(), 0, "it is not begun yet");
    tokio::time::sleep(Duration::from_millis(60)).await;
    watched.settle_to(0).await;
    assert!(watched.take_asked().iter().any(|asked| asked.call == Call::Abort));
}

#[tokio::test]
async fn the_object_of_a_snapshot_has_the_storage_class_that_was_asked_for() {
    for (size, class) in [(100, Some("STANDARD_IA")), (2000, Some("STANDARD_IA")), (100, None), (2000, None)] {
        let watched = Watched::default();
        let options = S3Options { storage_class: class.map(str::to_owned), ..options() };
        publish(&fresh(&watched, options).await, 5, &noise(1, size)).await;
        let names = watched.names().await;
        let object = names.iter().find(|name| !name.ends_with(".manifest")).unwrap();
        let attributes = watched.inner.get(&Path::from(object.as_str())).await.unwrap().attributes;
        assert_eq!(attributes.get(&Attribute::StorageClass).map(AsRef::as_ref), class, "{size} bytes");
    }
}
