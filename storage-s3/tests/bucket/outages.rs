//! The bucket away: what waits for it, what is kept in the local store instead, and how that moves once it is back.

use std::time::Duration;

use eraft_core::StorageErrorKind::{Poisoned, Unavailable};
use eraft_core::*;
use eraft_storage_s3::S3Options;
use futures_util::{FutureExt as _, StreamExt as _};

use crate::support::*;

/// Where every log is too long to wait.
fn at_once() -> S3Options {
    S3Options { inline_over_bytes: 0, ..options() }
}

fn go_away(watched: &Watched) {
    watched.watch_all();
    watched.script(|_| Fate::Fail(busy()));
}

fn fact(store: &Store, name: &str) -> String {
    store.facts().into_iter().find(|(known, _)| *known == name).unwrap().1
}

/// Waits until the published snapshot is in the bucket.
async fn moved(store: &Store) {
    for _ in 0..500 {
        if fact(store, "snapshot_in") == "bucket" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the snapshot was not moved: {:?}", store.facts());
}

/// A store whose snapshot was kept in the local store, since the bucket is away.
async fn kept(disk: &MemoryDisk, watched: &Watched, index: u64, bytes: &bytes::Bytes) -> Store {
    let store = open(disk, watched, at_once()).await;
    store.save_raft_state(entries(1..=10)).await.unwrap();
    go_away(watched);
    publish(&store, index, bytes).await;
    assert_eq!((fact(&store, "snapshot_in"), fact(&store, "bucket_away")), ("local-store".into(), "1".into()));
    store
}

#[tokio::test]
async fn a_snapshot_waits_for_the_bucket_until_the_log_has_passed_its_bound() {
    let watched = Watched::default();
    let store = fresh(&watched, S3Options { inline_over_bytes: 3000, ..options() }).await;
    assert_eq!((fact(&store, "snapshot_in"), fact(&store, "bucket_away")), ("nowhere".into(), "0".into()));
    go_away(&watched);
    for _ in 0..2 {
        assert!(store.raft_state_size() < 3000);
        assert_eq!(stage(&store, 5, &noise(1, 1000)).await.unwrap_err().kind(), Unavailable);
    }
    assert_eq!(fact(&store, "bucket_away"), "1");

    let long = vec![Entry::command(Term(1), LogIndex(11), vec![7; 3000])];
    store.save_raft_state(RaftStateUpdate { hard_state: None, log: LogChange::Append(long) }).await.unwrap();
    watched.take_asked();
    let staged = stage(&store, 5, &noise(1, 1000)).await.unwrap();
    assert_eq!(staged.size_bytes, 1000);
    assert_eq!(watched.take_asked(), [], "what is known to be away is not asked");
    store.save_state_and_snapshot(keep(), staged).await.unwrap();
    assert_eq!(read(&store).await.unwrap(), noise(1, 1000));
    assert_eq!((store.snapshot_size(), fact(&store, "snapshot_in")), (1000, "local-store".into()));
    assert_eq!(watched.names().await.len(), 0);
}

#[tokio::test]
async fn the_first_try_that_fails_is_enough_where_the_log_cannot_wait() {
    for size in [0, 1, 1000, 50_000] {
        let watched = Watched::default();
        let store = kept(&disk(), &watched, 5, &noise(1, size)).await;
        assert_eq!(read(&store).await.unwrap(), noise(1, size));
        assert_eq!(store.snapshot_size(), size as u64);
    }
}

#[tokio::test]
async fn a_kept_snapshot_moves_by_itself_once_the_bucket_is_back() {
    let watched = Watched::default();
    let store = kept(&disk(), &watched, 5, &noise(1, 5000)).await;
    let before = store.read_raft_state().await.unwrap();
    let mut reader = store.read_snapshot().await.unwrap().unwrap();
    let first = reader.chunks.next().await.unwrap().unwrap();
    assert!(store.local().snapshot_size() > 5000);

    watched.heal();
    moved(&store).await;
    assert_eq!((watched.names().await.len(), watched.open_uploads()), (2, 0));
    assert!(store.local().snapshot_size() < 5000, "it is in the local store, too");
    assert_eq!((store.snapshot_size(), fact(&store, "bucket_away")), (5000, "0".into()));
    assert_eq!(store.read_raft_state().await.unwrap(), before);
    assert_eq!(read(&store).await.unwrap(), noise(1, 5000));
    let mut bytes = first.to_vec();
    while let Some(chunk) = reader.chunks.next().await {
        bytes.extend(chunk.unwrap());
    }
    assert_eq!(bytes, noise(1, 5000), "who began to read it goes on");
    publish(&store, 6, &noise(2, 100)).await;
    assert_eq!(fact(&store, "snapshot_in"), "bucket");
}

#[tokio::test]
async fn a_snapshot_that_an_earlier_opening_kept_is_read_without_the_bucket_and_moves() {
    let (watched, disk) = (Watched::default(), disk());
    kept(&disk, &watched, 5, &noise(1, 5000)).await.close().await.unwrap();
    let store = open(&disk, &watched, options()).await;
    assert_eq!(read(&store).await.unwrap(), noise(1, 5000));
    assert_eq!((store.snapshot_size(), fact(&store, "snapshot_in")), (5000, "local-store".into()));
    watched.heal();
    moved(&store).await;
    assert_eq!(watched.names().await.len(), 2);
    store.close().await.unwrap();
    let store = open(&disk, &watched, options()).await;
    assert_eq!((read(&store).await.unwrap(), fact(&store, "snapshot_in")), (noise(1, 5000).to_vec(), "bucket".into()));
}

#[tokio::test(start_paused = true)]
async fn a_newer_snapshot_wins_against_one_that_is_being_moved_which_leaves_nothing() {
    let watched = Watched::default();
    let store = kept(&disk(), &watched, 5, &noise(1, 1000)).await;
    // The move is held up when all but its manifest is there.
    let (told, stands) = tokio::sync::oneshot::channel();
    let mut told = Some(told);
    watched.script(move |asked| match told.take_if(|_| asked.path.ends_with(".manifest")) {
        Some(told) => {
            told.send(()).unwrap();
            Fate::Late(Duration::from_secs(2))
        }
        None => Fate::Pass,
    });
    stands.await.unwrap();
    publish(&store, 6, &noise(2, 1000)).await;
    moved(&store).await;
    watched.settle_to(2).await;
    let names = watched.names().await;
    assert!(names.iter().all(|name| name.contains("/1-6-")), "{names:?}");
    assert_eq!(read(&store).await.unwrap(), noise(2, 1000));
}

#[tokio::test]
async fn a_snapshot_beyond_the_log_does_not_wait_for_the_bucket() {
    let watched = Watched::default();
    let store = fresh(&watched, S3Options { inline_over_bytes: u64::MAX, ..options() }).await;
    go_away(&watched);
    assert_eq!(stage(&store, 10, &noise(1, 100)).await.unwrap_err().kind(), Unavailable);
    let staged = stage(&store, 11, &noise(1, 100)).await.unwrap();
    let reset = RaftStateUpdate { hard_state: None, log: LogChange::Reset { base: EntryId::new(1, 11) } };
    store.save_state_and_snapshot(reset, staged).await.unwrap();
    assert_eq!(read(&store).await.unwrap(), noise(1, 100));
}

#[tokio::test]
async fn what_is_kept_and_not_wanted_is_discarded_from_the_local_store() {
    let watched = Watched::default();
    let store = kept(&disk(), &watched, 5, &noise(1, 100)).await;
    let staged = stage(&store, 6, &noise(2, 100)).await.unwrap();
    store.discard_snapshot(staged.clone()).await.unwrap();
    assert!(store.save_state_and_snapshot(keep(), staged).await.is_err());
    let mut writer = store.stage_snapshot(meta(6)).await.unwrap();
    writer.write(noise(3, 100)).await.unwrap();
    writer.abort().await.unwrap();
    assert_eq!(read(&store).await.unwrap(), noise(1, 100));
}

#[tokio::test]
async fn a_store_that_was_fenced_meanwhile_moves_nothing_and_says_so_at_its_next_save() {
    let (watched, first) = (Watched::default(), disk());
    let store = open(&first, &watched, at_once()).await;
    store.save_raft_state(entries(1..=10)).await.unwrap();
    publish(&store, 4, &noise(1, 100)).await;
    go_away(&watched);
    // Half-way it cannot turn round.
    assert_eq!(stage(&store, 5, &noise(2, 1000)).await.unwrap_err().kind(), Unavailable);
    publish(&store, 5, &noise(2, 1000)).await;
    assert_eq!(fact(&store, "snapshot_in"), "local-store");
    // The bucket is away for the one, and its twin reaches it.
    let twin = fresh(&watched.another_way(), options()).await;
    publish(&twin, 7, &noise(3, 100)).await;
    watched.heal();
    let mut last = 10;
    let fenced = loop {
        last += 1;
        assert!(last < 2000, "it was not fenced");
        match store.save_raft_state(entries(last..=last)).await {
            Ok(()) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => break error,
        }
    };
    assert_eq!(fenced.kind(), Poisoned, "{fenced}");
    watched.settle_to(4).await;
    let names = watched.names().await;
    assert!(names.iter().all(|name| name.contains("/1-4-") || name.contains("/1-7-")), "{names:?}");
    assert_eq!(read(&store).await.unwrap(), noise(2, 1000), "it has it still");
    assert_eq!(fact(&store, "bucket_away"), "0", "it is there, and another's");
}

#[tokio::test]
async fn a_store_that_closes_while_it_moves_lets_go_of_the_local_store() {
    let (watched, disk) = (Watched::default(), disk());
    let store = kept(&disk, &watched, 5, &noise(1, 1000)).await;
    watched.script(|asked| if asked.call == Call::Create { Fate::Hang } else { Fate::Pass });
    tokio::time::sleep(Duration::from_millis(20)).await;
    store.close().await.unwrap();
    assert!(store.save_raft_state(keep()).now_or_never().unwrap().is_err());
    drop(store);
    watched.heal();
    let store = open(&disk, &watched, options()).await;
    moved(&store).await;
    assert_eq!(read(&store).await.unwrap(), noise(1, 1000));
}
