//! What the reference storage offers to tests beyond the port: saves held back, failures, kills. (The port itself is
//! checked by the conformance suite.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use eraft_core::{
    ClusterId, Entry, Expected, GroupId, LogChange, LogIndex, MemoryDisk, MemoryEngine, MemoryStorage, NodeId,
    RaftStateUpdate, Receipt, Storage, StorageError, StorageErrorKind, Term,
};
use futures_util::FutureExt as _;

fn disk() -> MemoryDisk {
    let disk = MemoryDisk::new(1);
    MemoryStorage::create(&disk, ClusterId(1), NodeId(1)).unwrap();
    disk
}

fn append(index: u64) -> RaftStateUpdate {
    let entry = Entry::command(Term(1), LogIndex(index), "x");
    RaftStateUpdate { hard_state: None, log: LogChange::Append(vec![entry]) }
}

fn last(storage: &MemoryStorage) -> u64 {
    storage.read_raft_state().now_or_never().unwrap().unwrap().outline.last_index().0
}

fn outcome(receipt: &mut Receipt) -> Option<Result<(), StorageErrorKind>> {
    receipt.now_or_never().map(|outcome| outcome.map_err(|error| error.kind()))
}

#[test]
fn held_saves_are_neither_seen_nor_acknowledged_until_released() {
    let disk = disk();
    let storage = MemoryStorage::open(&disk, Expected::any()).unwrap();
    disk.hold_saves();
    let mut receipts: Vec<_> = (1..=3).map(|index| storage.save_raft_state(append(index))).collect();
    assert_eq!(receipts.iter_mut().map(outcome).collect::<Vec<_>>(), [None, None, None]);
    assert_eq!(last(&storage), 0);
    let gap = storage.save_raft_state(append(5)).now_or_never().unwrap();
    assert_eq!(gap.unwrap_err().kind(), StorageErrorKind::Invalid, "judged against what is held");
    disk.release_saves();
    assert_eq!(receipts.iter_mut().map(outcome).collect::<Vec<_>>(), [Some(Ok(())); 3]);
    assert_eq!(last(&storage), 3);
    assert_eq!(outcome(&mut storage.save_raft_state(append(4))), Some(Ok(())));
}

#[test]
fn a_kill_loses_what_was_held_and_the_old_handles_are_dead() {
    let disk = disk();
    let storage = MemoryStorage::open(&disk, Expected::any()).unwrap();
    assert_eq!(outcome(&mut storage.save_raft_state(append(1))), Some(Ok(())));
    disk.hold_saves();
    let mut held = storage.save_raft_state(append(2));
    disk.kill();
    assert_eq!(
        outcome(&mut held),
        Some(Err(StorageErrorKind::Poisoned)),
        "it may or may not be durable, says the port"
    );
    let next = MemoryStorage::open(&disk, Expected::any()).unwrap();
    assert_eq!(last(&next), 1);
    assert!(outcome(&mut storage.save_raft_state(append(2))).unwrap().is_err());
    drop(storage);
    assert_eq!(outcome(&mut next.save_raft_state(append(2))), Some(Ok(())), "the old handle's end is nothing to it");
}

#[test]
fn a_failed_save_poisons_every_group_until_the_next_open() {
    let disk = disk();
    let engine = MemoryEngine::open(&disk, Expected::any()).unwrap();
    let (one, two) = (engine.group(GroupId(1)).unwrap(), engine.group(GroupId(2)).unwrap());
    disk.hold_saves();
    let mut receipts = [one.save_raft_state(append(1)), two.save_raft_state(append(1)), one.save_raft_state(append(2))];
    disk.fail_next_save(StorageError::new(StorageErrorKind::Full, "saving", "the test asked for it"));
    disk.release_saves();
    let (full, poisoned) = (Some(Err(StorageErrorKind::Full)), Some(Err(StorageErrorKind::Poisoned)));
    assert_eq!(receipts.each_mut().map(outcome), [full, poisoned, poisoned]);
    assert_eq!(outcome(&mut two.save_raft_state(append(1))), poisoned);
    engine.close().unwrap();
    let one = MemoryEngine::open(&disk, Expected::any()).unwrap().group(GroupId(1)).unwrap();
    assert_eq!(last(&one), 0);
    assert_eq!(outcome(&mut one.save_raft_state(append(1))), Some(Ok(())));
}

#[test]
fn a_storage_opened_alone_closes_its_engine() {
    let disk = disk();
    let storage = MemoryStorage::open(&disk, Expected::any()).unwrap();
    let locked = MemoryStorage::open(&disk, Expected::any()).unwrap_err();
    assert_eq!(locked.kind(), StorageErrorKind::Locked);
    storage.close().now_or_never().unwrap().unwrap();
    let again = MemoryStorage::open(&disk, Expected::any()).unwrap();
    drop(again);
    assert!(MemoryStorage::open(&disk, Expected::any()).is_ok());
}
