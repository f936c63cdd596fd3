//! Long lives of one store: process after process, each with faults of its own, also while it opens; between them kills,
//! power cuts and lost caches. What was acknowledged or read is there ever after, and no honest life ends in `Corrupt`.

use eraft_core::{EntryId, LogChange, LogIndex, RaftStateUpdate, Storage, StorageErrorKind};
use eraft_storage_file::{
    FileStorage,
    fs::sim::{Call, Fault, Policy, SimFs},
};
use fastrand::Rng;
use futures_executor::block_on;

use crate::{
    model::{Seen, Step},
    support::*,
};

/// A save that may follow what the store holds.
fn any_step(random: &mut Rng, seen: &Seen) -> Step {
    let (outline, term) = (&seen.state.outline, seen.state.hard_state.term.0);
    let (last, snapshot) = (outline.last_index().0, seen.snapshot.as_ref().map_or(0, |(last, _)| last.index.0));
    let id = |index: u64| EntryId { term: outline.term(LogIndex(index)).unwrap(), index: LogIndex(index) };
    match random.u32(..20) {
        0 => vote(term + 1).into(),
        1..3 if snapshot < last => {
            let at = id(random.u64(snapshot + 1..=last));
            let update = if random.bool() { compact(at.term.0, at.index.0) } else { RaftStateUpdate::default() };
            Step::publish(at.term.0, at.index.0, random.usize(..9000), update)
        }
        3 if snapshot > outline.base().index.0 => compact(id(snapshot).term.0, snapshot).into(),
        4 => {
            let base = EntryId::new(term + 1, last + 7);
            let update = RaftStateUpdate { log: LogChange::Reset { base }, ..vote(term + 1) };
            Step::publish(term + 1, last + 7, random.usize(..5000), update)
        }
        5..8 if snapshot < last => {
            let from = random.u64(snapshot + 1..=last);
            append(term + 1, from..from + random.u64(1..4), random.usize(1..1500)).into()
        }
        _ => append(term.max(1), last + 1..last + random.u64(2..5), random.usize(1..2500)).into(),
    }
}

/// Something that will go wrong, or nothing.
fn plan_fault(random: &mut Rng, disk: &SimFs) {
    let calls =
        [Call::SyncData, Call::SyncData, Call::SyncAll, Call::SyncDir, Call::Write, Call::Rename, Call::RemoveFile];
    match random.u32(..4) {
        0 => disk.cut_power_after(random.u64(..30)),
        1 | 2 => {
            let fault = [Fault::Io, Fault::NoSpace, Fault::Short][random.usize(..3)];
            disk.fail_nth(calls[random.usize(..calls.len())], random.u64(1..8), fault);
        }
        _ => {}
    }
}

/// How a process ends.
fn end(random: &mut Rng, disk: &SimFs, store: Option<FileStorage>) {
    if let Some(store) = store.as_ref().filter(|_| random.bool()) {
        let _what_was_planned_may_strike = block_on(store.close());
    }
    match random.u32(..6) {
        0 => disk.kill(),
        1 => {
            disk.kill();
            disk.drop_caches();
        }
        2 => disk.crash_with(Policy::LOSE),
        3 => disk.crash_with(Policy::LOSE_DATA),
        _ => disk.crash(),
    }
    disk.heal();
    drop(store);
}

fn live(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let disk = created(seed);
    // What the store may hold: what was acknowledged, and behind it what was on its way.
    let mut possible = vec![Seen::of(&open(&disk)).unwrap()];
    for process in 0..12 {
        plan_fault(&mut random, &disk);
        let opened = try_open(&disk).and_then(|store| Ok((Seen::of(&store)?, store)));
        let (seen, store) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let honest = error.kind() == StorageErrorKind::Io || error.kind() == StorageErrorKind::Full;
                assert!(honest, "seed {seed}, process {process}: {error}");
                end(&mut random, &disk, None);
                continue;
            }
        };
        assert!(possible.contains(&seen), "seed {seed}, process {process}: {seen:#?} instead of {possible:#?}");
        possible = vec![seen];
        for _ in 0..random.usize(..14) {
            let step = any_step(&mut random, possible.last().unwrap());
            let next = possible.clone().remove(0).after_each(std::slice::from_ref(&step)).remove(1);
            possible.push(next);
            if step.save(&store).is_err() {
                break;
            }
            possible.remove(0);
        }
        end(&mut random, &disk, Some(store));
    }
}

#[test]
fn nothing_acknowledged_or_read_is_lost_in_a_long_life() {
    (0..40).for_each(live);
}
