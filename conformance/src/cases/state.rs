//! The state itself: hard state, configurations and outline come back as they were saved, whatever they ride with.

use std::collections::BTreeSet;

use bytes::Bytes;
use eraft_core::{ConfState, Entry, EntryId, EntryKind, HardState, LogIndex, NodeId, SnapshotMeta, StoreId, Term};

use crate::{Content, Handle, Lab, Model, make::*};

/// No vote is not a vote for node 0.
pub async fn state_no_vote_and_a_vote_for_anyone_are_told_apart(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for (term, vote) in (1..).zip([None, Some(0), Some(1), None, Some(u64::MAX)]) {
        let hard_state = HardState { term: Term(term), vote: vote.map(NodeId), commit: LogIndex(0) };
        lab.save(&storage, &mut model, set(hard_state)).await;
        lab.shows(&storage, &model, &format!("with the vote {vote:?}")).await;
        storage = lab.reopen().await;
        lab.shows(&storage, &model, &format!("with the vote {vote:?}, opened again")).await;
    }
}

/// A save of nothing is a save: it resolves, and changes nothing.
pub async fn state_a_save_of_nothing_changes_nothing(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, keep()).await;
    lab.shows(&storage, &model, "on a blank store").await;
    lab.save(&storage, &mut model, append(entries(1, 1, 3))).await;
    lab.save(&storage, &mut model, set(voted(2, 1))).await;
    for _ in 0..10 {
        lab.save(&storage, &mut model, keep()).await;
    }
    lab.shows(&storage, &model, "on a log").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// One save, two changes: the hard state comes with each kind of change of the log.
pub async fn state_a_hard_state_rides_with_every_kind_of_change(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let with = |term: u64, mut update: eraft_core::RaftStateUpdate| {
        update.hard_state = Some(voted(term, term));
        update
    };
    lab.save(&storage, &mut model, with(1, append(entries(1, 1, 10)))).await;
    lab.shows(&storage, &model, "with an append").await;
    lab.save(&storage, &mut model, with(2, append(entries(2, 8, 9)))).await;
    lab.shows(&storage, &model, "with a replacement").await;
    lab.publish(&storage, &mut model, with(3, keep()), meta(1, 5), &chunks(1, 1, 100)).await;
    lab.shows(&storage, &model, "with a snapshot").await;
    lab.save(&storage, &mut model, with(4, compact(1, 4))).await;
    lab.shows(&storage, &model, "with a compaction").await;
    lab.publish(&storage, &mut model, with(5, reset(4, 30)), meta(4, 30), &chunks(2, 1, 100)).await;
    lab.shows(&storage, &model, "with a reset").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// A save without a hard state leaves the one before it, through every kind of change.
pub async fn state_a_change_of_the_log_keeps_the_hard_state(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, set(HardState { term: Term(6), vote: Some(NodeId(2)), commit: LogIndex(3) })).await;
    lab.save(&storage, &mut model, append(entries(6, 1, 9))).await;
    lab.publish(&storage, &mut model, compact(6, 4), meta(6, 6), &chunks(1, 1, 100)).await;
    lab.publish(&storage, &mut model, reset(6, 40), meta(6, 40), &chunks(2, 1, 100)).await;
    lab.shows(&storage, &model, "after changes of the log alone").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// A configuration with all its parts: two majorities, learners, store ids, opaque contexts.
fn joint() -> ConfState {
    let mut joint = conf_state(&[1, 2, 3, 4, 5]);
    joint.voters = BTreeSet::from([NodeId(1), NodeId(2)]);
    joint.voters_outgoing = BTreeSet::from([NodeId(2), NodeId(3), NodeId(4)]);
    joint.learners_next = BTreeSet::from([NodeId(4)]);
    joint.learners = BTreeSet::from([NodeId(5)]);
    for (id, member) in &mut joint.members {
        member.store = (id.0 % 2 == 0).then_some(StoreId(u64::MAX - id.0));
        member.context = vec![id.0 as u8; 300].into();
    }
    joint
}

/// In the log, in the outline and in a snapshot, before and after the log is compacted past it.
pub async fn state_configurations_come_back_with_all_their_parts(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let joint = joint();
    assert!(joint.is_valid(), "the case's own configuration");
    let payload = eraft_core::codec::encode(&joint);
    let change = Entry { kind: EntryKind::Config, payload, ..entry(1, 3) };
    lab.save(&storage, &mut model, append([entries(1, 1, 2), vec![change], entries(1, 4, 6)].concat())).await;
    lab.shows(&storage, &model, "in the log").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "in the log, opened again").await;
    let meta = SnapshotMeta { last: EntryId::new(1, 5), conf_state: joint };
    lab.publish(&storage, &mut model, compact(1, 5), meta.clone(), &chunks(1, 1, 100)).await;
    lab.shows(&storage, &model, "in a snapshot").await;
    lab.equal("the reader's", storage.read_snapshot().await.unwrap().map(|reader| reader.meta), Some(meta));
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "in a snapshot, opened again").await;
}

/// The outline is kept by one path while a store runs and rebuilt by another when it opens: both say the same, after
/// every kind of change.
pub async fn state_the_outline_is_the_same_when_kept_and_when_rebuilt(lab: &mut Lab) {
    let mut storage = lab.fresh().await;
    let mut model = lab.blank_model();
    for round in 0..12 {
        let term = round * 10 + 1;
        let last = model.state.outline.last_index().0;
        match round % 6 {
            0 => lab.save(&storage, &mut model, append(of_rising_terms(term, last + 1, 9))).await,
            1 => lab.save(&storage, &mut model, append(of_rising_terms(term, last - 3, 2))).await,
            2 => lab.save(&storage, &mut model, append(vec![config(term, last + 1, &[1, 2, round])])).await,
            3 => snapshot_at(lab, &storage, &mut model, last - 1, false).await,
            4 => snapshot_at(lab, &storage, &mut model, last, true).await,
            _ => {
                let base = last + 100;
                lab.publish(&storage, &mut model, reset(term, base), meta(term, base), &chunks(round, 1, 10)).await;
            }
        }
        lab.shows(&storage, &model, &format!("change {round}")).await;
        storage = lab.reopen().await;
        lab.shows(&storage, &model, &format!("change {round}, opened again")).await;
    }
}

/// `count` entries from `first` on, each of a term above the one before.
fn of_rising_terms(term: u64, first: u64, count: u64) -> Vec<Entry> {
    (0..count).map(|nth| entry(term + nth, first + nth)).collect()
}

/// Publishes a snapshot at `index`, and compacts to it or to the entry before it.
async fn snapshot_at(lab: &Lab, storage: &Handle, model: &mut Model, index: u64, whole: bool) {
    let term_at = |index: u64| model.state.outline.term(LogIndex(index)).unwrap().0;
    let compacted = if whole { index } else { index - 1 };
    let (update, meta) = (compact(term_at(compacted), compacted), meta(term_at(index), index));
    lab.publish(storage, model, update, meta, &chunks(index, 1, 50)).await;
}

/// State, log and snapshot of one store say nothing of the store before it.
pub async fn state_a_new_store_is_blank_whatever_stood_elsewhere(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(3, 1, 20))).await;
    lab.publish(&storage, &mut model, compact(3, 5), meta(3, 10), &[Bytes::from_static(b"old")]).await;
    lab.shows(&storage, &model, "the first store").await;
    drop(storage);
    lab.close().await;
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.shows(&storage, &model, "the second store").await;
    let content = Content::new(meta(1, 2), &[]);
    lab.save(&storage, &mut model, append(entries(1, 1, 2))).await;
    lab.publish(&storage, &mut model, keep(), content.meta, &[]).await;
    lab.shows(&storage, &model, "with a snapshot older than the first store's").await;
}
