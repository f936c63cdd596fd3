//! The live sizes that the snapshot policy reads: they follow what is live, not what the disk still holds, and survive an
//! opening. A backend may count what an entry takes beside its bytes, up to some blocks.

use crate::{Lab, make::*};

/// Every payload counts while it is live.
pub async fn sizes_follow_the_log(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let blank = storage.raft_state_size();
    let mut before = blank;
    for index in 1..=10 {
        lab.save(&storage, &mut model, append(vec![bulky(1, index, 10_000)])).await;
        let now = storage.raft_state_size();
        lab.holds("an entry adds its size", now >= before + 10_000 && now < before + 30_000, || {
            format!("{before} bytes before, {now} after 10,000 more")
        });
        before = now;
    }
    lab.save(&storage, &mut model, append(vec![bulky(2, 3, 10)])).await;
    let cut = storage.raft_state_size();
    lab.holds("replaced entries count no more", cut < blank + 60_000, || format!("{cut} bytes for 2 of 10 entries"));
    lab.publish(&storage, &mut model, compact(2, 3), meta(2, 3), &chunks(1, 2, 500)).await;
    let compacted = storage.raft_state_size();
    lab.holds("compacted entries count no more", compacted < blank + 5000, || format!("{compacted} bytes, empty log"));
}

/// What is published counts, what is staged does not, what is replaced no more.
pub async fn sizes_follow_the_snapshot(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.equal("without a snapshot", storage.snapshot_size(), 0);
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    for (index, count) in [(3, 7), (5, 2), (10, 0)] {
        let staged = lab.stage(&storage, meta(1, 9), &chunks(1, 1, 12_345)).await;
        lab.publish(&storage, &mut model, keep(), meta(1, index), &chunks(index, count, 1000)).await;
        lab.equal(&format!("the snapshot at {index}"), storage.snapshot_size(), count as u64 * 1000);
        storage.discard_snapshot(staged).await.unwrap();
    }
}

/// A policy that forgets at a restart lets the log grow without end.
pub async fn sizes_survive_an_opening(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let some = (1..=20).map(|index| bulky(1, index, 3000)).collect();
    lab.save(&storage, &mut model, append(some)).await;
    lab.publish(&storage, &mut model, compact(1, 5), meta(1, 8), &chunks(1, 4, 1000)).await;
    lab.save(&storage, &mut model, append(vec![bulky(2, 15, 5000)])).await;
    let (state, snapshot) = (storage.raft_state_size(), storage.snapshot_size());
    let storage = lab.reopen().await;
    let now = storage.raft_state_size();
    lab.holds("the state's size after opening again", now.abs_diff(state) < 1000, || format!("{state}, then {now}"));
    lab.equal("the snapshot's size after opening again", storage.snapshot_size(), snapshot);
}
