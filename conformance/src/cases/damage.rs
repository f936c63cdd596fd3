//! Line 11: damage is `Corrupt`, never wrong data, never a panic, never a blank store; a torn tail is neither.

use std::ops::ControlFlow;

use eraft_core::{Expected, GroupId, Result, StorageError, StorageErrorKind};

use crate::{CLUSTER, Crash, Damage, Lab, Model, NODE, make::*};

/// How many places one run of a case tries; every seed tries others.
const PLACES: u64 = 60;

/// One bit, anywhere.
pub async fn line_11_a_flipped_bit_is_corrupt_or_harmless(lab: &mut Lab) {
    damage_everywhere(lab, Damage::FlipBit).await;
}

/// One sector, anywhere.
pub async fn line_11_a_zeroed_sector_is_corrupt_or_harmless(lab: &mut Lab) {
    damage_everywhere(lab, Damage::ZeroSector).await;
}

/// One file, key or object, whichever.
pub async fn line_11_a_lost_piece_is_corrupt_or_harmless(lab: &mut Lab) {
    damage_everywhere(lab, Damage::LosePiece).await;
}

/// Builds a store, closes it, damages one place, and reads all of it; place after place.
async fn damage_everywhere(lab: &mut Lab, damage: Damage) {
    let (mut detected, mut tried) = (0, 0);
    let mut nth = 0;
    loop {
        let model = build(lab).await;
        lab.close().await;
        let places = lab.env().places(damage).await;
        lab.holds("there is something to damage", places > 0, || "no place".into());
        // Few places: each of them. Many: some of them.
        let place = if places <= PLACES { nth } else { lab.random.u64(..places) };
        let place_told = lab.env().damage(damage, place).await;
        if let ControlFlow::Break(error) = read_damaged(lab, &model, &place_told).await {
            detected += 1;
            let kinds = [StorageErrorKind::Corrupt, StorageErrorKind::WrongIdentity, StorageErrorKind::Incompatible];
            lab.holds(&place_told, kinds.contains(&error.kind()), || format!("expected Corrupt, found {error}"));
            let located = error.detail().chars().any(|c| c.is_ascii_digit() || c == '/');
            lab.holds(&place_told, located, || format!("the error does not say where: {error}"));
        }
        (tried, nth) = (tried + 1, nth + 1);
        if nth >= places.min(PLACES) {
            break;
        }
    }
    lab.holds("damage is noticed somewhere", detected > 0, || format!("none of {tried} places"));
}

/// A store that has used every kind of save, and some of its files up.
async fn build(lab: &mut Lab) -> Model {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, set(voted(1, 0))).await;
    for first in (1..=60).step_by(6) {
        let some: Vec<_> = (first..first + 6).map(|index| bulky(1, index, 500)).collect();
        lab.save(&storage, &mut model, append(some)).await;
    }
    lab.publish(&storage, &mut model, compact(1, 20), meta(1, 25), &chunks(3, 3, 700)).await;
    lab.save(&storage, &mut model, append(vec![config(2, 50, &[1, 2]), entry(2, 51)])).await;
    lab.save(&storage, &mut model, set(voted(3, 40))).await;
    model
}

/// Opens and reads everything: breaks with the error where one is told; goes on where all is right.
async fn read_damaged(lab: &mut Lab, model: &Model, place: &str) -> ControlFlow<StorageError> {
    let read: Result<Model> = async {
        let engine = lab.env().open(Expected::exactly(CLUSTER, NODE)).await?;
        let read = match engine.group(GroupId::ZERO).await {
            Ok(storage) => Model::read(&storage).await,
            Err(error) => Err(error),
        };
        // A damaged store may refuse to close; its lock goes with the engine.
        let _damaged_anyway = engine.close().await;
        read
    }
    .await;
    match read {
        Err(error) => ControlFlow::Break(error),
        Ok(found) => {
            let difference = model.difference(&found);
            lab.holds(place, difference.is_none(), || {
                format!("wrong data: {}", difference.clone().unwrap_or_default())
            });
            ControlFlow::Continue(())
        }
    }
}

/// An unacknowledged last batch may be torn: the store opens without a word, again and again.
pub async fn line_11_a_torn_tail_is_dropped_silently(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for round in 1..=12 {
        let last = model.state.outline.last_index().0;
        lab.save(&storage, &mut model, append(vec![bulky(round, last + 1, 100)])).await;
        let mut history = vec![model.clone()];
        drop(lab.submit(&storage, &mut model, append(vec![bulky(round, last + 2, 30_000)])));
        history.push(model.clone());
        storage = lab.crash(Crash::PowerLoss).await;
        let kept = lab.shows_one_of(&storage, &history, 0, &format!("after power cut {round}")).await;
        model = history.swap_remove(kept);
    }
}

/// A tail dropped once stays dropped: it does not come back behind what was written after it.
pub async fn line_11_a_dropped_tail_never_comes_back(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 3))).await;
    for round in 2..=10 {
        let last = model.state.outline.last_index().0;
        let mut history = vec![model.clone()];
        for nth in 1..=3 {
            drop(lab.submit(&storage, &mut model, append(vec![bulky(round * 2, last + nth, 6000)])));
            history.push(model.clone());
        }
        storage = lab.crash(Crash::PowerLoss).await;
        let kept = lab.shows_one_of(&storage, &history, 0, "after a power cut with saves under way").await;
        model = history.swap_remove(kept);
        // Shorter than what may have been torn there.
        let last = model.state.outline.last_index().0;
        lab.save(&storage, &mut model, append(entries(round * 2 + 1, last + 1, last + 1))).await;
        storage = lab.crash(Crash::PowerLoss).await;
        lab.shows(&storage, &model, "after one acknowledged save and a power cut").await;
    }
}
