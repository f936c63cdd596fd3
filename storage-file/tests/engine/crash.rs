//! Power cuts at every single call that changes the disk, with every fate for what was not synced: what was
//! acknowledged is there, what comes back is a prefix of what was saved, and the store goes on.

use eraft_core::{RaftStateUpdate, Storage, StorageErrorKind};
use eraft_storage_file::{
    FileEngine,
    fs::{
        Fs,
        sim::{Call, Fault, Policy, SimFs},
    },
};
use futures_executor::block_on;

use crate::{
    model::{Seen, Step, script},
    support::*,
};

const POLICIES: [Policy; 4] = [Policy::LOSE, Policy::LOSE_DATA, Policy::RANDOM, Policy::KEEP];

/// Saves as much of the script as the power allows; how many saves were acknowledged.
fn run_script(disk: &SimFs, steps: &[Step]) -> usize {
    let Ok(store) = try_open(disk) else { return 0 };
    let acknowledged = steps.iter().take_while(|step| step.save(&store).is_ok()).count();
    let _the_power_may_be_off = block_on(store.close());
    acknowledged
}

/// Opens what a crash left, checks that it is a prefix with all that was acknowledged, and that it can be written on.
fn check(disk: &SimFs, prefixes: &[Seen], acknowledged: usize, context: &str) {
    let store = try_open(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    let seen = Seen::of(&store).unwrap_or_else(|error| panic!("{context}: {error}"));
    let found = prefixes.iter().rposition(|prefix| *prefix == seen);
    let found = found.unwrap_or_else(|| panic!("{context}: no prefix of the saves: {seen:?}"));
    assert!(
        found == acknowledged || found == acknowledged + 1,
        "{context}: {acknowledged} were acknowledged, the state after {found} came back"
    );
    let next = seen.state.outline.last_index().0 + 1;
    append_each(&store, 9, next..next + 3, 1000);
    close(&store);
    let store = open(disk);
    assert_eq!(store_entries(&store), seen.entries.len() + 3, "{context}");
}

fn store_entries(store: &dyn eraft_core::Storage) -> usize {
    read_all(store).unwrap().len()
}

#[test]
fn a_power_cut_at_any_call_keeps_what_was_acknowledged() {
    let steps = script();
    let fresh = created(3);
    let prefixes = Seen::of(&open(&fresh.fork(0))).unwrap().after_each(&steps);
    let calls = {
        let disk = fresh.fork(0);
        let before = disk.counters().mutating();
        assert_eq!(run_script(&disk, &steps), steps.len());
        disk.counters().mutating() - before
    };
    assert!(calls > 100, "the script met only {calls} calls");
    for cut in 0..calls {
        let cut_off = fresh.fork(cut);
        cut_off.cut_power_after(cut);
        let acknowledged = run_script(&cut_off, &steps);
        // Every cut loses all that it may; the other fates take turns.
        for (seed, policy) in [POLICIES[0], POLICIES[1 + cut as usize % 3]].into_iter().enumerate() {
            let disk = cut_off.fork(cut * 16 + seed as u64);
            disk.crash_with(policy);
            check(&disk, &prefixes, acknowledged, &format!("cut after call {cut}, {policy:?}, seed {seed}"));
        }
    }
}

#[test]
fn a_power_cut_while_a_crash_is_being_repaired_keeps_it_too() {
    let steps = script();
    let fresh = created(3);
    let prefixes = Seen::of(&open(&fresh.fork(0))).unwrap().after_each(&steps);
    for cut in (5..400).step_by(19) {
        let first = fresh.fork(cut);
        first.cut_power_after(cut);
        let acknowledged = run_script(&first, &steps);
        first.crash();
        for second_cut in 0..12 {
            let disk = first.fork(second_cut);
            disk.cut_power_after(second_cut);
            drop(try_open(&disk));
            disk.crash();
            check(&disk, &prefixes, acknowledged, &format!("cut after calls {cut} and then {second_cut}"));
        }
    }
}

#[test]
fn a_power_cut_while_a_store_is_created_leaves_all_of_it_or_nothing() {
    let calls = created(1).counters().mutating();
    for cut in 0..calls {
        for (seed, policy) in POLICIES.into_iter().enumerate() {
            let disk = SimFs::new(cut * 16 + seed as u64);
            disk.cut_power_after(cut);
            assert!(FileEngine::create_with(seam(&disk), DIR, CLUSTER, NODE, options(1)).is_err());
            disk.crash_with(policy);
            match try_open(&disk) {
                Ok(store) => append_each(&store, 1, 1..3, 10),
                Err(error) => {
                    assert_eq!(error.kind(), StorageErrorKind::NotInitialised, "cut after call {cut}: {error}");
                    FileEngine::create_with(seam(&disk), DIR, CLUSTER, NODE, options(1)).unwrap();
                    append_each(&open(&disk), 1, 1..3, 10);
                }
            }
            let left: Vec<_> = disk.read_dir(std::path::Path::new("/")).unwrap();
            assert_eq!(left.len(), 1, "cut after call {cut}, {policy:?}: {left:?}");
        }
    }
}

#[test]
fn what_a_reader_saw_after_a_failure_and_a_kill_is_durable() {
    let steps = script();
    let fresh = created(3);
    let prefixes = Seen::of(&open(&fresh.fork(0))).unwrap().after_each(&steps);
    for call in [Call::SyncData, Call::SyncAll, Call::SyncDir, Call::Write, Call::Rename, Call::CreateFile] {
        for nth in 1.. {
            let disk = fresh.fork(nth);
            disk.fail_nth(call, nth, Fault::Io);
            let acknowledged = run_script(&disk, &steps);
            if acknowledged == steps.len() {
                break;
            }
            disk.heal();
            disk.kill();
            let context = format!("call {nth} of kind {call:?} failed");
            let store = try_open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
            let seen = Seen::of(&store).unwrap();
            disk.crash_with(Policy::LOSE);
            drop(store);
            assert_eq!(Seen::of(&open(&disk)).unwrap(), seen, "{context}");
            check(&disk, &prefixes, acknowledged, &context);
        }
    }
}

#[test]
fn a_failed_sync_is_the_end_of_the_engine_and_is_never_retried() {
    let disk = created(1);
    let store = open(&disk);
    append_each(&store, 1, 1..3, 10);
    disk.fail_nth(Call::SyncData, 1, Fault::Io);
    assert_eq!(save(&store, append(1, 3..4, 10)).unwrap_err().kind(), StorageErrorKind::Io);
    let syncs = disk.counters().of(Call::SyncData);
    let later = save(&store, RaftStateUpdate::default()).unwrap_err();
    assert_eq!(later.kind(), StorageErrorKind::Poisoned);
    assert_eq!(ids(&store), run(1, 1..3), "reads go on, and see nothing of the failed save");
    drop(store);
    assert_eq!(disk.counters().of(Call::SyncData), syncs);
}

/// Votes on a full disk until they stand in the spare, a publication that compacts, and votes again; how many saves were
/// acknowledged.
fn live_on_a_full_disk(disk: &SimFs, steps: &[Step], cut: Option<u64>) -> usize {
    let store = open(disk);
    let (last, content) = steps.iter().find_map(|step| step.publish.clone()).unwrap();
    let staged = stage(&store, last, &content).unwrap();
    disk.set_capacity_bytes(Some(disk.used_bytes()));
    if let Some(cut) = cut {
        disk.cut_power_after(cut);
    }
    let saved = steps.iter().take_while(|step| match &step.publish {
        None => save(&store, step.update.clone()).is_ok(),
        Some(_) => block_on(store.save_state_and_snapshot(step.update.clone(), staged.clone())).is_ok(),
    });
    let acknowledged = saved.count();
    let _the_power_may_be_off = block_on(store.close());
    acknowledged
}

#[test]
fn a_power_cut_at_any_call_on_a_full_disk_keeps_what_was_acknowledged_and_the_store_votes_on() {
    let fresh = created(3);
    append_each(&open(&fresh), 1, 1..6, 500);
    let mut steps: Vec<Step> = (2..6).map(|term| vote(term).into()).collect();
    steps.push(Step::publish(1, 5, 300, compact(1, 5)));
    steps.extend((6..9).map(|term| Step::from(vote(term))));
    let prefixes = Seen::of(&open(&fresh.fork(0))).unwrap().after_each(&steps);
    let calls = {
        let disk = fresh.fork(0);
        let before = disk.counters().mutating();
        assert_eq!(live_on_a_full_disk(&disk, &steps, None), steps.len());
        disk.counters().mutating() - before
    };
    for cut in 0..calls {
        for (seed, policy) in POLICIES.into_iter().enumerate() {
            let disk = fresh.fork(cut * 16 + seed as u64);
            let acknowledged = live_on_a_full_disk(&disk, &steps, Some(cut));
            disk.crash_with(policy);
            let context = format!("full disk, cut after call {cut}, {policy:?}");
            // It opens again on the full disk, and has lost nothing; a spare, old or new, is of use to it once more.
            let full = disk.fork(7);
            let store = try_open(&full).unwrap_or_else(|error| panic!("{context}: {error}"));
            save(&store, vote(99)).unwrap_or_else(|error| panic!("{context}: {error}"));
            disk.set_capacity_bytes(None);
            check(&disk, &prefixes, acknowledged, &context);
        }
    }
}
