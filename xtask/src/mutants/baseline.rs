//! The named tests on the tree as it is: each must exist and be green, or its mutants say nothing.
//!
//! Tests of one binary that are named exactly are run together, which costs one start instead of many; where that does not
//! settle it, each is run alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;

use super::patch::Patch;
use super::tree::Tree;
use super::trial::{self, Verdict};

/// The arguments of `cargo test`, as a patch has them.
type Test = Vec<String>;

/// Which of the patches' tests are not green, each printed with what is wrong.
pub(crate) fn not_green(tree: &Tree, target: &Path, patches: &[Patch]) -> Result<BTreeSet<Test>> {
    let tests: BTreeSet<&Test> = patches.iter().map(|patch| &patch.test).collect();
    let mut bad = BTreeSet::new();
    for (together, alone) in groups(&tests) {
        let all = alone.len();
        if matches!(trial::run(tree, target, &together)?, Verdict::Survived { passed } if passed == all) {
            continue;
        }
        for test in alone {
            let verdict = trial::run(tree, target, test)?;
            if !matches!(verdict, Verdict::Survived { .. }) {
                println!("without a mutant, `cargo test {}`: {}", test.join(" "), verdict.as_baseline());
                bad.insert(test.clone());
            }
        }
    }
    Ok(bad)
}

/// Tests that differ only in the one name after `-- --exact`, as one command line each, with the single ones.
fn groups<'a>(tests: &BTreeSet<&'a Test>) -> Vec<(Test, Vec<&'a Test>)> {
    let mut groups: BTreeMap<&[String], Vec<&Test>> = BTreeMap::new();
    for test in tests {
        let key = match test.as_slice() {
            [most @ .., dashes, exact, _] if dashes == "--" && exact == "--exact" => most,
            whole => whole,
        };
        groups.entry(key).or_default().push(test);
    }
    let together = |alone: &[&Test]| {
        let mut line = alone.first().map(|first| (*first).clone()).unwrap_or_default();
        line.extend(alone.iter().skip(1).filter_map(|test| test.last().cloned()));
        line
    };
    groups.into_values().map(|alone| (together(&alone), alone)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(line: &str) -> Test {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn tests_of_one_binary_are_run_together() {
        let tests = ["-p a --test g -- --exact x", "-p a --test g -- --exact y", "-p a --test h -- --exact x", "-p b"];
        let tests = tests.map(test);
        let groups = groups(&tests.iter().collect());
        let lines: Vec<String> =
            groups.iter().map(|(line, alone)| format!("{} {}", alone.len(), line.join(" "))).collect();
        assert_eq!(lines, ["2 -p a --test g -- --exact x y", "1 -p a --test h -- --exact x", "1 -p b"]);
    }
}
