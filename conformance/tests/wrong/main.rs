//! The suite proves itself: it fails backends that are wrong by one decision each, and at the case that names the bug.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;
mod wrapper;

use std::sync::Arc;

use eraft_conformance::{Case, Outcome, cases};
use support::MemoryEnv;
use wrapper::{Bug, Wrong};

/// Every case that the wrong backend fails, and why.
fn failures(bug: Bug) -> Vec<(&'static str, String)> {
    let failed = |case: &'static Case| {
        let make: eraft_conformance::MakeEnv<'_> =
            &|seed| Box::new(MemoryEnv::new(seed, Arc::new(move |storage| Wrong::wrap(storage, bug))));
        match case.run_under([1], make) {
            Outcome::Failed { why, .. } => Some((case.name, why)),
            Outcome::Passed { .. } | Outcome::Skipped { .. } => None,
        }
    };
    cases::ALL.iter().filter_map(failed).collect()
}

/// The backend fails at `named`, and at no more than `most` cases in all: the suite tells bugs apart.
fn caught(bug: Bug, named: &str, most: usize) {
    let failed = failures(bug);
    for (case, why) in &failed {
        println!("{bug:?} fails {case}: {}", why.lines().next().unwrap_or_default());
    }
    assert!(failed.iter().any(|(case, _)| *case == named), "{bug:?} passes {named}; it fails {failed:?}");
    assert!(failed.len() <= most, "{bug:?} fails {} cases, expected {most} at most: {failed:?}", failed.len());
}

#[test]
fn a_truncation_that_is_off_by_one_is_caught() {
    caught(Bug::TruncatesOneTooLate, "line_04_a_replacement_keeps_exactly_what_precedes_it", 20);
}

#[test]
fn a_snapshot_that_is_visible_before_it_is_saved_is_caught() {
    caught(Bug::ShowsStaged, "line_07_a_staged_snapshot_is_invisible_until_saved", 8);
}

#[test]
fn receipts_out_of_order_are_caught() {
    caught(Bug::ReceiptsOutOfOrder, "line_01_receipts_resolve_in_call_order", 4);
}

#[test]
fn a_hard_state_that_is_acknowledged_and_not_saved_is_caught() {
    caught(Bug::ForgetsLoneHardStates, "line_01_the_newest_hard_state_wins", 12);
}

#[test]
fn an_invalid_save_that_poisons_is_caught() {
    caught(Bug::InvalidPoisons, "line_09_invalid_saves_do_not_poison", 30);
}

#[test]
fn an_invalid_save_that_leaves_its_hard_state_is_caught() {
    caught(Bug::InvalidSavesHardState, "line_09_an_invalid_save_changes_nothing", 2);
}

#[test]
fn a_read_that_gives_nothing_where_one_entry_is_too_large_is_caught() {
    caught(Bug::ReadsNothingTooLarge, "line_10_a_read_stays_within_its_bytes_but_returns_one_entry", 8);
}

#[test]
fn a_read_that_is_one_entry_over_its_bound_is_caught() {
    caught(Bug::ReadsOneOver, "line_10_a_read_stays_within_its_bytes_but_returns_one_entry", 3);
}

#[test]
fn a_reader_that_dies_with_a_newer_snapshot_is_caught() {
    caught(Bug::ReaderDiesWithNewer, "line_08_an_open_reader_outlives_newer_snapshots", 1);
}

#[test]
fn sizes_that_forget_a_restart_are_caught() {
    caught(Bug::SizesForgetRestart, "sizes_survive_an_opening", 2);
}

#[test]
fn a_poison_that_does_not_name_the_first_failure_is_caught() {
    caught(Bug::PoisonWithoutCause, "line_09_a_failed_sync_poisons_the_engine", 2);
}
