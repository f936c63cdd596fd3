//! What an operator is shown of a bucket, and which snapshot is chosen: names and manifests that lie are found out.

use std::sync::Arc;

use bytes::Bytes;
use eraft_core::{StorageErrorKind::*, *};
use eraft_storage_s3::{
    BucketSnapshot, S3Options, S3Storage, SnapshotChoice,
    SnapshotCondition::{self, *},
    list_snapshots,
};
use object_store::{ObjectStoreExt as _, Result as Answer, path::Path};

use crate::support::*;

/// A store of that node, which ten entries are in.
pub(crate) async fn store_of(watched: &Watched, cluster: u64, group: u64, node: u64) -> Store {
    let disk = MemoryDisk::new(cluster ^ node);
    MemoryStorage::create(&disk, ClusterId(cluster), NodeId(node)).unwrap();
    let local = MemoryStorage::open(&disk, Expected::any()).unwrap();
    let store = S3Storage::over(local, GroupId(group), watched.bucket(), options()).await.unwrap();
    store.save_raft_state(entries(1..=10)).await.unwrap();
    store
}

/// Puts a snapshot into the bucket, as a node does that is killed before it publishes it.
pub(crate) async fn put(store: &Store, term: u64, index: u64, bytes: &Bytes) {
    let meta = SnapshotMeta { last: EntryId::new(term, index), ..meta(index) };
    let mut writer = store.stage_snapshot(meta).await.unwrap();
    writer.write(bytes.clone()).await.unwrap();
    writer.finish().await.unwrap();
}

pub(crate) async fn list(watched: &Watched) -> Vec<BucketSnapshot> {
    list_snapshots(watched.bucket(), &options()).await.unwrap()
}

/// Three snapshots of node 1, at 1-3, 1-5 and 1-7, the newest first.
pub(crate) async fn three(watched: &Watched) -> Vec<BucketSnapshot> {
    let store = store_of(watched, 0xc, 0, 1).await;
    for index in [5, 7, 3] {
        put(&store, 1, index, &noise(index, 500)).await;
    }
    list(watched).await
}

fn manifest_of(snapshot: &BucketSnapshot) -> Path {
    Path::from(format!("{}.manifest", snapshot.object))
}

async fn bytes_at(watched: &Watched, path: &Path) -> Bytes {
    watched.inner.get(path).await.unwrap().bytes().await.unwrap()
}

pub(crate) async fn overwrite(watched: &Watched, path: &Path, bytes: impl Into<Bytes>) {
    watched.inner.put(path, bytes.into().into()).await.unwrap();
}

fn what(condition: &SnapshotCondition) -> &'static str {
    match condition {
        Complete { .. } => "complete",
        Incomplete { .. } => "incomplete",
        Damaged { .. } => "damaged",
    }
}

fn reason(condition: &SnapshotCondition) -> &str {
    match condition {
        Complete { .. } => panic!("it is complete"),
        Incomplete { reason } | Damaged { reason } => reason,
    }
}

#[tokio::test]
async fn snapshots_of_all_clusters_groups_and_nodes_are_listed_the_newest_first() {
    let watched = Watched::default();
    assert_eq!(list(&watched).await, []);
    let made = [(0xc, 0, 1, 1, 9), (0xc, 0, 2, 2, 4), (0xd, 0, 1, 2, 4), (0xc, 7, 1, 2, 3), (0xc, 0, 1, 3, 1)];
    for (nth, (cluster, group, node, term, index)) in made.into_iter().enumerate() {
        put(&store_of(&watched, cluster, group, node).await, term, index, &noise(1, nth * 100)).await;
    }
    for foreign in ["p/owner", "p/x.manifest", "p/000000000000000c/0/1/0/1-2-3.manifest", "q/1-2-0000000000000003"] {
        overwrite(&watched, &Path::from(foreign), "not ours").await;
    }
    let found = list(&watched).await;
    let told: Vec<_> =
        found.iter().map(|it| (it.cluster.0, it.group.0, it.node.0, it.last, what(&it.condition))).collect();
    let expected = [4, 1, 2, 3, 0].map(|nth: usize| {
        let (cluster, group, node, term, index) = made[nth];
        (cluster, group, node, EntryId::new(term, index), "complete")
    });
    assert_eq!(told, expected);
    assert_eq!(found[0].condition, Complete { size_bytes: 400 });
    let names = watched.names().await;
    assert!(found.iter().all(|it| names.contains(&it.object)), "{found:?}");
    for (prefix, count) in [("p/000000000000000c", 4), ("p/000000000000000c/0/1", 2), ("", 5), ("q", 0)] {
        let options = S3Options { prefix: prefix.into(), ..options() };
        assert_eq!(list_snapshots(watched.bucket(), &options).await.unwrap().len(), count, "{prefix:?}");
    }
}

#[tokio::test]
async fn a_snapshot_whose_object_is_missing_or_of_another_length_is_incomplete() {
    let watched = Watched::default();
    let found = three(&watched).await;
    watched.inner.delete(&Path::from(found[0].object.as_str())).await.unwrap();
    let short = bytes_at(&watched, &Path::from(found[1].object.as_str())).await.slice(1..);
    overwrite(&watched, &Path::from(found[1].object.as_str()), short).await;
    let found = list(&watched).await;
    assert_eq!(
        found.iter().map(|it| what(&it.condition)).collect::<Vec<_>>(),
        ["incomplete", "incomplete", "complete"]
    );
    assert_eq!(reason(&found[0].condition), "its object is missing");
    assert_eq!(reason(&found[1].condition), "its object has 499 bytes, expected 500");
}

#[tokio::test]
async fn a_manifest_that_does_not_read_as_one_is_damaged_wherever_it_is_cut_or_overwritten() {
    let watched = Watched::default();
    let [newest, ..] = &three(&watched).await[..] else { panic!("there are three") };
    let path = manifest_of(newest);
    let whole = bytes_at(&watched, &path).await;
    let mut lies: Vec<Bytes> = (0..whole.len()).step_by(3).map(|length| whole.slice(..length)).collect();
    lies.push([&whole[..], b"x"].concat().into());
    lies.push(vec![0xff; whole.len()].into());
    for lie in lies {
        overwrite(&watched, &path, lie.clone()).await;
        let found = list(&watched).await;
        assert_eq!(what(&found[0].condition), "damaged", "{lie:?}: {found:?}");
        assert_eq!(found[0].last, EntryId::new(1, 7), "what its name says");
    }
    overwrite(&watched, &path, whole).await;
    assert_eq!(what(&list(&watched).await[0].condition), "complete");
}

#[tokio::test]
async fn a_name_is_not_believed_where_its_manifest_says_something_else() {
    let watched = Watched::default();
    let found = three(&watched).await;
    let oldest = &found[2];
    let object = Path::from(oldest.object.as_str());
    let renamed = [
        oldest.object.replace("/1-3-", "/9-9-"),
        oldest.object.replace("/1-3-", "/1-4-"),
        oldest.object.replace("000000000000000c", "000000000000000d"),
        oldest.object.replace("/0/1/1/", "/0/2/1/"),
        format!("copy/{}", oldest.object),
    ];
    for name in renamed {
        watched.inner.copy(&object, &Path::from(name.as_str())).await.unwrap();
        let manifest = Path::from(format!("{name}.manifest"));
        watched.inner.copy(&manifest_of(oldest), &manifest).await.unwrap();
        let options = S3Options { prefix: String::new(), ..options() };
        let found = list_snapshots(watched.bucket(), &options).await.unwrap();
        let copy = found.iter().find(|it| it.object == name).unwrap();
        assert_eq!(what(&copy.condition), "damaged");
        assert!(reason(&copy.condition).contains(&oldest.object), "{copy:?}");
        assert_eq!(SnapshotChoice::default().of(&found).unwrap().last, EntryId::new(1, 7));
        watched.inner.delete(&manifest).await.unwrap();
    }
}

fn flipped(mut bytes: Vec<u8>) -> Vec<Answer<Bytes>> {
    bytes[0] ^= 0x10;
    vec![Ok(bytes.into())]
}

fn short(bytes: Vec<u8>) -> Vec<Answer<Bytes>> {
    vec![Ok(Bytes::from(bytes).slice(1..))]
}

#[tokio::test]
async fn what_goes_wrong_on_the_way_is_asked_again_and_nothing_at_rest_is_blamed() {
    let watched = Watched::default();
    let expected = three(&watched).await;
    let troubles: [(Call, fn() -> Fate); 6] = [
        (Call::List, || Fate::Fail(busy())),
        (Call::List, || Fate::Lose(busy())),
        (Call::Head, || Fate::Fail(busy())),
        (Call::Get, || Fate::Fail(busy())),
        (Call::Get, || Fate::Change(flipped)),
        (Call::Get, || Fate::Change(short)),
    ];
    for (call, fate) in troubles {
        watched.once(call, fate());
        assert_eq!(list(&watched).await, expected, "{call:?}");
    }
}

#[tokio::test]
async fn a_bucket_that_does_not_answer_is_unavailable_and_no_snapshot_is_called_damaged() {
    let watched = Watched::default();
    three(&watched).await;
    for call in [Call::List, Call::Head, Call::Get] {
        for fate in [|| Fate::Fail(busy()), || Fate::Fail(denied())] {
            watched.always(call, fate);
            let error = list_snapshots(watched.bucket(), &options()).await.unwrap_err();
            assert_eq!(error.kind(), Unavailable, "{call:?}: {error}");
        }
    }
}

#[tokio::test]
async fn a_snapshot_that_is_removed_meanwhile_is_not_listed() {
    for call in [Call::Head, Call::Get] {
        let watched = Watched::default();
        three(&watched).await;
        let gone = move |asked: &Asked| {
            let its = asked.call == call && asked.path.contains("/1-5-") && asked.path.ends_with(".manifest");
            if its { Fate::Fail(absent(&Path::from("it"))) } else { Fate::Pass }
        };
        watched.script(gone);
        let left: Vec<_> = list(&watched).await.iter().map(|it| it.last.index.0).collect();
        assert_eq!(left, [7, 3]);
    }
}

#[tokio::test]
async fn the_newest_complete_snapshot_is_chosen_and_never_an_incomplete_or_a_damaged_one() {
    let watched = Watched::default();
    let found = three(&watched).await;
    let at = |index| SnapshotChoice { at: Some(EntryId::new(1, index)), ..SnapshotChoice::default() };
    assert_eq!(SnapshotChoice::default().of(&found).unwrap(), &found[0]);
    assert_eq!(at(5).of(&found).unwrap(), &found[1]);
    assert_eq!(at(6).of(&found).unwrap_err().kind(), NotInitialised);
    assert_eq!(SnapshotChoice::default().of(&[]).unwrap_err().kind(), NotInitialised);

    watched.inner.delete(&Path::from(found[0].object.as_str())).await.unwrap();
    let found = list(&watched).await;
    assert_eq!(SnapshotChoice::default().of(&found).unwrap(), &found[1]);
    let refused = at(7).of(&found).unwrap_err();
    assert_eq!(refused.kind(), Corrupt);
    assert!(refused.to_string().contains("its object is missing"), "{refused}");

    overwrite(&watched, &manifest_of(&found[1]), "damage").await;
    let found = list(&watched).await;
    assert_eq!(SnapshotChoice::default().of(&found).unwrap(), &found[2]);
    assert_eq!(at(5).of(&found).unwrap_err().kind(), Corrupt);
}

#[tokio::test]
async fn of_several_clusters_or_groups_nothing_is_chosen_until_one_is_named() {
    let watched = Watched::default();
    for (cluster, group, index) in [(0xc, 0, 5), (0xd, 0, 9), (0xc, 1, 7)] {
        put(&store_of(&watched, cluster, group, 1).await, 1, index, &noise(1, 10)).await;
    }
    let found = list(&watched).await;
    let refused = SnapshotChoice::default().of(&found).unwrap_err();
    assert_eq!(refused.kind(), Invalid);
    for named in ["000000000000000c group 0", "000000000000000c group 1", "000000000000000d group 0"] {
        assert!(refused.to_string().contains(named), "{refused}");
    }
    let of_cluster = SnapshotChoice { cluster: Some(ClusterId(0xc)), ..SnapshotChoice::default() };
    assert_eq!(of_cluster.of(&found).unwrap_err().kind(), Invalid);
    let of_group = SnapshotChoice { group: Some(GroupId::ZERO), ..of_cluster };
    assert_eq!(of_group.of(&found).unwrap().last, EntryId::new(1, 5));
    let other = SnapshotChoice { cluster: Some(ClusterId(0xd)), ..SnapshotChoice::default() };
    assert_eq!(other.of(&found).unwrap().last, EntryId::new(1, 9));
}

#[test]
fn a_bucket_is_listed_within_a_runtime_and_with_options_that_can_be_kept() {
    let list = |options| {
        futures_util::FutureExt::now_or_never(async move {
            list_snapshots(Arc::new(object_store::memory::InMemory::new()), &options).await
        })
    };
    assert_eq!(list(options()).unwrap().unwrap_err().kind(), Invalid);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _within = runtime.enter();
    for broken in [S3Options { reads_in_flight: 0, ..options() }, S3Options { prefix: "a//b".into(), ..options() }] {
        assert_eq!(list(broken).unwrap().unwrap_err().kind(), Invalid);
    }
}
