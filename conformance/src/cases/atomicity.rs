//! Line 2: one save is atomic across a crash, and a crash keeps a prefix of the saves.

use eraft_core::{RaftStateUpdate, Receipt};

use crate::{Content, Crash, Handle, Lab, Model, make::*};

/// Saves under way when the process dies: some first ones are there, the rest is not.
pub async fn line_02_a_kill_keeps_a_prefix_of_the_saves(lab: &mut Lab) {
    prefix(lab, Crash::Kill).await;
}

/// The same when the power goes, which may tear and reorder whatever was not synced.
pub async fn line_02_a_power_cut_keeps_a_prefix_of_the_saves(lab: &mut Lab) {
    prefix(lab, Crash::PowerLoss).await;
}

/// Several rounds of un-awaited saves of every size, each ended by a crash at a random moment.
async fn prefix(lab: &mut Lab, crash: Crash) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for round in 1..=10 {
        let mut history = vec![model.clone()];
        let mut receipts = Vec::new();
        for _ in 0..lab.random.usize(1..30) {
            let last = model.state.outline.last_index().0;
            let at = (last + 1).saturating_sub(lab.random.u64(..3)).max(1);
            let size_bytes = if lab.random.u8(..) < 30 { 20_000 } else { lab.random.usize(..600) };
            let update = RaftStateUpdate {
                hard_state: lab.random.bool().then(|| voted(round, last)),
                ..append(vec![bulky(round, at, size_bytes), bulky(round, at + 1, 10)])
            };
            receipts.push(lab.submit(&storage, &mut model, update));
            history.push(model.clone());
        }
        let acknowledged = wait_for_some(lab, receipts).await;
        storage = lab.crash(crash).await;
        let kept = lab.shows_one_of(&storage, &history, acknowledged, &format!("after crash {round}")).await;
        model = history.swap_remove(kept);
    }
}

/// Awaits a random number of the receipts: how many are resolved for certain.
async fn wait_for_some(lab: &mut Lab, receipts: Vec<Receipt>) -> usize {
    let wanted = lab.random.usize(..=receipts.len());
    for receipt in receipts.into_iter().take(wanted) {
        receipt.await.unwrap();
    }
    wanted
}

/// A large save spans sectors, pages, perhaps files: all of it or nothing.
pub async fn line_02_a_large_save_is_never_split(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for round in 1..=5 {
        let mut history = vec![model.clone()];
        let last = model.state.outline.last_index().0;
        let many: Vec<_> = (last + 1..=last + 40).map(|index| bulky(round, index, 5000)).collect();
        let update = RaftStateUpdate { hard_state: Some(voted(round, last)), ..append(many) };
        let receipt = lab.submit(&storage, &mut model, update);
        history.push(model.clone());
        let acknowledged = if round % 2 == 0 { wait_for_some(lab, vec![receipt]).await } else { 0 };
        storage = lab.crash(Crash::PowerLoss).await;
        let kept = lab.shows_one_of(&storage, &history, acknowledged, &format!("after power cut {round}")).await;
        model = history.swap_remove(kept);
    }
}

/// A vote that comes with entries is durable with them: whoever finds one of the two finds the other.
pub async fn line_02_entries_and_their_hard_state_are_never_split(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for round in 1..=10 {
        let mut history = vec![model.clone()];
        for _ in 0..3 {
            let last = model.state.outline.last_index().0;
            let hard_state = Some(voted(round, last));
            let update = eraft_core::RaftStateUpdate { hard_state, ..append(entries(round, last + 1, last + 2)) };
            drop(lab.submit(&storage, &mut model, update));
            history.push(model.clone());
        }
        storage = lab.crash(Crash::PowerLoss).await;
        let kept = lab.shows_one_of(&storage, &history, 0, &format!("after power cut {round}")).await;
        model = history.swap_remove(kept);
    }
}

/// A suffix is replaced or it is not; never cut without its replacement.
pub async fn line_02_a_truncation_and_its_replacement_are_never_split(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 60))).await;
    for term in 2..=8 {
        let mut history = vec![model.clone()];
        let last = model.state.outline.last_index().0;
        let at = lab.random.u64(1..=last);
        let replacement: Vec<_> = (at..at + 20).map(|index| bulky(term, index, 2000)).collect();
        // Terms never go back, so what is kept before it is of a lower term.
        drop(lab.submit(&storage, &mut model, append(replacement)));
        history.push(model.clone());
        storage = lab.crash(Crash::PowerLoss).await;
        let kept = lab.shows_one_of(&storage, &history, 0, &format!("after replacing from {at} and a power cut")).await;
        model = history.swap_remove(kept);
    }
}

/// The ancestor lost entries in a crash between its two files.
pub async fn line_02_state_and_snapshot_are_never_split(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for round in 1..=6u64 {
        let mut history = vec![model.clone()];
        let last = model.state.outline.last_index().0;
        drop(lab.submit(&storage, &mut model, append(entries(round, last + 1, last + 10))));
        history.push(model.clone());
        let (update, meta) = match round % 2 {
            0 => (reset(round, last + 50), meta(round, last + 50)),
            _ => (compact(round, last + 7), meta(round, last + 9)),
        };
        let update = RaftStateUpdate { hard_state: Some(voted(round, last + 7)), ..update };
        submit_publishing(lab, &storage, &mut model, update, meta, round).await;
        history.push(model.clone());
        storage = lab.crash(Crash::PowerLoss).await;
        let kept = lab.shows_one_of(&storage, &history, 0, &format!("after power cut {round}")).await;
        model = history.swap_remove(kept);
    }
}

async fn submit_publishing(
    lab: &Lab,
    storage: &Handle,
    model: &mut Model,
    update: RaftStateUpdate,
    meta: eraft_core::SnapshotMeta,
    seed: u64,
) {
    let chunks = chunks(seed, 3, 2500);
    let staged = lab.stage(storage, meta.clone(), &chunks).await;
    model.apply(&update, Some(&Content::new(meta, &chunks))).unwrap();
    drop(storage.save_state_and_snapshot(update, staged));
}
