//! The suite itself: nothing is missing from its table, and no case passes, or is skipped, without a word.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "reads this crate's own sources")]

use std::{collections::BTreeMap, path::Path, sync::Arc};

use eraft_conformance::{Capability, Case, MakeEnv, Outcome, cases};
use support::MemoryEnv;

mod support;

fn run(case: &Case) -> Outcome {
    let make: MakeEnv<'_> = &|seed| Box::new(MemoryEnv::new(seed, Arc::new(|storage| storage)));
    case.run_under([1, 2], make)
}

#[test]
fn every_case_that_is_written_is_in_the_table() {
    let mut written = Vec::new();
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cases")).unwrap() {
        let path = file.unwrap().path();
        let topic = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let names = text.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split_once('('));
        written.extend(names.map(|(name, _)| (topic.clone(), name.to_owned())));
    }
    let mut listed: Vec<_> = cases::ALL.iter().map(|case| (case.topic.to_owned(), case.name.to_owned())).collect();
    written.sort();
    listed.sort();
    assert_eq!(written, listed);
    listed.dedup_by(|a, b| a.1 == b.1);
    assert_eq!(listed.len(), cases::ALL.len(), "names are unique");
}

#[test]
fn every_line_of_the_contract_has_its_cases() {
    let mut per_line: BTreeMap<u8, usize> = (1..=15).map(|line| (line, 0)).collect();
    for case in cases::ALL {
        if let Some(line) = case.name.strip_prefix("line_").and_then(|rest| rest.get(..2)) {
            *per_line.entry(line.parse().unwrap()).or_default() += 1;
        }
    }
    assert_eq!(per_line.len(), 15, "{per_line:?}");
    assert!(per_line.values().all(|count| *count >= 3), "{per_line:?}");
}

#[test]
fn a_case_that_checks_nothing_fails() {
    let idle = Case { topic: "none", name: "idle", needs: &[], run: |lab| Box::pin(async { drop(lab.fresh().await) }) };
    let Outcome::Failed { seed, why } = run(&idle) else { panic!("it passed") };
    assert_eq!((seed, why.as_str()), (1, "the case passed without having checked anything"));
}

#[test]
fn a_failure_tells_the_case_the_seed_and_how_to_repeat_it() {
    let wrong = Case {
        topic: "none",
        name: "wrong",
        needs: &[],
        run: |lab| Box::pin(async { lab.equal("two numbers", 1, 2) }),
    };
    let told = wrong.verdict(run(&wrong), "").unwrap_err();
    assert_eq!(told, "wrong under seed 1: two numbers: expected 2, found 1\nagain: ERAFT_SEED=1");
}

#[test]
fn a_skipped_case_says_so_and_fails_where_its_capability_is_required() {
    let case = cases::find("line_03_a_vote_survives_a_power_cut");
    let skipped = run(case);
    assert!(matches!(skipped, Outcome::Skipped { missing: Capability::PowerLoss, .. }), "{skipped:?}");
    let line = case.verdict(skipped.clone(), "kill, damage").unwrap().unwrap();
    let expected =
        "SKIPPED line_03_a_vote_survives_a_power_cut: power-loss is not declared: memory keeps nothing without power";
    assert_eq!(line, expected);
    assert!(case.verdict(skipped, "kill, power-loss").is_err());
}
