//! Many groups in one engine: each a store of its own, though all share one log and one sync.

use eraft_core::GroupId;

use crate::{Crash, Handle, Lab, Model, make::*};

/// What one group saves, no other shows.
pub async fn groups_keep_apart(lab: &mut Lab) {
    let (handles, mut models) = some_groups(lab, &[0, 1, 7, u64::MAX]).await;
    for round in 1..=20 {
        for (storage, model) in handles.iter().zip(&mut models) {
            let at = lab.random.u64(1..=model.state.outline.last_index().0 + 1);
            lab.save(storage, model, append(vec![bulky(round, at, 100)])).await;
        }
    }
    all_show(lab, &handles, &models, "after twenty rounds").await;
    let meta = meta_of_last(&models[1]);
    lab.publish(&handles[1], &mut models[1], keep(), meta, &chunks(1, 2, 500)).await;
    all_show(lab, &handles, &models, "after a snapshot of one of them").await;
    drop(handles);
    let (handles, _) = reopen_groups(lab, &[0, 1, 7, u64::MAX]).await;
    all_show(lab, &handles, &models, "after opening again").await;
}

/// The engine knows its groups, in order, and only those.
pub async fn groups_are_listed(lab: &mut Lab) {
    let (handles, mut models) = some_groups(lab, &[9, 3, 300]).await;
    for (storage, model) in handles.iter().zip(&mut models) {
        lab.save(storage, model, set(voted(1, 0))).await;
    }
    let expected = vec![GroupId(3), GroupId(9), GroupId(300)];
    lab.equal("the groups", lab.engine().groups().await.unwrap(), expected.clone());
    lab.reopen().await;
    lab.equal("the groups after opening again", lab.engine().groups().await.unwrap(), expected);
}

/// A snapshot staged in one group is nothing to another, and closing one leaves the others open.
pub async fn groups_do_not_share_stages_or_handles(lab: &mut Lab) {
    let (handles, mut models) = some_groups(lab, &[1, 2]).await;
    for (storage, model) in handles.iter().zip(&mut models) {
        lab.save(storage, model, append(entries(1, 1, 5))).await;
    }
    let staged = lab.stage(&handles[0], meta(1, 3), &chunks(1, 1, 100)).await;
    lab.fails("publishing it in another group", handles[1].save_state_and_snapshot(keep(), staged).await);
    handles[0].close().await.unwrap();
    lab.save(&handles[1], &mut models[1], append(entries(1, 6, 6))).await;
    lab.shows(&handles[1], &models[1], "the other group").await;
    let again = lab.group(1).await;
    lab.shows(&again, &models[0], "the closed one, opened again").await;
}

/// Every group keeps what it acknowledged; their saves share frames, files and compactions.
pub async fn groups_each_survive_power_cuts(lab: &mut Lab) {
    let ids = [0, 1, 2, 3, 4];
    let (mut handles, mut models) = some_groups(lab, &ids).await;
    for round in 1..=6 {
        let mut receipts = Vec::new();
        for _ in 0..30 {
            let nth = lab.random.usize(..ids.len());
            let last = models[nth].state.outline.last_index().0;
            let update = append(vec![bulky(round, last + 1, lab.random.usize(..1500))]);
            receipts.push(lab.submit(&handles[nth], &mut models[nth], update));
        }
        for receipt in receipts {
            receipt.await.unwrap();
        }
        let nth = lab.random.usize(..ids.len());
        if !models[nth].entries.is_empty() {
            let meta = meta_of_last(&models[nth]);
            let (term, index) = (meta.last.term.0, meta.last.index.0);
            lab.publish(&handles[nth], &mut models[nth], compact(term, index), meta, &chunks(round, 1, 100)).await;
        }
        lab.crash_only(Crash::PowerLoss).await;
        lab.open().await.close().await.unwrap();
        handles.clear();
        for id in ids {
            handles.push(lab.group(id).await);
        }
        all_show(lab, &handles, &models, &format!("after power cut {round}")).await;
    }
}

/// What one group does wrong, or gives up, is nothing to the others that share its batch.
pub async fn groups_an_invalid_save_of_one_harms_no_other(lab: &mut Lab) {
    let (handles, mut models) = some_groups(lab, &[1, 2, 3]).await;
    for round in 1..=10 {
        let mut receipts = Vec::new();
        for (storage, model) in handles.iter().zip(&mut models) {
            receipts.push(lab.submit(storage, model, append(vec![bulky(1, round, 100)])));
            let wrong = storage.save_raft_state(append(entries(1, round + 2, round + 3)));
            lab.refused("a gap", wrong.await, eraft_core::StorageErrorKind::Invalid);
        }
        for receipt in receipts {
            receipt.await.unwrap();
        }
    }
    all_show(lab, &handles, &models, "after ten rounds").await;
}

/// A hundred groups, saved to at once: each finds its own again.
pub async fn groups_a_hundred_share_an_engine(lab: &mut Lab) {
    let ids: Vec<u64> = (0..100).map(|nth| nth * nth).collect();
    let (handles, mut models) = some_groups(lab, &ids).await;
    let mut receipts = Vec::new();
    for round in 1..=5 {
        for (storage, model) in handles.iter().zip(&mut models) {
            receipts.push(lab.submit(storage, model, append(vec![bulky(round, round, 50)])));
        }
    }
    for receipt in receipts {
        receipt.await.unwrap();
    }
    all_show(lab, &handles, &models, "after five rounds").await;
    lab.equal("the groups", lab.engine().groups().await.unwrap(), ids.iter().copied().map(GroupId).collect());
    drop(handles);
    let (handles, _) = reopen_groups(lab, &ids).await;
    all_show(lab, &handles, &models, "after opening again").await;
}

/// The policy of one group reads the sizes of that group.
pub async fn groups_have_sizes_of_their_own(lab: &mut Lab) {
    let (handles, mut models) = some_groups(lab, &[1, 2]).await;
    lab.save(&handles[1], &mut models[1], append(vec![bulky(1, 1, 10)])).await;
    let before = (handles[1].raft_state_size(), handles[1].snapshot_size());
    lab.save(&handles[0], &mut models[0], append((1..=20).map(|index| bulky(1, index, 5000)).collect())).await;
    lab.publish(&handles[0], &mut models[0], keep(), meta(1, 9), &chunks(1, 4, 1000)).await;
    let large = handles[0].raft_state_size();
    lab.holds("the busy group's state", large >= 100_000, || format!("{large} bytes for 100,000 of payload"));
    lab.equal("the busy group's snapshot", handles[0].snapshot_size(), 4000);
    lab.equal("the quiet group's", (handles[1].raft_state_size(), handles[1].snapshot_size()), before);
}

fn meta_of_last(model: &Model) -> eraft_core::SnapshotMeta {
    let last = model.state.outline.last();
    meta(last.term.0, last.index.0)
}

async fn some_groups(lab: &mut Lab, ids: &[u64]) -> (Vec<Handle>, Vec<Model>) {
    lab.fresh().await.close().await.unwrap();
    open_groups(lab, ids).await
}

async fn reopen_groups(lab: &mut Lab, ids: &[u64]) -> (Vec<Handle>, Vec<Model>) {
    lab.reopen().await.close().await.unwrap();
    open_groups(lab, ids).await
}

async fn open_groups(lab: &Lab, ids: &[u64]) -> (Vec<Handle>, Vec<Model>) {
    let mut handles = Vec::new();
    for id in ids {
        handles.push(lab.group(*id).await);
    }
    (handles, vec![lab.blank_model(); ids.len()])
}

async fn all_show(lab: &Lab, handles: &[Handle], models: &[Model], when: &str) {
    for (nth, (storage, model)) in handles.iter().zip(models).enumerate() {
        lab.shows(storage, model, &format!("{when}, group number {nth}")).await;
    }
}
