//! A cluster from the bucket alone: whole, under a new identity, or not at all, whatever fails and whenever it is given up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use eraft_core::{StorageErrorKind::*, *};
use eraft_storage_s3::{BucketSnapshot, S3Storage, SnapshotChoice, restore_cluster};
use object_store::{ObjectStoreExt as _, path::Path};
use tokio::sync::Notify;

use crate::{
    listing::{list, overwrite, put, store_of, three},
    support::*,
};

const ME: NodeId = NodeId(4);

fn voter() -> (NodeId, Bytes) {
    (ME, Bytes::from_static(b"here"))
}

/// What a caller makes a local store with.
fn create(disk: &MemoryDisk) -> impl FnOnce(ClusterId, NodeId) -> std::future::Ready<Result<MemoryStorage>> {
    let disk = disk.clone();
    move |cluster, node| {
        let created = MemoryStorage::create(&disk, cluster, node);
        std::future::ready(created.and_then(|_| MemoryStorage::open(&disk, Expected::exactly(cluster, node))))
    }
}

async fn restore(watched: &Watched, snapshot: &BucketSnapshot, disk: &MemoryDisk) -> Result<Store> {
    restore_cluster(watched.bucket(), snapshot, voter(), options(), create(disk), |_| ()).await
}

/// What is in the bucket, with its bytes.
async fn contents(watched: &Watched) -> Vec<(String, Bytes)> {
    let mut contents = Vec::new();
    for name in watched.names().await {
        let bytes = watched.inner.get(&Path::from(name.as_str())).await.unwrap().bytes().await.unwrap();
        contents.push((name, bytes));
    }
    contents
}

#[tokio::test]
async fn a_cluster_comes_back_from_the_bucket_alone_under_one_voter_and_an_id_of_its_own() {
    let watched = Watched::default();
    let found = three(&watched).await;
    let before = contents(&watched).await;
    let disk = MemoryDisk::new(3);
    let mut told = Vec::new();
    let newest = SnapshotChoice::default().of(&found).unwrap();
    let progress = |bytes| told.push(bytes);
    let store = restore_cluster(watched.bucket(), newest, voter(), options(), create(&disk), progress).await.unwrap();
    assert_eq!(told, [100, 200, 300, 400, 500]);

    let state = store.read_raft_state().await.unwrap();
    let last = EntryId::new(1, 7);
    assert_eq!((state.identity.node, state.outline.base(), state.outline.last()), (ME, last, last));
    assert_ne!(state.identity.cluster, ClusterId(0xc));
    assert_eq!(state.hard_state, HardState { term: Term(1), vote: None, commit: LogIndex(7) });
    let conf_state = ConfState::of_voters([voter()]);
    assert_eq!(state.snapshot, Some(SnapshotMeta { last, conf_state }));
    assert_eq!(read(&store).await.unwrap(), noise(7, 500));

    let after = contents(&watched).await;
    let own = format!("p/{}/0/4/1/1-7-", state.identity.cluster);
    let (new, old): (Vec<_>, Vec<_>) = after.into_iter().partition(|(name, _)| name.starts_with(&own));
    assert_eq!(old, before, "what the lost cluster left is as it was");
    assert_eq!(new.len(), 2);
    for (name, _) in old {
        watched.inner.delete(&Path::from(name)).await.unwrap();
    }
    drop(store);
    let store = open(&disk, &watched, options()).await;
    assert_eq!(read(&store).await.unwrap(), noise(7, 500), "its own copy, after opening again");
    assert_eq!(list(&watched).await.len(), 1);
}

#[tokio::test]
async fn a_node_started_on_a_restored_store_elects_itself_and_goes_on_behind_the_snapshot() {
    let watched = Watched::default();
    put(&store_of(&watched, 0xc, 3, 1).await, 9, 7, &noise(7, 500)).await;
    let disk = MemoryDisk::new(3);
    let store = restore(&watched, &list(&watched).await[0], &disk).await.unwrap();
    let state = store.read_raft_state().await.unwrap();
    let now = Now(Duration::ZERO);
    // The state machine was restored from the snapshot.
    let mut raft = Raft::restore(Config::new(ME, 1), state, LogIndex(7), now);
    assert_eq!(raft.deadline(), now, "the only voter waits for nobody");
    raft.step(now, Event::Timeout);
    let mut applied = LogIndex(7);
    let mut proposed = false;
    for _ in 0..20 {
        let ready = raft.ready();
        assert_eq!(ready.messages, []);
        for save in ready.saves {
            store.save_raft_state(save.update).await.unwrap();
            raft.step(now, Event::Saved { id: save.id });
        }
        if let Some(range) = ready.apply {
            applied = range.end.prev();
            raft.step(now, Event::Applied { index: applied });
        }
        if !proposed && raft.status().role == Role::Leader {
            proposed = true;
            raft.step(now, Event::Propose { id: RequestId(1), payload: Bytes::from_static(b"x") });
        }
    }
    let state = store.read_raft_state().await.unwrap();
    assert_eq!(state.hard_state.term, Term(10));
    assert_eq!((applied, state.outline.last()), (LogIndex(9), EntryId::new(10, 9)), "its first entry, and a command");
}

#[tokio::test]
async fn an_incomplete_or_damaged_snapshot_is_refused_before_a_store_is_made() {
    let watched = Watched::default();
    let found = three(&watched).await;
    watched.inner.delete(&Path::from(found[0].object.as_str())).await.unwrap();
    overwrite(&watched, &Path::from(format!("{}.manifest", found[1].object)), "damage").await;
    for (snapshot, kind) in [
        (found[0].clone(), Corrupt),
        (found[1].clone(), Corrupt),
        (BucketSnapshot { object: "p/1-7".into(), ..found[2].clone() }, Invalid),
        (BucketSnapshot { group: GroupId(8), ..found[2].clone() }, Invalid),
        (BucketSnapshot { object: found[2].object.replace("/1-3-", "/1-2-"), ..found[2].clone() }, NotInitialised),
    ] {
        let disk = MemoryDisk::new(3);
        let refused = restore(&watched, &snapshot, &disk).await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{refused}");
        assert_eq!(MemoryStorage::open(&disk, Expected::any()).unwrap_err().kind(), NotInitialised);
    }
}

#[tokio::test]
async fn bytes_that_are_damaged_at_rest_are_found_while_they_are_read_and_nothing_comes_of_it() {
    let watched = Watched::default();
    let found = three(&watched).await;
    for place in (0..500).step_by(11) {
        let object = Path::from(found[0].object.as_str());
        let mut bytes = noise(7, 500).to_vec();
        bytes[place] ^= 1;
        overwrite(&watched, &object, bytes).await;
        let disk = MemoryDisk::new(3);
        let error = restore(&watched, &found[0], &disk).await.unwrap_err();
        assert_eq!(error.kind(), Corrupt);
        assert!(error.to_string().contains("choose another one"), "{error}");
        watched.settle_to(6).await;
        let local = MemoryStorage::open(&disk, Expected::any()).unwrap();
        assert!(local.read_raft_state().await.unwrap().is_blank());
    }
}

#[tokio::test]
async fn a_store_that_is_not_fresh_or_not_as_it_was_told_is_left_alone() {
    let watched = Watched::default();
    let found = three(&watched).await;
    let makers: [fn(&MemoryDisk, ClusterId, NodeId); 3] = [
        |disk, _, node| assert!(MemoryStorage::create(disk, ClusterId(0xc), node).is_ok()),
        |disk, cluster, _| assert!(MemoryStorage::create(disk, cluster, NodeId(1)).is_ok()),
        |disk, cluster, node| {
            MemoryStorage::create(disk, cluster, node).unwrap();
            let store = MemoryStorage::open(disk, Expected::any()).unwrap();
            drop(store.save_raft_state(entries(1..=3)));
        },
    ];
    for make in makers {
        let disk = MemoryDisk::new(3);
        let create = |cluster, node| {
            make(&disk, cluster, node);
            std::future::ready(MemoryStorage::open(&disk, Expected::any()))
        };
        let restored = restore_cluster(watched.bucket(), &found[0], voter(), options(), create, |_| ()).await;
        assert_eq!(restored.unwrap_err().kind(), Invalid);
        assert_eq!(
            MemoryStorage::open(&disk, Expected::any()).unwrap().read_raft_state().await.unwrap().snapshot,
            None
        );
    }
    let nobody = |_, _| std::future::ready(Err::<MemoryStorage, _>(StorageError::new(Full, "creating", "no room")));
    let restored = restore_cluster(watched.bucket(), &found[0], voter(), options(), nobody, |_| ()).await;
    assert_eq!(restored.unwrap_err().kind(), Full);
    assert_eq!(watched.names().await.len(), 6);
}

/// Whole, or blank: what is on the disk after a restore that may have ended anywhere.
async fn judge(watched: &Watched, disk: &MemoryDisk) -> bool {
    let local = match MemoryStorage::open(disk, Expected::any()) {
        Ok(local) => local,
        Err(error) => {
            assert_eq!(error.kind(), NotInitialised);
            return false;
        }
    };
    let state = local.read_raft_state().await.unwrap();
    if state.is_blank() {
        return false;
    }
    assert_eq!(state.snapshot.unwrap().last, EntryId::new(1, 7));
    let store = S3Storage::over(local, GroupId::ZERO, watched.bucket(), options()).await.unwrap();
    assert_eq!(read(&store).await.unwrap(), noise(7, 500));
    true
}

#[tokio::test]
async fn whichever_call_to_the_bucket_fails_the_new_store_is_blank_or_whole() {
    let fates: [fn() -> Fate; 4] =
        [|| Fate::Fail(denied()), || Fate::Lose(denied()), || Fate::Fail(busy()), || Fate::Lose(busy())];
    for fate in fates {
        let mut broken = 0;
        for nth in 0.. {
            let watched = Watched::default();
            let found = three(&watched).await;
            let (calls, reached) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (count, hit) = (Arc::clone(&calls), Arc::clone(&reached));
            watched.script(move |_| {
                let now = count.fetch_add(1, Ordering::Relaxed);
                if now == nth {
                    hit.store(1, Ordering::Relaxed);
                    return fate();
                }
                Fate::Pass
            });
            let disk = MemoryDisk::new(3);
            let restored = restore(&watched, &found[0], &disk).await;
            watched.heal();
            broken += usize::from(restored.is_err());
            let came_back = restored.is_ok();
            drop(restored);
            assert_eq!(judge(&watched, &disk).await, came_back, "call {nth}");
            // Of an upload whose reply was lost nobody knows the id.
            if !came_back && matches!(fate(), Fate::Fail(_)) {
                watched.settle_to(6).await;
            }
            if reached.load(Ordering::Relaxed) == 0 {
                assert!(nth > 10, "{nth} calls");
                break;
            }
        }
        let passes = matches!(fate(), Fate::Fail(error) | Fate::Lose(error) if error.to_string().contains("503"));
        assert_eq!(broken == 0, passes, "{broken} were broken");
    }
}

#[tokio::test]
async fn whichever_call_it_is_given_up_at_the_new_store_is_blank_or_whole() {
    for nth in 0.. {
        let watched = Watched::default();
        let found = three(&watched).await;
        let (reached, calls) = (Arc::new(Notify::new()), AtomicUsize::new(0));
        let tell = Arc::clone(&reached);
        watched.script(move |_| {
            if calls.fetch_add(1, Ordering::Relaxed) < nth {
                return Fate::Pass;
            }
            tell.notify_one();
            Fate::Hang
        });
        let disk = MemoryDisk::new(3);
        let finished = tokio::select! {
            restored = restore(&watched, &found[0], &disk) => restored.is_ok(),
            () = reached.notified() => false,
        };
        watched.heal();
        // A kill does not wait for clean-ups either.
        assert_eq!(judge(&watched, &disk).await, finished, "call {nth}");
        if finished {
            assert!(nth > 10, "{nth} calls");
            return;
        }
    }
}

#[tokio::test]
async fn a_save_that_fails_leaves_the_store_blank_and_says_so() {
    let watched = Watched::default();
    let found = three(&watched).await;
    let disk = MemoryDisk::new(3);
    let failing = disk.clone();
    let create = |cluster, node| {
        MemoryStorage::create(&failing, cluster, node).unwrap();
        let opened = MemoryStorage::open(&failing, Expected::any());
        failing.fail_next_save(StorageError::new(Full, "saving", "no room"));
        std::future::ready(opened)
    };
    let restored = restore_cluster(watched.bucket(), &found[0], voter(), options(), create, |_| ()).await;
    assert_eq!(restored.unwrap_err().kind(), Full);
    assert!(!judge(&watched, &disk).await);
}
