//! What the collector removes, and above all what it does not.

use std::{collections::BTreeSet, time::Duration};

use eraft_core::*;
use eraft_storage_s3::{CollectOptions, Fencing, S3Options, SnapshotChoice, SnapshotCondition};
use futures_util::StreamExt as _;
use object_store::{ObjectStoreExt as _, path::Path};

use crate::{listing::list, support::*};

/// Nothing is kept for its age, and nothing goes but when it is asked for.
fn at_once(keep_last: usize) -> S3Options {
    let never = Duration::from_secs(1 << 30);
    let collect = CollectOptions { keep_last, keep_younger: Duration::ZERO, grace: Duration::ZERO, every: never };
    S3Options { collect, ..options() }
}

/// A store whose own collector has had its turn.
async fn quiet(watched: &Watched, options: S3Options) -> Store {
    let store = fresh(watched, options).await;
    publish(&store, 1, &noise(1, 600)).await;
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    store
}

/// The last indexes of the snapshots that are whole.
async fn indexes(watched: &Watched) -> Vec<u64> {
    let names: BTreeSet<_> = watched.all_names().await.into_iter().collect();
    let whole = names.iter().filter(|name| names.contains(&format!("{name}.manifest")));
    let mut indexes: Vec<u64> =
        whole.map(|name| name.rsplit('/').next().unwrap().split('-').nth(1).unwrap().parse().unwrap()).collect();
    indexes.sort_unstable();
    indexes
}

async fn put(watched: &Watched, name: &str) {
    watched.inner.put(&Path::from(name), "x".into()).await.unwrap();
}

#[tokio::test]
async fn after_a_hundred_snapshots_there_are_as_many_as_are_kept() {
    let watched = Watched::default();
    let options = S3Options { collect: CollectOptions { every: Duration::ZERO, ..at_once(3).collect }, ..options() };
    let store = open(&disk(), &watched, options).await;
    store.save_raft_state(entries(1..=100)).await.unwrap();
    for index in 1..=100 {
        publish(&store, index, &noise(index, 600)).await;
    }
    for _ in 0..3000 {
        if indexes(&watched).await.len() <= 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Another finds no more to take: it is what is kept, and not a moment on the way to less.
    store.collect_garbage().await.unwrap();
    assert_eq!(indexes(&watched).await, [98, 99, 100]);
    let names = watched.all_names().await;
    let mut bytes = 0;
    for name in &names {
        bytes += watched.inner.head(&Path::from(name.as_str())).await.unwrap().size;
    }
    println!("after 100 snapshots of 600 bytes with 3 kept: {} objects, {bytes} bytes", names.len());
    assert_eq!((names.len(), watched.open_uploads()), (7, 0), "three, their manifests, and the owner: {names:?}");
    assert_eq!(read(&store).await.unwrap(), noise(100, 600));
}

#[tokio::test]
async fn a_dry_run_tells_what_would_go_and_touches_nothing() {
    let watched = Watched::default();
    let store = quiet(&watched, at_once(1)).await;
    publish(&store, 2, &noise(2, 600)).await;
    let before = watched.all_names().await;
    let found = store.find_garbage().await.unwrap();
    assert_eq!(watched.all_names().await, before);
    assert_eq!(found.objects.len(), 2, "{found:?}");
    assert!(found.objects.iter().all(|name| name.contains("/1-1-")) && found.size_bytes > 600, "{found:?}");
    assert_eq!(store.collect_garbage().await.unwrap(), found);
    assert_eq!(store.find_garbage().await.unwrap().objects, Vec::<String>::new());
    assert_eq!(indexes(&watched).await, [2]);
}

#[tokio::test]
async fn what_is_published_staged_or_read_stays() {
    let watched = Watched::default();
    let store = quiet(&watched, at_once(0)).await;
    let mut reader = store.read_snapshot().await.unwrap().unwrap();
    let staged = stage(&store, 3, &noise(3, 600)).await.unwrap();
    let mut writer = store.stage_snapshot(meta(4)).await.unwrap();
    writer.write(noise(4, 600)).await.unwrap();
    publish(&store, 2, &noise(2, 600)).await;
    let gone = store.collect_garbage().await.unwrap();
    assert_eq!(gone.objects, Vec::<String>::new(), "somebody needs each of them");

    let mut read = Vec::new();
    while let Some(chunk) = reader.chunks.next().await {
        read.extend_from_slice(&chunk.unwrap());
    }
    assert_eq!(read, noise(1, 600));
    store.save_state_and_snapshot(keep(), staged).await.unwrap();
    let later = writer.finish().await.unwrap();
    assert_eq!(
        store.collect_garbage().await.unwrap().objects.len(),
        2,
        "the replaced one, while the first is still open"
    );
    drop(reader);
    assert_eq!(store.collect_garbage().await.unwrap().objects.len(), 2, "and now the first");
    store.save_state_and_snapshot(keep(), later).await.unwrap();
    store.collect_garbage().await.unwrap();
    assert_eq!(indexes(&watched).await, [4]);
    assert_eq!(crate::support::read(&store).await.unwrap(), noise(4, 600));
}

#[tokio::test]
async fn what_a_store_names_that_was_opened_again_stays() {
    let (watched, disk) = (Watched::default(), disk());
    let store = open(&disk, &watched, at_once(0)).await;
    store.save_raft_state(entries(1..=10)).await.unwrap();
    publish(&store, 5, &noise(5, 600)).await;
    store.close().await.unwrap();
    let store = open(&disk, &watched, at_once(0)).await;
    assert_eq!(store.collect_garbage().await.unwrap().objects, Vec::<String>::new());
    assert_eq!(read(&store).await.unwrap(), noise(5, 600));
}

#[tokio::test]
async fn what_is_young_stays_for_its_grace_and_as_long_as_it_shall() {
    let day = Duration::from_secs(24 * 3600);
    for collect in [
        CollectOptions { grace: day, ..at_once(0).collect },
        CollectOptions { keep_younger: day, ..at_once(0).collect },
    ] {
        let watched = Watched::default();
        let store = quiet(&watched, S3Options { collect, ..options() }).await;
        publish(&store, 2, &noise(2, 600)).await;
        assert_eq!(store.find_garbage().await.unwrap().objects, Vec::<String>::new(), "{collect:?}");
    }
}

#[tokio::test]
async fn of_earlier_owners_only_what_is_older_than_the_published_goes_and_of_later_ones_nothing() {
    let watched = Watched::default();
    let store = quiet(&watched, at_once(0)).await;
    publish(&store, 5, &noise(5, 600)).await;
    store.collect_garbage().await.unwrap();
    let (older, equal, newer) = ("1-4-00000000000000aa", "1-5-00000000000000aa", "1-6-00000000000000aa");
    let all = [0, 2, 7].map(|epoch| [older, equal, newer].map(|name| format!("{FOLDER}/{epoch}/{name}"))).concat();
    for name in &all {
        put(&watched, name).await;
    }
    // What is not ours at all.
    let foreign = [
        "p/000000000000000c/0/2/1/1-4-00000000000000aa".to_owned(),
        "p/000000000000000c/1/1/1/1-4-00000000000000aa".to_owned(),
        format!("{FOLDER}/1/notes.txt"),
        format!("{FOLDER}/1/1-4-aa"),
        format!("{FOLDER}/1-4-00000000000000aa"),
        // Another cluster's, whose prefix is this folder.
        format!("{FOLDER}/000000000000000d/0/1/1/1-4-00000000000000aa"),
    ];
    for name in &foreign {
        put(&watched, name).await;
    }
    let gone = store.collect_garbage().await.unwrap();
    assert_eq!(gone.objects, [format!("{FOLDER}/0/{older}")]);

    // Its own are judged by who needs them alone.
    put(&watched, &format!("{FOLDER}/1/{newer}")).await;
    assert_eq!(store.collect_garbage().await.unwrap().objects, [format!("{FOLDER}/1/{newer}")]);
}

#[tokio::test]
async fn an_upload_that_nobody_ended_is_ended_by_its_note() {
    let (watched, disk) = (Watched::default(), disk());
    watched.watch_all();
    let store = open(&disk, &watched, at_once(1)).await;
    store.save_raft_state(entries(1..=10)).await.unwrap();
    let mut writer = store.stage_snapshot(meta(5)).await.unwrap();
    writer.write(noise(5, 600)).await.unwrap();
    tokio::task::yield_now().await;
    let asked = watched.take_asked();
    let noted = asked.iter().position(|asked| asked.call == Call::Put && asked.path.ends_with(".upload")).unwrap();
    let first = asked.iter().position(|asked| asked.call == Call::Part).unwrap();
    assert!(noted < first, "{asked:?}");
    // Killed: nothing of this store runs any more.
    watched.always(Call::Abort, || Fate::Fail(denied()));
    drop(writer);
    store.close().await.unwrap();
    drop(store);
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(watched.open_uploads(), 1);
    watched.heal();

    let store = open(&disk, &watched, at_once(1)).await;
    publish(&store, 6, &noise(6, 100)).await;
    // A note whose upload cannot be ended stays, to be found again.
    watched.always(Call::Abort, || Fate::Fail(denied()));
    store.collect_garbage().await.unwrap();
    assert_eq!(watched.open_uploads(), 1);
    assert!(watched.all_names().await.iter().any(|name| name.ends_with(".upload")));
    watched.heal();
    store.collect_garbage().await.unwrap();
    assert_eq!(watched.open_uploads(), 0);
    assert!(watched.all_names().await.iter().all(|name| !name.ends_with(".upload")));
}

#[tokio::test]
async fn a_manifest_goes_before_its_object_and_keeps_it_where_it_cannot_go() {
    let watched = Watched::default();
    let store = quiet(&watched, at_once(1)).await;
    publish(&store, 2, &noise(2, 600)).await;
    watched.take_asked();
    watched.script(|asked| {
        let refused = asked.call == Call::Delete && asked.path.ends_with(".manifest");
        if refused { Fate::Fail(denied()) } else { Fate::Pass }
    });
    assert_eq!(store.collect_garbage().await.unwrap().objects, Vec::<String>::new());
    assert_eq!(indexes(&watched).await, [1, 2], "both are whole");
    watched.heal();
    watched.take_asked();
    store.collect_garbage().await.unwrap();
    let asked = watched.take_asked();
    let deleted: Vec<_> = asked.iter().filter(|asked| asked.call == Call::Delete).map(|asked| &asked.path).collect();
    assert!(deleted.len() == 2 && deleted[0].ends_with(".manifest"), "{deleted:?}");
}

#[tokio::test]
async fn a_listing_that_fails_or_breaks_off_dooms_nothing() {
    for fate in [|| Fate::Fail(busy()), || Fate::Lose(busy())] {
        let watched = Watched::default();
        let store = quiet(&watched, at_once(1)).await;
        publish(&store, 2, &noise(2, 600)).await;
        watched.watch_all();
        watched.always(Call::List, fate);
        let error = store.collect_garbage().await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Unavailable, "{error}");
        assert_eq!(indexes(&watched).await, [1, 2]);
    }
}

#[tokio::test]
async fn whoever_lost_its_folder_or_goes_without_fencing_collects_nothing() {
    let watched = Watched::default();
    let store = quiet(&watched, at_once(0)).await;
    publish(&store, 2, &noise(2, 600)).await;
    let twin = fresh(&watched, at_once(9)).await;
    publish(&twin, 3, &noise(3, 600)).await;
    let before = watched.all_names().await;
    assert_eq!(store.collect_garbage().await.unwrap_err().kind(), StorageErrorKind::Poisoned);
    assert_eq!(watched.all_names().await, before);

    let unfenced = fresh(&Watched::default(), S3Options { fencing: Fencing::Off, ..at_once(0) }).await;
    assert_eq!(unfenced.collect_garbage().await.unwrap_err().kind(), StorageErrorKind::Invalid);
}

#[tokio::test]
async fn whoever_was_paused_in_a_collection_removes_nothing_that_its_successor_wrote() {
    // Paused at each of its calls in turn, for as long as its successor takes to publish.
    for paused_at in 0..40 {
        let watched = Watched::default();
        let first = quiet(&watched, at_once(1)).await;
        for index in 2..=4 {
            publish(&first, index, &noise(index, 600)).await;
        }
        let second = fresh(&watched, at_once(9)).await;
        watched.watch_all();
        let mut calls = 0;
        watched.script(move |_| {
            calls += 1;
            if calls == paused_at + 1 { Fate::Late(Duration::from_millis(30)) } else { Fate::Pass }
        });
        let paused = tokio::spawn(async move {
            let outcome = first.collect_garbage().await;
            (first, outcome)
        });
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        publish(&second, 5, &noise(55, 600)).await;
        let of_second: Vec<_> = watched.all_names().await.into_iter().filter(|name| name.contains("/2/1-")).collect();
        let (_first, _) = paused.await.unwrap();
        let after = watched.all_names().await;
        assert!(of_second.iter().all(|name| after.contains(name)), "{paused_at}: {of_second:?} {after:?}");
        assert_eq!(read(&second).await.unwrap(), noise(55, 600), "{paused_at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_is_written_when_its_object_was_collected_is_told_restores_nothing_and_goes() {
    let watched = Watched::default();
    let slow = watched.another_way();
    slow.script(|asked| match asked.call {
        Call::PutNew if asked.path.contains("/1-5-") => Fate::Late(Duration::from_millis(300)),
        // Killed as soon as it was fenced.
        Call::Delete => Fate::Fail(denied()),
        _ => Fate::Pass,
    });
    let first = fresh(&slow, at_once(1)).await;
    let paused = tokio::spawn(async move { stage(&first, 5, &noise(5, 600)).await.map(drop) });
    while !slow.take_asked().iter().any(|asked| asked.call == Call::PutNew) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let second = quiet(&watched, at_once(2)).await;
    publish(&second, 6, &noise(6, 600)).await;
    let gone = second.collect_garbage().await.unwrap();
    assert_eq!(gone.objects.len(), 1, "the object that is not described yet: {gone:?}");
    let error = paused.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Poisoned, "{error}");

    let found = list(&watched).await;
    let missing = SnapshotCondition::Incomplete { reason: "its object is missing".into() };
    assert_eq!((found.len(), found[1].last.index, &found[1].condition), (3, LogIndex(5), &missing));
    assert_eq!(SnapshotChoice::default().of(&found).unwrap().last.index, LogIndex(6));
    assert_eq!(second.collect_garbage().await.unwrap().objects.len(), 1);
    assert_eq!(indexes(&watched).await, [1, 6]);
    assert_eq!(list(&watched).await.len(), 2);
}
