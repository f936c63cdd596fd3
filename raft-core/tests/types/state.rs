//! `RaftState::check` and `apply`: lines 4 to 6 of the storage contract, rule by rule and against the plain log.

use eraft_core::*;

use crate::{
    make::{blank, entries, id, meta, update},
    plain::{Plain, some_change},
};

/// A log from 4 to 10 (terms 1, then 2 from 7 on) above the base 1-3, with a snapshot at 1-5.
fn state() -> RaftState {
    let mut state = blank();
    let log = [entries(1, 1, 6), entries(2, 7, 10)].concat();
    state.apply(&update(LogChange::Append(log)), None).unwrap();
    state.apply(&update(LogChange::CompactTo(id(1, 3))), Some(&meta(1, 5))).unwrap();
    state
}

fn refused(log: LogChange, publish: Option<SnapshotMeta>) {
    let before = state();
    let mut after = before.clone();
    let update = RaftStateUpdate { hard_state: Some(HardState { term: Term(9), ..HardState::default() }), log };
    let error = after.apply(&update, publish.as_ref()).expect_err(&format!("{update:?}, {publish:?}"));
    assert_eq!(error.kind(), StorageErrorKind::Invalid);
    assert_eq!(after, before, "a refused save changes nothing");
}

fn taken(log: LogChange, publish: Option<SnapshotMeta>) -> RaftState {
    let mut after = state();
    after.apply(&update(log), publish.as_ref()).unwrap();
    assert!(after.outline.is_valid());
    after
}

#[test]
fn line_4_a_gap_or_an_append_at_or_below_the_base_is_invalid() {
    refused(LogChange::Append(entries(2, 12, 12)), None);
    refused(LogChange::Append(entries(1, 3, 9)), None);
    refused(LogChange::Append(entries(1, 2, 9)), None);
    taken(LogChange::Append(entries(2, 11, 11)), None);
    taken(LogChange::Append(entries(1, 4, 5)), None);
}

#[test]
fn line_5_compaction_beyond_the_snapshot_is_invalid() {
    refused(LogChange::CompactTo(id(1, 6)), None);
    taken(LogChange::CompactTo(id(1, 5)), None);
    taken(LogChange::CompactTo(id(2, 9)), Some(meta(2, 9)));
    refused(LogChange::CompactTo(id(2, 10)), Some(meta(2, 9)));
}

#[test]
fn line_5_compaction_to_an_entry_that_is_not_there_is_invalid() {
    refused(LogChange::CompactTo(id(2, 5)), None);
    refused(LogChange::CompactTo(id(1, 2)), None);
    refused(LogChange::CompactTo(id(2, 11)), Some(meta(2, 11)));
}

#[test]
fn line_5_the_log_may_not_end_before_the_snapshot() {
    refused(LogChange::Append(entries(1, 4, 4)), None);
    refused(LogChange::Keep, Some(meta(2, 11)));
    taken(LogChange::Append(entries(2, 11, 12)), Some(meta(2, 12)));
    refused(LogChange::Append(entries(2, 11, 12)), Some(meta(2, 13)));
}

#[test]
fn line_5_log_and_snapshot_agree_in_term() {
    refused(LogChange::Keep, Some(meta(1, 8)));
    refused(LogChange::Keep, Some(meta(3, 8)));
    refused(LogChange::Append(entries(2, 5, 10)), None);
    refused(LogChange::Append(entries(2, 4, 10)), None);
    refused(LogChange::Append(entries(3, 9, 12)), Some(meta(2, 10)));
    taken(LogChange::Append(entries(3, 9, 12)), Some(meta(3, 10)));
    taken(LogChange::Append(entries(3, 9, 12)), Some(meta(2, 8)));
}

#[test]
fn line_6_a_reset_comes_with_the_snapshot_at_its_base() {
    refused(LogChange::Reset { base: id(1, 5) }, None);
    refused(LogChange::Reset { base: id(3, 20) }, None);
    refused(LogChange::Reset { base: id(3, 20) }, Some(meta(3, 21)));
    refused(LogChange::Reset { base: id(3, 20) }, Some(meta(2, 20)));
    let after = taken(LogChange::Reset { base: id(3, 20) }, Some(meta(3, 20)));
    assert_eq!((after.outline.base(), after.outline.last()), (id(3, 20), id(3, 20)));
    let beyond = id(3, u64::MAX);
    refused(LogChange::Reset { base: beyond }, Some(SnapshotMeta { last: beyond, ..meta(1, 1) }));
}

#[test]
fn line_6_a_snapshot_that_does_not_follow_the_published_one_is_invalid() {
    refused(LogChange::Keep, Some(meta(1, 4)));
    refused(LogChange::Reset { base: id(2, 4) }, Some(meta(2, 4)));
    refused(LogChange::Reset { base: id(2, 5) }, Some(meta(2, 5)));
    refused(LogChange::Reset { base: id(0, 30) }, Some(meta(0, 30)));
    taken(LogChange::Keep, Some(meta(1, 5)));
    taken(LogChange::Reset { base: id(1, 5) }, Some(meta(1, 5)));
    let nowhere = SnapshotMeta { last: id(5, 0), ..meta(1, 1) };
    let error = blank().check(&update(LogChange::Reset { base: id(5, 0) }), Some(&nowhere)).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Invalid, "there is only one position before the first entry");
}

#[test]
fn an_empty_append_is_keep() {
    let after = taken(LogChange::Append(vec![]), Some(meta(2, 8)));
    assert_eq!(after.snapshot, Some(meta(2, 8)));
    assert_eq!(after.outline, state().outline);
    refused(LogChange::Append(vec![]), Some(meta(2, 11)));
}

#[test]
fn a_save_is_valid_exactly_when_the_plain_log_says_so() {
    let (mut valid, mut invalid) = (0, 0);
    for seed in 0..2000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut plain, mut state) = (Plain::blank(), blank());
        for _ in 0..25 {
            let (change, publish) = some_change(&mut random, &plain);
            let meta = publish.map(|last| SnapshotMeta { last, ..meta(1, 1) });
            let before = state.clone();
            let outcome = state.apply(&update(change.clone()), meta.as_ref());
            let told = || format!("seed {seed}: {change:?} publishing {publish:?} on {plain:?} gave {outcome:?}");
            match plain.after(&change, publish) {
                Some(next) => {
                    assert!(outcome.is_ok(), "valid, but refused; {}", told());
                    let outline = &state.outline;
                    assert_eq!((outline.base(), outline.last()), (next.base, next.last()), "{}", told());
                    assert_eq!(state.snapshot.as_ref().map(|meta| meta.last), next.snapshot, "{}", told());
                    plain = next;
                    valid += 1;
                }
                None => {
                    assert!(outcome.is_err(), "not valid, but taken; {}", told());
                    assert_eq!(state, before, "{}", told());
                    invalid += 1;
                }
            }
        }
    }
    assert!(valid > 10_000 && invalid > 10_000, "{valid} valid, {invalid} invalid");
}

#[test]
fn a_store_is_blank_until_something_is_saved() {
    assert!(blank().is_blank());
    assert!(!state().is_blank());
    for hard_state in [
        HardState { term: Term(1), ..HardState::default() },
        HardState { vote: Some(NodeId(1)), ..HardState::default() },
        HardState { commit: LogIndex(1), ..HardState::default() },
    ] {
        let mut voted = blank();
        voted.apply(&RaftStateUpdate { hard_state: Some(hard_state), log: LogChange::Keep }, None).unwrap();
        assert!(!voted.is_blank(), "{hard_state:?}");
    }
}

#[test]
fn an_opener_may_expect_cluster_and_node_or_not() {
    let found = blank().identity;
    let kind = |expected: Expected| expected.check(&found, "here").err().map(|error| error.kind());
    assert_eq!(kind(Expected::any()), None);
    assert_eq!(kind(Expected::exactly(found.cluster, found.node)), None);
    assert_eq!(kind(Expected { cluster: Some(found.cluster), node: None }), None);
    assert_eq!(kind(Expected::exactly(ClusterId(2), found.node)), Some(StorageErrorKind::WrongIdentity));
    assert_eq!(kind(Expected { cluster: None, node: Some(NodeId(2)) }), Some(StorageErrorKind::WrongIdentity));
    let error = Expected::exactly(ClusterId(2), NodeId(3)).check(&found, "/data/n1").unwrap_err();
    for named in ["/data/n1", "node 1", "0000000000000001", "node 3", "0000000000000002"] {
        assert!(error.to_string().contains(named), "{named} in {error}");
    }
}
