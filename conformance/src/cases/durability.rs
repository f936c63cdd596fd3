//! Line 3: a resolved receipt survives any crash, power loss included. One case for each thing a save can change.

use eraft_core::RaftStateUpdate;

use crate::{Content, Crash, Handle, Lab, Model, make::*};

/// Two votes in one term are the end of safety, so the vote comes first.
pub async fn line_03_a_vote_survives_a_power_cut(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for term in 1..=5 {
        lab.save(&storage, &mut model, set(voted(term, 0))).await;
        storage = lab.crash(Crash::PowerLoss).await;
        lab.shows(&storage, &model, &format!("after the vote in term {term} and a power cut")).await;
    }
}

/// The very first save of a store has nothing before it to lean on.
pub async fn line_03_the_first_entries_survive_a_power_cut(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(vec![config(1, 1, &[1, 2, 3])])).await;
    let storage = lab.crash(Crash::PowerLoss).await;
    lab.shows(&storage, &model, "after the first save and a power cut").await;
}

/// Many saves, small and large, a cut after every few of them.
pub async fn line_03_entries_survive_power_cuts(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for round in 1..=8 {
        for _ in 0..lab.random.usize(1..6) {
            let next = model.entries.len() as u64 + 1;
            let size_bytes = if lab.random.u8(..) < 40 { lab.random.usize(..50_000) } else { lab.random.usize(..300) };
            lab.save(&storage, &mut model, append(vec![bulky(round, next, size_bytes)])).await;
        }
        storage = lab.crash(Crash::PowerLoss).await;
        lab.shows(&storage, &model, &format!("after power cut {round}")).await;
    }
}

/// What a truncation removed stays removed; what replaced it is there.
pub async fn line_03_a_replaced_suffix_stays_replaced_after_a_power_cut(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 20))).await;
    for (term, at) in [(2, 15), (3, 8), (4, 8), (5, 1)] {
        lab.save(&storage, &mut model, append(entries(term, at, at))).await;
        storage = lab.crash(Crash::PowerLoss).await;
        lab.shows(&storage, &model, &format!("after replacing from {at} and a power cut")).await;
    }
    lab.save(&storage, &mut model, append(entries(5, 2, 3))).await;
    let storage = lab.crash(Crash::PowerLoss).await;
    lab.shows(&storage, &model, "after appending to the shorter log and a power cut").await;
}

/// A published snapshot is whole, and the state that came with it is there.
pub async fn line_03_a_published_snapshot_survives_a_power_cut(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 20))).await;
    for index in [5, 11, 20] {
        let mut update = keep();
        update.hard_state = Some(voted(1, index));
        lab.publish(&storage, &mut model, update, meta(1, index), &chunks(index, 7, 3000)).await;
        storage = lab.crash(Crash::PowerLoss).await;
        lab.shows(&storage, &model, &format!("after the snapshot at {index} and a power cut")).await;
    }
}

/// Compaction neither comes back nor takes more than it should.
pub async fn line_03_a_compaction_survives_a_power_cut(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for round in 1..=6u64 {
        let first = (round - 1) * 30 + 1;
        let some: Vec<_> = (first..first + 30).map(|index| bulky(round, index, 1000)).collect();
        lab.save(&storage, &mut model, append(some)).await;
        let index = first + lab.random.u64(..30);
        lab.publish(&storage, &mut model, compact(round, index), meta(round, index), &chunks(round, 2, 900)).await;
        storage = lab.crash(Crash::PowerLoss).await;
        lab.shows(&storage, &model, &format!("after compacting to {index} and a power cut")).await;
    }
}

/// An installed snapshot: log, base, snapshot and hard state.
pub async fn line_03_a_reset_survives_a_power_cut(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 20))).await;
    for (term, index) in [(2, 10), (3, 100)] {
        let mut update = reset(term, index);
        update.hard_state = Some(voted(term, index));
        lab.publish(&storage, &mut model, update, meta(term, index), &chunks(term, 4, 2000)).await;
        storage = lab.crash(Crash::PowerLoss).await;
        lab.shows(&storage, &model, &format!("after a reset to {index} and a power cut")).await;
        lab.save(&storage, &mut model, append(entries(term, index + 1, index + 2))).await;
        storage = lab.crash(Crash::PowerLoss).await;
        lab.shows(&storage, &model, "after appending to it and a power cut").await;
    }
}

/// A killed process loses what it held in memory, and nothing else.
pub async fn line_03_everything_acknowledged_survives_kills(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for round in 1..=6 {
        everything_once(lab, &storage, &mut model, round).await;
        storage = lab.crash(Crash::Kill).await;
        lab.shows(&storage, &model, &format!("after kill {round}")).await;
    }
}

/// A clean end is no excuse to lose anything either.
pub async fn line_03_everything_acknowledged_survives_closing(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for round in 1..=6 {
        everything_once(lab, &storage, &mut model, round).await;
        storage = lab.reopen().await;
        lab.shows(&storage, &model, &format!("after opening for the {round}. time")).await;
    }
}

/// A clean end, and then the power: whatever close leaves is as durable as before it.
pub async fn line_03_everything_acknowledged_survives_closing_and_a_power_cut(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for round in 1..=4 {
        everything_once(lab, &storage, &mut model, round).await;
        lab.close().await;
        storage = lab.crash(Crash::PowerLoss).await;
        lab.shows(&storage, &model, &format!("after closing and power cut {round}")).await;
    }
}

/// One save of each kind, each acknowledged.
async fn everything_once(lab: &mut Lab, storage: &Handle, model: &mut Model, term: u64) {
    let last = model.state.outline.last_index().0;
    lab.save(storage, model, append(entries(term, last + 1, last + 8))).await;
    lab.save(storage, model, append(entries(term, last + 6, last + 6))).await;
    let update =
        RaftStateUpdate { hard_state: Some(voted(term, last + 3)), ..append(entries(term, last + 7, last + 9)) };
    lab.save(storage, model, update).await;
    let snapshot = chunks(term, 3, lab.random.usize(1..4000));
    lab.publish(storage, model, keep(), meta(term, last + 4), &snapshot).await;
    lab.save(storage, model, compact(term, last + 2)).await;
    if term.is_multiple_of(3) {
        let content = Content::new(meta(term, last + 40), &snapshot);
        let staged = lab.stage(storage, content.meta.clone(), &snapshot).await;
        model.apply(&reset(term, last + 40), Some(&content)).unwrap();
        storage.save_state_and_snapshot(reset(term, last + 40), staged).await.unwrap();
    }
}
