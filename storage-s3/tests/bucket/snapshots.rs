//! A snapshot's way through a store: staged, uploaded, verified, published, read, discarded, and read again after an opening.

use crate::support::*;
use std::sync::Arc;

use bytes::Bytes;
use eraft_core::{StorageErrorKind::*, *};
use eraft_storage_file::FileStorage;
use eraft_storage_s3::{Compression, S3Options, S3Storage, VerifyUpload};
use futures_util::{FutureExt as _, StreamExt as _};

#[tokio::test]
async fn snapshots_of_any_size_come_back_however_they_are_compressed_and_verified() {
    let sizes = [0, 1, 99, 100, 101, 250, 251, 1000, 12_345];
    for compression in [Compression::Zstd, Compression::Lz4, Compression::None] {
        for verify in [VerifyUpload::ReadBack, VerifyUpload::Length] {
            let (watched, disk) = (Watched::default(), disk());
            let store = open(&disk, &watched, S3Options { compression, verify, ..options() }).await;
            store.save_raft_state(entries(1..=10)).await.unwrap();
            for size in sizes {
                for bytes in [noise(size as u64, size), Bytes::from(vec![7; size])] {
                    publish(&store, 5, &bytes).await;
                    assert_eq!(store.snapshot_size(), size as u64);
                    assert_eq!(read(&store).await.unwrap(), bytes, "{compression:?}, {size} bytes");
                }
            }
            drop(store);
            let store = open(&disk, &watched, options()).await;
            assert_eq!(store.snapshot_size(), 12_345, "after opening again");
            assert_eq!(read(&store).await.unwrap(), vec![7; 12_345]);
            assert_eq!(watched.open_uploads(), 0);
        }
    }
}

#[tokio::test]
async fn an_object_is_whole_then_read_back_then_described_then_published() {
    let watched = Watched::default();
    let store = fresh(&watched, options()).await;
    let staged = stage(&store, 5, &noise(1, 600)).await.unwrap();
    let calls: Vec<_> = watched.take_asked().into_iter().map(|asked| asked.call).collect();
    let [parts, reads] = [vec![Call::Create, Call::Part, Call::Part, Call::Part], vec![Call::Get; 2]];
    assert_eq!(calls, [parts, vec![Call::Complete], reads, vec![Call::PutNew, Call::Head, Call::Get]].concat());
    assert!(store.read_snapshot().await.unwrap().is_none(), "it is not published yet");
    store.save_state_and_snapshot(keep(), staged).await.unwrap();
    assert_eq!(watched.take_asked(), [], "publishing asks nothing of the bucket");
    let names = watched.names().await;
    let object = names[0].clone();
    assert!(object.starts_with("p/000000000000000c/0/1/1/1-5-"), "{object}");
    assert_eq!(names, [object.clone(), format!("{object}.manifest")]);
}

#[tokio::test]
async fn a_small_snapshot_goes_up_by_one_call() {
    let watched = Watched::default();
    let store = fresh(&watched, options()).await;
    stage(&store, 5, &noise(1, 249)).await.unwrap();
    let calls: Vec<_> = watched.take_asked().into_iter().map(|asked| asked.call).collect();
    assert_eq!(calls, [Call::Put, Call::Get, Call::PutNew, Call::Head, Call::Get]);
}

#[tokio::test]
async fn no_two_snapshots_share_a_name() {
    let watched = Watched::default();
    let store = fresh(&watched, options()).await;
    for _ in 0..20 {
        stage(&store, 5, &noise(1, 50)).await.unwrap();
    }
    assert_eq!(watched.names().await.len(), 40);
}

#[tokio::test]
async fn an_open_reader_outlives_a_newer_snapshot() {
    let watched = Watched::default();
    let store = fresh(&watched, options()).await;
    publish(&store, 5, &noise(1, 5000)).await;
    let mut reader = store.read_snapshot().await.unwrap().unwrap();
    let first = reader.chunks.next().await.unwrap().unwrap();
    publish(&store, 6, &noise(2, 5000)).await;
    let mut bytes = first.to_vec();
    while let Some(chunk) = reader.chunks.next().await {
        bytes.extend(chunk.unwrap());
    }
    assert_eq!(bytes, noise(1, 5000));
    assert_eq!(read(&store).await.unwrap(), noise(2, 5000));
}

#[tokio::test]
async fn a_discarded_an_aborted_and_a_dropped_snapshot_leave_nothing_in_the_bucket() {
    let watched = Watched::default();
    let store = fresh(&watched, options()).await;
    for size in [0, 50, 2000] {
        let staged = stage(&store, 5, &noise(1, size)).await.unwrap();
        assert_eq!(watched.names().await.len(), 2);
        store.discard_snapshot(staged.clone()).await.unwrap();
        assert_eq!(watched.names().await.len(), 0);
        let refused = store.save_state_and_snapshot(keep(), staged.clone()).await.unwrap_err();
        assert_eq!(refused.kind(), Invalid);
        assert_eq!(store.discard_snapshot(staged).await.unwrap_err().kind(), Invalid);
        for abort in [true, false] {
            let mut writer = store.stage_snapshot(meta(5)).await.unwrap();
            writer.write(noise(2, size)).await.unwrap();
            if abort {
                writer.abort().await.unwrap();
                assert_eq!(watched.open_uploads(), 0);
            } else {
                drop(writer);
            }
            watched.settle_to(0).await;
        }
    }
}

#[tokio::test]
async fn a_save_that_publishes_tells_the_size_when_its_receipt_resolves_and_not_before() {
    let (watched, disk) = (Watched::default(), disk());
    let store = open(&disk, &watched, options()).await;
    store.save_raft_state(entries(1..=10)).await.unwrap();
    let staged = stage(&store, 5, &noise(1, 777)).await.unwrap();
    disk.hold_saves();
    let publication = store.save_state_and_snapshot(keep(), staged.clone());
    let mut behind: Vec<_> = (11..=14).map(|index| store.save_raft_state(entries(index..=index))).collect();
    let refused = store.save_state_and_snapshot(keep(), staged).now_or_never();
    assert_eq!(refused.expect("at once").unwrap_err().kind(), Invalid);
    let refused = store.save_raft_state(entries(90..=90)).now_or_never();
    assert_eq!(refused.expect("at once").unwrap_err().kind(), Invalid);
    tokio::task::yield_now().await;
    assert_eq!(store.snapshot_size(), 0);
    disk.release_saves();
    assert!((&mut behind[3]).now_or_never().is_none(), "the publication has not resolved before it");
    behind.pop().unwrap().await.unwrap();
    assert_eq!(store.snapshot_size(), 777);
    for receipt in [publication].into_iter().chain(behind) {
        receipt.now_or_never().expect("they resolve in order").unwrap();
    }
    store.save_raft_state(entries(15..=15)).now_or_never().expect("nothing is held any more").unwrap();
}

#[tokio::test]
async fn a_close_returns_when_every_receipt_has_resolved() {
    let (watched, disk) = (Watched::default(), disk());
    let store = open(&disk, &watched, options()).await;
    store.save_raft_state(entries(1..=10)).await.unwrap();
    let staged = stage(&store, 5, &noise(1, 777)).await.unwrap();
    disk.hold_saves();
    let publication = store.save_state_and_snapshot(keep(), staged);
    let behind = store.save_raft_state(entries(11..=11));
    disk.release_saves();
    store.close().await.unwrap();
    for receipt in [publication, behind] {
        receipt.now_or_never().expect("it was accepted before the close").unwrap();
    }
}

#[tokio::test]
async fn what_is_no_snapshot_in_a_bucket_or_another_nodes_is_refused_at_opening() {
    let (watched, disk) = (Watched::default(), disk());
    let local = MemoryStorage::open(&disk, Expected::any()).unwrap();
    local.save_raft_state(entries(1..=10)).await.unwrap();
    publish(&local, 5, &noise(1, 100)).await;
    let refused = S3Storage::over(local, GroupId::ZERO, watched.bucket(), options()).await.unwrap_err();
    assert_eq!(refused.kind(), Incompatible, "{refused}");

    let disk = crate::support::disk();
    publish(&fresh_on(&disk, &watched).await, 5, &noise(1, 100)).await;
    let local = MemoryStorage::open(&disk, Expected::any()).unwrap();
    let refused = S3Storage::over(local, GroupId(1), watched.bucket(), options()).await.unwrap_err();
    assert_eq!(refused.kind(), WrongIdentity, "{refused}");
}

async fn fresh_on(disk: &MemoryDisk, watched: &Watched) -> Store {
    let store = open(disk, watched, options()).await;
    store.save_raft_state(entries(1..=10)).await.unwrap();
    store
}

#[tokio::test]
async fn plain_files_below_keep_state_and_manifest_across_an_opening() {
    let (watched, dir) = (Watched::default(), tempfile::tempdir().unwrap());
    let path = dir.path().join("node");
    FileStorage::create(&path, ClusterId(0xc), NodeId(1)).unwrap();
    let open = || async {
        let local = FileStorage::open(&path, Expected::any()).unwrap();
        S3Storage::over(local, GroupId::ZERO, watched.bucket(), options()).await.unwrap()
    };
    let store = open().await;
    let saves: Vec<_> = (1..=10).map(|index| store.save_raft_state(entries(index..=index))).collect();
    for save in saves {
        save.await.unwrap();
    }
    publish(&store, 5, &noise(1, 5000)).await;
    let orphan = stage(&store, 6, &noise(2, 5000)).await.unwrap();
    store.close().await.unwrap();
    let store = open().await;
    assert_eq!(store.read_raft_state().await.unwrap().snapshot, Some(meta(5)));
    assert_eq!((store.snapshot_size(), read(&store).await.unwrap()), (5000, noise(1, 5000).to_vec()));
    assert_eq!(store.save_state_and_snapshot(keep(), orphan).await.unwrap_err().kind(), Invalid);
    store.close().await.unwrap();
    assert!(store.stage_snapshot(meta(7)).await.is_err(), "it is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn receipts_keep_their_order_and_sizes_are_right_while_many_things_happen_at_once() {
    let (watched, dir) = (Watched::default(), tempfile::tempdir().unwrap());
    let path = dir.path().join("node");
    FileStorage::create(&path, ClusterId(0xc), NodeId(1)).unwrap();
    let local = FileStorage::open(&path, Expected::any()).unwrap();
    let store = Arc::new(S3Storage::over(local, GroupId::ZERO, watched.bucket(), options()).await.unwrap());
    store.save_raft_state(entries(1..=100)).await.unwrap();
    let unwanted = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for nth in 0..20 {
                let staged = stage(&*store, 100, &noise(nth, 700)).await.unwrap();
                store.discard_snapshot(staged).await.unwrap();
            }
        }
    });
    for nth in 1..=20 {
        let size = 100 * nth;
        let staged = stage(&*store, nth, &noise(nth, size as usize)).await.unwrap();
        let index = 100 + nth;
        let before = store.save_raft_state(entries(index..=index));
        let publication = store.save_state_and_snapshot(keep(), staged);
        let mut behind: Vec<_> = (0..5).map(|_| store.save_raft_state(entries(index..=index))).collect();
        behind.pop().unwrap().await.unwrap();
        assert_eq!(store.snapshot_size(), size, "once a save behind it has resolved");
        for receipt in [before, publication].into_iter().chain(behind) {
            receipt.now_or_never().expect("those before have resolved").unwrap();
        }
        assert_eq!(read(&*store).await.unwrap(), noise(nth, size as usize));
    }
    unwanted.await.unwrap();
    watched.settle_to(40).await;
    store.close().await.unwrap();
}
