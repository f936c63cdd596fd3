//! The one handle of a group: what it refuses, and when the group has it back.

use std::sync::Arc;

use bytes::Bytes;
use eraft_core::{
    ClusterId, Entry, EntryId, GroupId, Identity, LogChange, LogIndex, NodeId, RaftState, RaftStateUpdate, Receipt,
    SnapshotMeta, StagedSnapshot, StorageError, StorageErrorKind, StoreId, Term,
};
use eraft_storage_kit::{Group, Handle, MAX_SAVE_BYTES};
use futures_executor::block_on;
use futures_util::FutureExt as _;

use crate::rig::{Asked, Rig, Step, unbounded};

fn group() -> Arc<Group<()>> {
    let identity = Identity { cluster: ClusterId(1), node: NodeId(1), store: StoreId(1) };
    Arc::new(Group::new(GroupId(7), RaftState::blank(identity), ()))
}

/// One entry, whose term is what the rig tells of a save.
fn append(index: u64, payload: Bytes) -> RaftStateUpdate {
    let hard_state = Some(eraft_core::HardState { term: Term(index), ..Default::default() });
    RaftStateUpdate { hard_state, log: LogChange::Append(vec![Entry::command(Term(index), LogIndex(index), payload)]) }
}

fn save(rig: &Rig, handle: &Handle<()>, index: u64) -> Receipt {
    handle.save(&rig.writer, append(index, Bytes::new()), None, |_| unreachable!("there is no snapshot"))
}

/// What a save is told that is not even queued.
fn refusal(receipt: Receipt) -> StorageErrorKind {
    receipt.now_or_never().expect("it is refused at once").unwrap_err().kind()
}

#[test]
fn a_group_has_one_handle_at_a_time() {
    let (rig, group) = (Rig::free(unbounded()), group());
    let first = group.take().unwrap();
    let refused = group.take().unwrap_err();
    assert_eq!(refused.kind(), StorageErrorKind::Locked);
    assert!(refused.detail().contains("group 7"), "{refused}");
    drop(first);
    let second = group.take().unwrap();
    block_on(second.close(&rig.writer, false)).unwrap();
    let third = group.take().unwrap();
    drop(second);
    assert!(group.take().is_err(), "one that was closed has nothing more to give back");
    block_on(save(&rig, &third, 1)).unwrap();
}

#[test]
fn a_handle_that_is_closed_completes_its_saves_and_refuses_others() {
    let (rig, group) = (Rig::stepped(unbounded()), group());
    let handle = group.take().unwrap();
    let saved = save(&rig, &handle, 1);
    rig.begun();
    let closing = handle.close(&rig.writer, false);
    futures_util::pin_mut!(closing);
    assert!(closing.as_mut().now_or_never().is_none(), "a save is under way");
    assert_eq!(refusal(save(&rig, &handle, 2)), StorageErrorKind::Invalid);
    assert!(group.take().is_err(), "it is not back yet");
    rig.step(Step::Succeed);
    block_on(closing).unwrap();
    block_on(saved).unwrap();
    assert_eq!(rig.asked(), [Asked::Commit(vec![1])]);
}

#[test]
fn a_close_that_nobody_waits_for_gives_the_handle_back() {
    let (rig, group) = (Rig::stepped(unbounded()), group());
    let handle = group.take().unwrap();
    let saved = save(&rig, &handle, 1);
    rig.begun();
    assert!(handle.close(&rig.writer, false).now_or_never().is_none());
    drop(handle);
    let next = group.take().unwrap();
    rig.step(Step::Succeed);
    block_on(saved).unwrap();
    rig.step(Step::Succeed);
    block_on(save(&rig, &next, 2)).unwrap();
}

#[test]
fn the_handle_of_an_engines_only_group_ends_the_engine() {
    let (rig, group) = (Rig::free(unbounded()), group());
    let handle = group.take().unwrap();
    block_on(handle.close(&rig.writer, true)).unwrap();
    assert_eq!(rig.asked(), [Asked::Close, Asked::Dropped]);
    block_on(handle.close(&rig.writer, true)).unwrap();
}

#[test]
fn a_close_after_one_that_nobody_waited_for_ends_the_engine_too_and_tells_of_a_failure() {
    let (mut rig, group) = (Rig::stepped(unbounded()), group());
    let handle = group.take().unwrap();
    let saved = save(&rig, &handle, 1);
    rig.begun();
    assert!(handle.close(&rig.writer, true).now_or_never().is_none());
    rig.step(Step::Fail);
    assert!(block_on(saved).is_err());
    rig.let_go();
    assert_eq!(block_on(handle.close(&rig.writer, false)).unwrap_err().kind(), StorageErrorKind::Io);
    assert_eq!(block_on(handle.close(&rig.writer, true)).unwrap_err().kind(), StorageErrorKind::Io);
    assert_eq!(rig.asked(), [Asked::Commit(vec![1]), Asked::Dropped], "the writer is gone");
}

#[test]
fn a_save_is_checked_against_what_is_queued_and_a_refused_one_leaves_nothing() {
    let (mut rig, group) = (Rig::stepped(unbounded()), group());
    let handle = group.take().unwrap();
    let first = save(&rig, &handle, 1);
    rig.begun();
    assert_eq!(refusal(save(&rig, &handle, 3)), StorageErrorKind::Invalid, "a gap");
    let quarter = Bytes::from(vec![0; usize::try_from(MAX_SAVE_BYTES / 4).unwrap()]);
    let entries = (2..=5).map(|index| Entry::command(Term(2), LogIndex(index), quarter.clone())).collect();
    let large = RaftStateUpdate { hard_state: None, log: LogChange::Append(entries) };
    assert_eq!(refusal(handle.save(&rig.writer, large, None, |_| Ok(()))), StorageErrorKind::Invalid, "too large");
    let second = save(&rig, &handle, 2);
    rig.let_go();
    block_on(first).unwrap();
    block_on(second).unwrap();
    assert_eq!(rig.asked(), [Asked::Commit(vec![1]), Asked::Commit(vec![2])]);
}

#[test]
fn a_staged_snapshot_is_claimed_once_all_else_is_right_and_a_refusal_refuses_the_save() {
    let (rig, group) = (Rig::free(unbounded()), group());
    let handle = group.take().unwrap();
    block_on(save(&rig, &handle, 1)).unwrap();
    let conf_state = eraft_core::ConfState::of_voters([(NodeId(1), Bytes::new())]);
    let staged = |index| StagedSnapshot {
        id: "it".into(),
        meta: SnapshotMeta { last: EntryId::new(1, index), conf_state: conf_state.clone() },
        size_bytes: 3,
    };
    let keep = || RaftStateUpdate { hard_state: Some(hard_state()), log: LogChange::Keep };
    let beyond = handle.save(&rig.writer, keep(), Some(staged(9)), |_| panic!("it is not this save's"));
    assert_eq!(refusal(beyond), StorageErrorKind::Invalid, "beyond the log");
    let refuse = |_: &StagedSnapshot| Err(StorageError::invalid("it is not there"));
    let gone = handle.save(&rig.writer, append(2, Bytes::new()), Some(staged(1)), refuse);
    assert_eq!(refusal(gone), StorageErrorKind::Invalid);
    assert_eq!(refusal(save(&rig, &handle, 3)), StorageErrorKind::Invalid, "entry 2 was never queued");
    block_on(handle.save(&rig.writer, keep(), Some(staged(1)), |_| Ok(()))).unwrap();
}

fn hard_state() -> eraft_core::HardState {
    eraft_core::HardState { term: Term(2), ..Default::default() }
}
