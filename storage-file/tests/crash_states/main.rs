//! Every state in which a crash may leave a store of files, within a budget: each opens and holds all that was
//! acknowledged, and holds what is acknowledged after it.
//!
//! `ERAFT_LONG=1` makes it 10^7 states; `ERAFT_CRASH_STATES` any other number. A failure says how to repeat it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod agreement;
mod seam;
mod stepped;

use eraft_conformance::crash_states::{Plan, run};

use crate::seam::{Files, Skips};

/// No category may be rarer than this: what is hardly met is hardly tested.
const LEAST_SHARE: f64 = 0.01;

#[test]
fn nothing_acknowledged_is_lost_in_any_crash_state_and_the_next() {
    let long = std::env::var("ERAFT_LONG").is_ok_and(|long| long == "1");
    let plan = Plan { states: if long { 10_000_000 } else { 100_000 }, ..Plan::default() }.from_env();
    let report = run(&Files::default(), &plan).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{report}");
    if plan.only.is_some() {
        return;
    }
    assert!(report.total() >= plan.states && report.fewest_operations >= 2000, "{report}");
    let kinds = ["initialise", "append", "truncate", "compact", "vote", "stage", "publish", "install", "abandon"];
    for kind in kinds.into_iter().chain(["batch", "close", "kill"]) {
        assert!(report.kinds.contains_key(kind), "the workloads never did: {kind}\n{report}");
    }
    let rare = report.rarer_than(LEAST_SHARE);
    assert!(rare.is_empty(), "under {} %: {rare:?}\n{report}", 100.0 * LEAST_SHARE);
}

/// A part of one short workload.
fn small() -> Plan {
    Plan { states: 1, operations: 300, per_category: 30, ..Plan::default() }
}

/// The same in small: the mutants' test.
#[test]
fn a_short_life_is_safe_at_every_crash() {
    let plan = Plan { operations: 1500, per_category: 250, ..small() };
    let report = run(&Files::default(), &plan).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{report}");
    assert!(report.total() > 2000, "{report}");
}

#[test]
fn the_same_seed_gives_the_same_states_and_another_gives_others() {
    let digest = |seed| run(&Files::default(), &Plan { seed, ..small() }).unwrap().digest;
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
}

#[test]
fn a_failure_is_found_again_by_its_name() {
    for skips in [Skips::Data, Skips::Names] {
        let careless = Files { skips };
        let failure = run(&careless, &small()).unwrap_err();
        let (_, name) = failure.split_once("ERAFT_CRASH_STATE=").unwrap();
        let again = run(&careless, &Plan { only: Some(name.to_owned()), ..small() }).unwrap_err();
        assert_eq!(again, failure, "{skips:?}");
        run(&Files::default(), &Plan { only: Some(name.to_owned()), ..small() }).unwrap();
    }
}
