//! A random walk that fails is told as a handful of operations: those that it takes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use eraft_conformance::{
    Outcome, cases,
    mutants::{Bug, environment},
};

/// What the case tells of a store with this bug: why it fails, and the operations of the walk, in words.
fn told(case: &str, bug: Bug) -> (String, Vec<String>) {
    let outcome = cases::find(case).run(&|seed| environment(seed, Some(bug)));
    let Outcome::Failed { why, .. } = outcome else { panic!("{bug:?} passes {case}: {outcome:?}") };
    println!("{bug:?}: {why}");
    let (why, walk) = why.split_once("the shortest walk found").expect("a walk that fails is told");
    let operations = walk.lines().skip(1).map(|line| line.split_once(". ").expect("a number").1.to_owned());
    (why.to_owned(), operations.collect())
}

/// It takes entries, others in their place, and a replay.
#[test]
fn a_replay_that_resurrects_entries_is_told_in_a_handful_of_operations() {
    let (why, walk) = told("random_walks_agree_with_the_model", Bug::ReplayResurrects);
    assert!(why.contains("outline"), "{why}");
    let [first, second, last] = &walk[..] else { panic!("{walk:#?}") };
    assert!(first.contains(" 0 bytes each") && !first.contains("vote"), "simple as can be: {walk:#?}");
    assert!(first.contains(" entries 1..=") && second.ends_with("which replace what stood there"), "{walk:#?}");
    assert_eq!(last, "closed, and opened again", "the last operation is where it shows");
}

/// What a power cut takes is chance, and what is found has been seen to fail: a few operations, of which the cut is the last.
#[test]
fn a_store_that_syncs_nothing_is_told_in_a_handful_of_operations_and_a_power_cut() {
    let (_, walk) = told("random_walks_through_crashes_agree_with_the_model", Bug::NothingSynced);
    assert!(walk.len() <= 6, "{walk:#?}");
    assert!(walk.iter().any(|words| words.starts_with("group ")), "{walk:#?}");
    assert_eq!(walk.last().map(String::as_str), Some("the power cut, and opened again"));
}

/// A bug that only a fault opens.
#[test]
fn a_poison_that_heals_is_told_as_one_fault() {
    let (why, walk) = told("random_walks_through_faults_agree_with_the_model", Bug::PoisonHeals);
    assert!(why.contains("expected Poisoned") || why.contains("behind one that failed"), "{why}");
    assert_eq!(walk.first().map(String::as_str), Some("the next sync fails"), "{walk:#?}");
    assert!(walk.len() <= 4, "one save in each of three groups: {walk:#?}");
}
