//! Who writes into a folder: one open store, and who has lost it learns so before it names anything.

use std::sync::{Arc, Mutex};

use eraft_core::*;
use eraft_storage_s3::{Fencing, S3Options};
use futures_util::FutureExt as _;
use object_store::{Error, ObjectStore as _, ObjectStoreExt as _, PutMode, path::Path};

use crate::support::*;

const OWNER: &str = "p/000000000000000c/0/1/owner";

fn owner() -> Path {
    Path::from(OWNER)
}

async fn title(watched: &Watched) -> Vec<u8> {
    watched.inner.get(&owner()).await.unwrap().bytes().await.unwrap().to_vec()
}

/// The epochs that names bear.
async fn epochs(watched: &Watched) -> Vec<String> {
    let mut epochs: Vec<_> =
        watched.names().await.iter().map(|name| name.rsplit('/').nth(1).unwrap().to_owned()).collect();
    epochs.sort();
    epochs.dedup();
    epochs
}

fn assert_fenced(error: &StorageError) {
    let text = error.to_string();
    assert_eq!(error.kind(), StorageErrorKind::Poisoned, "{text}");
    let process = std::process::id().to_string();
    for word in [OWNER, &process, "epoch 2", "since ", "stop both", "copy"] {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
}

/// Two processes on a directory and its copy.
async fn twins(watched: &Watched) -> (Store, Store) {
    (fresh(watched, options()).await, fresh(watched, options()).await)
}

#[tokio::test]
async fn the_folder_is_taken_before_the_first_write_and_not_before_and_the_epoch_rises_with_each_opening() {
    let (watched, disk) = (Watched::default(), disk());
    watched.watch_all();
    for epoch in 1..=3 {
        let store = open(&disk, &watched, options()).await;
        if epoch == 1 {
            store.save_raft_state(entries(1..=10)).await.unwrap();
        }
        assert_eq!(watched.take_asked(), [], "opening and saving");
        publish(&store, 2 + 2 * epoch, &noise(epoch, 600)).await;
        let asked: Vec<_> = watched.take_asked().into_iter().map(|asked| (asked.call, asked.path)).collect();
        let first = asked.iter().position(|(_, path)| path.contains("/1-")).unwrap();
        let taken = asked.iter().position(|(call, path)| matches!(call, Call::Put | Call::PutNew) && path == OWNER);
        assert!(taken.unwrap() < first, "{asked:?}");
        let of_a_snapshot = |(_, path): &(Call, String)| path.contains("/1-") && !path.ends_with(".upload");
        let written = asked.iter().rposition(of_a_snapshot);
        let looked = asked.iter().rposition(|(call, path)| *call == Call::Get && path == OWNER);
        assert!(written < looked, "the last look is at the owner: {asked:?}");
        publish(&store, 3 + 2 * epoch, &noise(epoch, 600)).await;
        let asked = watched.take_asked();
        let again = asked.iter().filter(|asked| asked.path.ends_with("owner"));
        assert!(again.clone().count() > 0 && again.clone().all(|asked| asked.call == Call::Get), "it is taken once");
        let mut expected: Vec<_> = (1..=epoch).map(|epoch| epoch.to_string()).collect();
        expected.sort();
        assert_eq!(epochs(&watched).await, expected);
        store.close().await.unwrap();
    }
    assert!(watched.all_names().await.iter().all(|name| !name.contains("probe")));
}

#[tokio::test]
async fn of_a_directory_and_its_copy_the_later_writes_and_the_earlier_takes_nothing_more() {
    let watched = Watched::default();
    let (first, second) = twins(&watched).await;
    publish(&first, 5, &noise(1, 600)).await;
    publish(&second, 5, &noise(2, 600)).await;
    // Whoever only saves cannot know it yet.
    first.save_raft_state(entries(11..=11)).await.unwrap();
    let before = watched.names().await;
    assert_fenced(&stage(&first, 6, &noise(3, 600)).await.unwrap_err());
    watched.settle_to(before.len()).await;
    assert_eq!(watched.names().await, before, "and it leaves nothing");

    assert_fenced(&first.save_raft_state(entries(12..=12)).await.unwrap_err());
    assert_fenced(&first.stage_snapshot(meta(7)).await.err().unwrap());
    assert_eq!(first.read_raft_state().await.unwrap().outline.last_index(), LogIndex(11));
    assert_eq!(read(&first).await.unwrap(), noise(1, 600), "reads go on");
    first.close().await.unwrap();

    publish(&second, 6, &noise(4, 600)).await;
    assert_eq!(read(&second).await.unwrap(), noise(4, 600));
}

#[tokio::test]
async fn a_folder_that_is_lost_while_a_snapshot_is_on_its_way_is_noticed_before_anything_names_it() {
    let watched = Watched::default();
    let (first, second) = twins(&watched).await;
    let staged = stage(&first, 5, &noise(1, 600)).await.unwrap();
    let mut writer = first.stage_snapshot(meta(6)).await.unwrap();
    writer.write(noise(2, 600)).await.unwrap();
    publish(&second, 5, &noise(3, 600)).await;
    assert_fenced(&writer.finish().await.unwrap_err());
    // What was staged while the folder was ours may not be published any more either: its twin may remove it.
    assert_fenced(&first.save_state_and_snapshot(keep(), staged.clone()).await.unwrap_err());
    assert_fenced(&first.discard_snapshot(staged).await.unwrap_err());
    assert_eq!(first.read_raft_state().await.unwrap().snapshot, None);
}

#[tokio::test]
async fn a_folder_of_another_store_is_never_taken_over_and_commits_go_on() {
    let watched = Watched::default();
    let lost = fresh(&watched, options()).await;
    publish(&lost, 5, &noise(1, 600)).await;
    drop(lost);
    let (before, names) = (title(&watched).await, watched.names().await);

    let disk = MemoryDisk::new(8);
    MemoryStorage::create(&disk, ClusterId(0xc), NodeId(1)).unwrap();
    let anew = open(&disk, &watched, options()).await;
    anew.save_raft_state(entries(1..=10)).await.unwrap();
    for _ in 0..2 {
        let error = stage(&anew, 5, &noise(2, 600)).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::WrongIdentity);
        let text = error.to_string();
        for word in [OWNER, "epoch 1", "restore a cluster", "another prefix", "expected store"] {
            assert!(text.contains(word), "no {word:?} in {text}");
        }
    }
    anew.save_raft_state(entries(11..=11)).await.unwrap();
    assert_eq!((title(&watched).await, watched.names().await), (before, names), "nothing was touched");
}

#[tokio::test]
async fn a_swap_whose_reply_is_lost_is_settled_by_what_is_there() {
    let (watched, disk) = (Watched::default(), disk());
    watched.watch_all();
    for epoch in 1..=2_u64 {
        let store = open(&disk, &watched, S3Options { seed: Some(epoch), ..options() }).await;
        if epoch == 1 {
            store.save_raft_state(entries(1..=10)).await.unwrap();
        }
        let mut lost = 0;
        watched.script(move |asked| match asked.call {
            Call::Put | Call::PutNew if asked.path == OWNER && lost == 0 => {
                lost += 1;
                Fate::Lose(busy())
            }
            _ => Fate::Pass,
        });
        publish(&store, 4 + epoch, &noise(1, 600)).await;
        watched.heal();
        let swaps = watched.take_asked().into_iter();
        let swaps = swaps.filter(|asked| asked.path == OWNER && matches!(asked.call, Call::Put | Call::PutNew));
        assert_eq!(swaps.count(), 1, "it was done, and is not done again");
        assert!(epochs(&watched).await.contains(&epoch.to_string()));
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_title_that_cannot_be_read_is_not_taken_over() {
    let (watched, disk) = (Watched::default(), disk());
    let store = open(&disk, &watched, options()).await;
    store.save_raft_state(entries(1..=10)).await.unwrap();
    publish(&store, 5, &noise(1, 600)).await;
    let mut damaged = title(&watched).await;
    *damaged.last_mut().unwrap() ^= 1;
    for bytes in [damaged, Vec::new(), vec![7; 1 << 20]] {
        watched.inner.put(&owner(), bytes.clone().into()).await.unwrap();
        let error = stage(&store, 6, &noise(2, 600)).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Unavailable, "{error}");
        store.save_raft_state(keep()).await.unwrap();
        let other = fresh(&watched, options()).await;
        let error = stage(&other, 6, &noise(2, 600)).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains(OWNER) && error.to_string().contains("remove the object"), "{error}");
        assert_eq!(title(&watched).await, bytes);
    }
    // One byte that was changed on its way is no damage.
    watched.inner.delete(&owner()).await.unwrap();
    let error = stage(&store, 6, &noise(2, 600)).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unavailable, "gone is not lost: {error}");
    store.close().await.unwrap();
    let store = open(&disk, &watched, options()).await;
    publish(&store, 6, &noise(2, 600)).await;
    watched.watch_all();
    let mut once = true;
    watched.script(move |asked| {
        let change = asked.call == Call::Get && asked.path == OWNER && std::mem::take(&mut once);
        let flip = |mut bytes: Vec<u8>| {
            bytes[40] ^= 1;
            vec![Ok(bytes.into())]
        };
        if change { Fate::Change(flip) } else { Fate::Pass }
    });
    publish(&store, 7, &noise(3, 600)).await;
}

#[tokio::test]
async fn a_bucket_that_ignores_preconditions_is_refused_or_used_without_fencing() {
    for ignored in [Call::PutNew, Call::Put] {
        let watched = Watched::default();
        watched.ignore_preconditions(ignored);
        let store = fresh(&watched, options()).await;
        let error = stage(&store, 5, &noise(1, 600)).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Incompatible, "{error}");
        for word in ["ignores", "probe-", "fencing", "choose a server"] {
            assert!(error.to_string().contains(word), "no {word:?} in {error}");
        }
        assert_eq!(watched.all_names().await, Vec::<String>::new(), "nothing was written");
        store.save_raft_state(entries(11..=11)).await.unwrap();
        store.close().await.unwrap();

        let store = fresh(&watched, S3Options { fencing: Fencing::Off, ..options() }).await;
        publish(&store, 5, &noise(1, 600)).await;
        assert_eq!(epochs(&watched).await, ["0"]);
        assert_eq!(read(&store).await.unwrap(), noise(1, 600));
    }
}

#[tokio::test]
async fn a_precondition_whose_trial_fails_or_whose_reply_is_lost_is_no_verdict() {
    for fate in [|| Fate::Fail(busy()), || Fate::Lose(busy())] {
        for nth in 0..3 {
            let watched = Watched::default();
            watched.watch_all();
            let mut seen = 0;
            watched.script(move |asked| {
                let tried = matches!(asked.call, Call::Put | Call::PutNew) && asked.path.contains("probe-");
                seen += usize::from(tried);
                if tried && seen == nth + 1 { fate() } else { Fate::Pass }
            });
            let store = fresh(&watched, options()).await;
            publish(&store, 5, &noise(1, 600)).await;
        }
    }
    // The store lets one through, and its reply is lost.
    let watched = Watched::default();
    watched.watch_all();
    watched.ignore_preconditions(Call::PutNew);
    let mut creations = 0;
    watched.script(move |asked| {
        creations += usize::from(asked.call == Call::PutNew && asked.path.contains("probe-"));
        if creations == 2 { Fate::Lose(busy()) } else { Fate::Pass }
    });
    let store = fresh(&watched, options()).await;
    let error = stage(&store, 5, &noise(1, 600)).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Incompatible, "{error}");
}

#[tokio::test]
async fn of_two_that_take_a_folder_at_once_exactly_one_has_it() {
    for round in 0..1000 {
        let watched = Watched::default();
        let twins = twins(&watched).await;
        let order = Arc::new(Mutex::new(fastrand::Rng::with_seed(round)));
        watched.watch_all();
        watched.script(move |_| {
            let delay = order.lock().unwrap().u64(0..3);
            if delay == 0 { Fate::Pass } else { Fate::Late(std::time::Duration::from_micros(delay)) }
        });
        let bytes = noise(round, 150);
        let (first, second) = (stage(&twins.0, 5, &bytes), stage(&twins.1, 5, &bytes));
        // Whoever staged did so while it had the folder; now one of them has it.
        let outcomes: [_; 2] = tokio::join!(first, second).into();
        assert!(outcomes.iter().any(Result::is_ok), "{round}: {outcomes:?}");
        let again: [_; 2] = [stage(&twins.0, 6, &bytes).await, stage(&twins.1, 6, &bytes).await];
        let lost: Vec<_> = again.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert_eq!(lost.len(), 1, "{round}: {again:?}");
        assert_eq!(lost[0].kind(), StorageErrorKind::Poisoned, "{round}");
    }
}

#[tokio::test]
async fn a_title_is_put_only_where_nothing_came_between() {
    let watched = Watched::default();
    watched.watch_all();
    let rival = fresh(&watched, options()).await;
    let rival = Arc::new(rival);
    let store = fresh(&watched, options()).await;
    publish(&*rival, 5, &noise(1, 150)).await;
    // Between its look and its swap the rival's title changes.
    let (inner, mut once) = (Arc::clone(&watched.inner), true);
    let before = title(&watched).await;
    watched.script(move |asked| {
        if asked.call == Call::Put && asked.path == OWNER && std::mem::take(&mut once) {
            let owner = owner();
            inner.put(&owner, before.clone().into()).now_or_never().unwrap().unwrap();
        }
        Fate::Pass
    });
    publish(&store, 5, &noise(2, 150)).await;
    let swaps = watched.take_asked().into_iter().filter(|asked| asked.call == Call::Put && asked.path == OWNER);
    assert_eq!(swaps.count(), 2, "the first was refused");
}

#[test]
fn in_memory_preconditions_are_honoured() {
    // What the tests here stand on.
    let inner = object_store::memory::InMemory::new();
    let put = |mode: PutMode| inner.put_opts(&owner(), "x".into(), mode.into()).now_or_never().unwrap();
    let first = put(PutMode::Create).unwrap();
    assert!(matches!(put(PutMode::Create), Err(Error::AlreadyExists { .. })));
    put(PutMode::Update(first.clone().into())).unwrap();
    assert!(matches!(put(PutMode::Update(first.into())), Err(Error::Precondition { .. })));
}
