//! A stranger's backend passes the suite: the one in `examples/redb`, written from docs/BACKENDS.md.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

#[path = "../examples/redb/backend/mod.rs"]
mod backend;
#[path = "../examples/redb/env/mod.rs"]
mod env;

use eraft_conformance::{Capabilities, Outcome, cases, crash_states, sweep};

eraft_conformance::conformance!(env::RedbEnv::new);

/// A full disk is not declared for the sake of `room_bytes`; what does not depend on it holds.
#[test]
fn a_full_disk_harms_nothing_though_its_room_is_not_told() {
    for name in ["line_14_a_full_disk_is_full_and_harms_nothing", "line_14_a_save_that_does_not_fit_fails_whole"] {
        let outcome = cases::find(name).run(&|seed| Box::new(env::RedbEnv::declaring(Capabilities::all(), seed)));
        assert!(matches!(outcome, Outcome::Passed { .. }), "{name}: {outcome:?}");
    }
}

#[test]
fn nothing_acknowledged_is_lost_in_any_crash_state_and_the_next() {
    let plan = crash_states::Plan { states: 1, operations: 300, per_category: 40, ..Default::default() }.from_env();
    let report = crash_states::run(&env::OnJournal, &plan).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{report}");
    assert!(plan.only.is_some() || report.total() > 100, "{report}");
}

#[test]
fn whichever_call_of_its_file_fails_nothing_acknowledged_is_lost() {
    let plan = sweep::Plan::from_env(16);
    let report = sweep::run(&env::OnFaultyFile, &plan).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{report}");
    assert!(plan.only.is_some() || report.by_fault()[&sweep::Fault::Io].0 > 20, "{report}");
}
