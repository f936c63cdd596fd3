//! The checker of histories, checked: it must find what is wrong in a history, and nothing in one that is right.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    unreachable_pub,
    missing_docs,
    reason = "a test"
)]

mod history;

use std::time::Duration;

use history::{
    Act::{self, Incr, Read, Write},
    History, Operation, Verdict, search, settled, verdict,
};

fn at(moment: u64) -> Duration {
    Duration::from_millis(moment)
}

fn op(call: u64, end: u64, act: Act) -> Operation {
    Operation { act, call: at(call), end: Some(at(end)) }
}

fn unknown(call: u64, act: Act) -> Operation {
    Operation { act, call: at(call), end: None }
}

#[track_caller]
fn right(operations: &[Operation]) {
    assert_eq!(verdict(operations), Verdict::Linearizable);
}

/// The last of `operations` cannot have been, and none before it is blamed.
#[track_caller]
fn wrong(operations: &[Operation]) {
    match verdict(operations) {
        Verdict::Impossible { operation, .. } => assert_eq!(Some(&operation), operations.last()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_thing_after_the_other_is_right() {
    right(&[]);
    right(&[op(0, 1, Read(0)), op(2, 3, Write(1)), op(4, 5, Read(1)), op(6, 7, Write(2)), op(8, 9, Read(2))]);
    right(&[op(0, 1, Incr(Some(1))), op(2, 3, Incr(Some(2))), op(4, 5, Read(2))]);
}

#[test]
fn what_overlaps_may_come_in_either_order() {
    right(&[op(0, 9, Write(1)), op(0, 9, Write(2)), op(1, 2, Read(2)), op(3, 4, Read(1))]);
    right(&[op(0, 9, Write(1)), op(1, 2, Read(0)), op(3, 4, Read(1))]);
    right(&[op(0, 5, Incr(Some(2))), op(0, 5, Incr(Some(1)))]);
}

#[test]
fn a_stale_read_is_found() {
    wrong(&[op(0, 1, Write(1)), op(2, 3, Write(2)), op(4, 5, Read(1))]);
    wrong(&[op(0, 1, Incr(Some(1))), op(2, 3, Incr(Some(2))), op(4, 5, Read(1))]);
    wrong(&[op(0, 9, Write(1)), op(1, 2, Read(1)), op(3, 4, Read(0))]);
}

#[test]
fn a_lost_write_is_found() {
    wrong(&[op(0, 1, Write(1)), op(2, 3, Write(2)), op(4, 5, Read(2)), op(6, 7, Read(1))]);
    wrong(&[op(0, 1, Write(1)), op(2, 3, Read(0))]);
    wrong(&[op(0, 1, Incr(Some(1))), op(2, 3, Incr(Some(1)))]);
}

#[test]
fn a_dirty_read_is_found() {
    // Its outcome is unknown; but who has read it cannot read what was before.
    wrong(&[op(0, 1, Write(1)), unknown(2, Write(2)), op(3, 4, Read(2)), op(5, 6, Read(1))]);
    // Nobody has written this, or not yet.
    wrong(&[op(0, 1, Write(1)), op(2, 3, Read(7))]);
    wrong(&[op(3, 4, Write(1)), op(0, 2, Read(1))]);
    wrong(&[unknown(3, Write(1)), op(0, 2, Read(1))]);
    wrong(&[op(0, 1, Incr(Some(1))), op(2, 3, Read(2))]);
}

#[test]
fn a_number_told_twice_or_left_out_is_found() {
    wrong(&[op(0, 1, Incr(Some(1))), op(2, 3, Incr(Some(2))), op(4, 5, Incr(Some(2)))]);
    wrong(&[op(0, 1, Incr(Some(1))), op(2, 3, Incr(Some(3)))]);
    // One outcome is unknown, two numbers are missing.
    wrong(&[op(0, 1, Incr(Some(1))), unknown(2, Incr(None)), op(4, 5, Incr(Some(4)))]);
    // It was asked for only after the number that it would explain.
    wrong(&[op(0, 1, Incr(Some(1))), unknown(6, Incr(None)), op(2, 3, Incr(Some(3)))]);
}

#[test]
fn what_has_an_unknown_outcome_may_take_effect_at_any_later_time_or_never() {
    let write = [op(0, 1, Write(1)), unknown(2, Write(2)), op(3, 4, Read(1))];
    right(&write);
    right(&[&write[..], &[op(50, 51, Read(2)), op(52, 53, Read(2))]].concat());
    right(&[&write[..], &[op(50, 51, Write(3)), op(52, 53, Read(3)), op(54, 55, Read(2))]].concat());
    wrong(&[&write[..], &[op(50, 51, Read(2)), op(52, 53, Read(1))]].concat());
    let count = [unknown(0, Incr(None)), unknown(0, Incr(None)), op(1, 2, Incr(Some(1)))];
    right(&count);
    right(&[&count[..], &[op(3, 4, Read(1)), op(5, 6, Incr(Some(3))), op(7, 8, Incr(Some(5)))]].concat());
    wrong(&[&count[..], &[op(3, 4, Read(1)), op(5, 6, Incr(Some(3))), op(7, 8, Incr(Some(6)))]].concat());
}

#[test]
fn settling_what_is_unknown_changes_no_verdict() {
    let mut random = fastrand::Rng::with_seed(7);
    let (mut rights, mut wrongs) = (0, 0);
    for _ in 0..20_000 {
        let counts = random.bool();
        let operations: Vec<Operation> = (1..=random.i64(1..=7))
            .map(|n| {
                let call = random.u64(0..20);
                let end = random.u8(0..3).gt(&0).then(|| at(call + random.u64(1..10)));
                let act = match (counts, random.bool()) {
                    (true, true) => Incr(end.is_some().then(|| random.i64(1..=4))),
                    (false, true) => Write(n),
                    (_, false) => Read(random.i64(0..=4)),
                };
                let end = end.or_else(|| matches!(act, Read(_)).then(|| at(call + 1)));
                Operation { act, call: at(call), end }
            })
            .collect();
        let (plain, quick) = (search(&operations).unwrap(), search(&settled(&operations)).unwrap());
        assert_eq!(plain, quick, "{operations:?}");
        if plain { rights += 1 } else { wrongs += 1 }
    }
    assert!(rights > 2_000 && wrongs > 2_000, "{rights} right, {wrongs} wrong");
}

/// A history as a linearizable key would give it to `clients` that hardly pause, one in ten of whose writes never get an
/// answer.
fn played(random: &mut fastrand::Rng, clients: usize, operations: usize, counts: bool) -> Vec<Operation> {
    // Each client's turn: call, effect, end.
    let mut turns: Vec<(u64, u64, u64, bool)> = Vec::new();
    for _ in 0..clients {
        let mut now = random.u64(0..1000);
        for _ in 0..operations / clients {
            let (effect, end) = (now + random.u64(1..2000), now + random.u64(2000..4000));
            let lost = random.u8(0..10) == 0;
            // What nobody waits for any more may still come, later, or never.
            let late = if random.bool() { random.u64(0..50_000) } else { u64::MAX / 2 };
            turns.push(if lost { (now, effect + late, end, true) } else { (now, effect, end, false) });
            now = end + random.u64(1..200);
        }
    }
    turns.sort_by_key(|(_, effect, ..)| *effect);
    let mut value = 0;
    let mut history = Vec::new();
    for (n, (call, _, end, lost)) in (1..).zip(turns) {
        let writes = random.u8(0..3) == 0;
        if lost && !writes {
            continue;
        }
        value = if writes { if counts { value + 1 } else { n } } else { value };
        let act = match (writes, counts) {
            (false, _) => Read(value),
            (true, false) => Write(value),
            (true, true) => Incr((!lost).then_some(value)),
        };
        history.push(Operation { act, call: at(call), end: (!lost).then(|| at(end)) });
    }
    history
}

#[test]
fn long_histories_with_unknown_outcomes_are_judged_right_and_one_wrong_reply_in_them_is_found() {
    let seed = std::env::var("ERAFT_SEED").ok().map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("seed {seed} (ERAFT_SEED repeats it)");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut history = History::default();
    for key in 0..24 {
        let operations = played(&mut random, 4, 400, key % 3 == 0);
        for operation in &operations {
            history.add(&format!("key-{key}"), *operation);
        }
        if key % 4 == 0 {
            assert_broken_is_found(operations, &mut random);
        }
    }
    let checked = history.check();
    println!("{checked}");
    assert_eq!(checked.histories, 24);
    assert!(checked.operations > 8_500 && checked.unknown > 100, "{checked}");
}

/// One read of what was there at the very beginning, in the middle of it all.
fn assert_broken_is_found(mut operations: Vec<Operation>, random: &mut fastrand::Rng) {
    let place = random.usize(operations.len() / 4..operations.len() / 2);
    let stale = operations[place..].iter_mut().find(|operation| matches!(operation.act, Read(_))).unwrap();
    stale.act = Read(0);
    let stale = *stale;
    match verdict(&operations) {
        Verdict::Impossible { operation, before } => {
            // Another may have ended in the same millisecond.
            assert_eq!(operation.end, stale.end);
            assert!(!before.is_empty());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
#[should_panic(expected = "gave up")]
fn a_checker_that_gives_up_has_shown_nothing() {
    // Forty writes at once, and a read of what none of them wrote: any order of them is tried.
    let mut history = History::default();
    (1..=40).for_each(|n| history.add("key", op(0, 9, Write(n))));
    history.add("key", op(10, 11, Read(41)));
    history.check();
}
