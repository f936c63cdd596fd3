//! Line 15: what a read returns after `open` is durable.

use eraft_core::RaftStateUpdate;

use crate::{Crash, Handle, Lab, Model, make::*};

/// What only the operating system held when the process was killed is shown, so it must be made durable first.
pub async fn line_15_what_is_read_after_a_kill_survives_a_power_cut(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for round in 1..=10 {
        let history = leave_saves_under_way(lab, &storage, &mut model, round).await;
        storage = lab.crash(Crash::Kill).await;
        let kept = lab.shows_one_of(&storage, &history, 0, &format!("after kill {round}")).await;
        model = history[kept].clone();
        storage = lab.crash(Crash::PowerLoss).await;
        lab.shows(&storage, &model, &format!("after power cut {round}, which came right after opening")).await;
    }
}

/// The sync failed, the pages count as clean, and the process was killed: what the next one reads it must write again.
pub async fn line_15_what_is_read_after_a_failed_sync_survives_a_power_cut(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    for round in 1..=10 {
        let before = model.clone();
        let last = model.state.outline.last_index().0;
        lab.env().fail_next_sync().await;
        let failed = lab.submit(&storage, &mut model, append(vec![bulky(round, last + 1, 900)])).await;
        lab.fails("the save under which the sync failed", failed);
        let history = [before, model.clone()];
        storage = lab.crash(Crash::Kill).await;
        let kept = lab.shows_one_of(&storage, &history, 0, &format!("after failed sync {round} and a kill")).await;
        model = history[kept].clone();
        storage = lab.crash(Crash::PowerLoss).await;
        lab.shows(&storage, &model, &format!("after power cut {round}, which came right after opening")).await;
    }
}

/// Kill, reopen, acknowledge, power cut: nothing acknowledged is lost.
pub async fn line_15_acknowledged_after_a_kill_survives_a_power_cut(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for round in 1..=10 {
        let history = leave_saves_under_way(lab, &storage, &mut model, round).await;
        storage = lab.crash(Crash::Kill).await;
        let kept = lab.shows_one_of(&storage, &history, 0, &format!("after kill {round}")).await;
        model = history[kept].clone();
        let last = model.state.outline.last_index().0;
        for index in last + 1..=last + lab.random.u64(1..4) {
            lab.save(&storage, &mut model, append(vec![entry(round, index)])).await;
        }
        storage = lab.crash(Crash::PowerLoss).await;
        lab.shows(&storage, &model, &format!("after power cut {round}")).await;
    }
}

/// Power cuts in a row, with nothing saved between: opening twice shows the same twice.
pub async fn line_15_opening_after_every_power_cut_shows_the_same(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for round in 1..=4 {
        let history = leave_saves_under_way(lab, &storage, &mut model, round).await;
        storage = lab.crash(Crash::PowerLoss).await;
        let kept = lab.shows_one_of(&storage, &history, 0, &format!("after power cut {round}")).await;
        model = history[kept].clone();
        for again in 1..=3 {
            let crash = if lab.random.bool() { Crash::PowerLoss } else { Crash::Kill };
            storage = lab.crash(crash).await;
            lab.shows(&storage, &model, &format!("after {crash:?} number {again} in a row")).await;
        }
    }
}

/// Submits saves that nobody awaits, and lets some time pass: every state that the store may be in.
async fn leave_saves_under_way(lab: &mut Lab, storage: &Handle, model: &mut Model, round: u64) -> Vec<Model> {
    let mut history = vec![model.clone()];
    for _ in 0..lab.random.usize(1..12) {
        let last = model.state.outline.last_index().0;
        let size_bytes = lab.random.usize(..3000);
        let update = RaftStateUpdate {
            hard_state: Some(voted(round, last)),
            ..append(vec![bulky(round, last + 1, size_bytes)])
        };
        drop(lab.submit(storage, model, update));
        history.push(model.clone());
        for _ in 0..lab.random.usize(..20) {
            tokio::task::yield_now().await;
        }
    }
    history
}
