//! The suite proves itself: a store that is right passes every case, and each of its wrong twins fails the case that is
//! about its bug, and few others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "many wrong stores are tried at once")]

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use eraft_conformance::{
    Capability, Case, Outcome, cases,
    mutants::{Bug, environment},
};

/// Seeds that the case about a bug may need: a crash must come in the very moment that the bug opens.
const NAMED_SEEDS: u64 = 60;
/// At least so many bugs are fine ones: every case without a crash or a fault passes, and few fail.
const FINE_BUGS: usize = 20;
/// So many cases a fine bug fails at most.
const FEW: usize = 5;

/// Every case that a store with this bug fails, and why.
fn failures(bug: Option<Bug>) -> Vec<(&'static Case, String)> {
    let failed = |case: &'static Case| {
        let seeds = if bug.is_some_and(|bug| bug.case() == case.name) { 1..=NAMED_SEEDS } else { 1..=1 };
        match case.run_under(seeds, &|seed| environment(seed, bug)) {
            Outcome::Failed { why, .. } => Some((case, why)),
            Outcome::Passed { .. } | Outcome::Skipped { .. } => None,
        }
    };
    cases::ALL.iter().filter_map(failed).collect()
}

/// Whether a case goes without crashes and faults.
fn is_plain(case: &Case) -> bool {
    case.needs.iter().all(|need| *need == Capability::ManyGroups)
}

#[test]
fn the_store_without_a_bug_passes_every_case() {
    let failed = failures(None);
    assert!(failed.is_empty(), "{:?}", failed.iter().map(|(case, why)| (case.name, why)).collect::<Vec<_>>());
    let skipped =
        |case: &&Case| matches!(case.run_under([1], &|seed| environment(seed, None)), Outcome::Skipped { .. });
    let of_full_disks = cases::ALL.iter().filter(skipped).all(|case| case.needs.contains(&Capability::FullDisk));
    assert!(of_full_disks, "more than the cases of full disks are skipped");
}

#[test]
fn every_wrong_store_fails_the_case_that_names_its_bug_and_few_others() {
    // Hundreds of cases are meant to panic here; the table tells of them.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(bug) = Bug::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    rows.lock().unwrap().push((*bug, failures(Some(*bug))));
                }
            });
        }
    });
    std::panic::set_hook(usual);
    let mut rows = rows.into_inner().unwrap();
    rows.sort_by_key(|(bug, _)| Bug::ALL.iter().position(|one| one == bug));

    println!("{:<36} {:>5}  {:>5}  cases that fail", "bug", "cases", "plain");
    for (bug, failed) in &rows {
        let plain = failed.iter().filter(|(case, _)| is_plain(case)).count();
        let names: Vec<_> = failed.iter().map(|(case, _)| case.name).collect();
        println!("{:<36} {:>5}  {plain:>5}  {}", format!("{bug:?}"), failed.len(), names.join(" "));
    }
    for (bug, failed) in &rows {
        let named = failed.iter().any(|(case, _)| case.name == bug.case());
        assert!(named, "{bug:?} ({}) passes {}", bug.what(), bug.case());
    }
    let fine = rows.iter().filter(|(_, failed)| failed.len() <= FEW && !failed.iter().any(|(case, _)| is_plain(case)));
    let fine = fine.count();
    println!(
        "{} wrong stores, all found; {fine} of them only by a crash or a fault, at {FEW} cases or fewer",
        rows.len()
    );
    assert!(fine >= FINE_BUGS, "only {fine} bugs are fine ones");
}
