//! Line 4 again, where it is most dangerous: what a truncation removed is gone for good, and nothing else is.

use eraft_core::LogIndex;

use crate::{Crash, Lab, make::*};

/// The whole log above the base goes, and the base stays.
pub async fn line_04_everything_above_the_base_can_be_replaced(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 30))).await;
    lab.publish(&storage, &mut model, compact(1, 12), meta(1, 12), &chunks(1, 1, 100)).await;
    lab.save(&storage, &mut model, append(entries(2, 13, 14))).await;
    lab.shows(&storage, &model, "replaced from the first entry on").await;
    let gone = storage.read_entries(LogIndex(15)..LogIndex(31), u64::MAX).await.unwrap();
    lab.equal("entries beyond the new end", gone, vec![]);
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// A long suffix spans files, pages or batches: all of them go.
pub async fn line_04_a_long_suffix_goes_whole(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for first in (1..=400).step_by(40) {
        let some = (first..first + 40).map(|index| bulky(1, index, 600)).collect();
        lab.save(&storage, &mut model, append(some)).await;
    }
    lab.save(&storage, &mut model, append(entries(2, 6, 6))).await;
    lab.shows(&storage, &model, "394 of 400 entries removed").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
    lab.save(&storage, &mut model, append(entries(2, 7, 500))).await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "where the log has grown past its old end").await;
}

/// The log grows back over its old length and is cut again and again: no old entry shines through.
pub async fn line_04_replaced_entries_never_shine_through(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for term in 1..=25 {
        let last = model.state.outline.last_index().0;
        let first = lab.random.u64(1..=last + 1);
        let count = lab.random.u64(1..=12);
        let some = (first..first + count).map(|index| bulky(term, index, lab.random.usize(..900))).collect();
        lab.save(&storage, &mut model, append(some)).await;
        lab.shows(&storage, &model, &format!("{count} entries from {first} on, in term {term}")).await;
        if term % 5 == 0 {
            storage = lab.reopen().await;
            lab.shows(&storage, &model, &format!("opened again in term {term}")).await;
        }
    }
}

/// A truncation is replayed after what it removed, not before: kills between must not bring anything back.
pub async fn line_04_replay_resurrects_nothing(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for term in 1..=8 {
        let last = model.state.outline.last_index().0;
        lab.save(&storage, &mut model, append(entries(term * 2, last + 1, last + 20))).await;
        lab.save(&storage, &mut model, append(entries(term * 2 + 1, last + 4, last + 5))).await;
        storage = lab.crash(Crash::Kill).await;
        lab.shows(&storage, &model, &format!("after kill {term}")).await;
    }
}

/// A configuration that is truncated was never in force: the outline forgets it, and remembers the one before.
pub async fn line_04_a_truncated_configuration_is_forgotten(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(vec![config(1, 1, &[1, 2, 3]), entry(1, 2)])).await;
    lab.save(&storage, &mut model, append(vec![config(1, 3, &[1, 2, 3, 4]), config(1, 4, &[1, 2, 3, 4, 5])])).await;
    lab.save(&storage, &mut model, append(entries(2, 4, 6))).await;
    let configs = |state: eraft_core::RaftState| state.outline.configs().iter().map(|(at, _)| at.0).collect::<Vec<_>>();
    lab.equal("where configurations stand", configs(storage.read_raft_state().await.unwrap()), vec![1, 3]);
    lab.save(&storage, &mut model, append(entries(3, 3, 3))).await;
    lab.equal("after the other is truncated, too", configs(storage.read_raft_state().await.unwrap()), vec![1]);
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}
