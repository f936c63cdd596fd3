//! The named tests on the tree as it is: each must exist and be green, or its mutants say nothing.
//!
//! Tests of one binary that are named exactly are run together, which costs one start instead of many; where that does not
//! settle it, each is run alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use super::patch::Patch;
use super::tree::Tree;
use super::trial::{self, Verdict};

/// The arguments of `cargo test`, as a patch has them.
type Test = Vec<String>;

/// What is known of the patches' tests on the tree as it is. Workers share it: what one has found holds for all.
#[derive(Debug)]
pub(crate) struct Baseline<'a> {
    /// The tests of one binary, and the command line that runs all of them.
    groups: Vec<(Test, Vec<&'a Test>)>,
    green: Mutex<BTreeMap<&'a Test, bool>>,
}

impl<'a> Baseline<'a> {
    pub(crate) fn of(patches: &'a [Patch]) -> Baseline<'a> {
        let tests: BTreeSet<&Test> = patches.iter().map(|patch| &patch.test).collect();
        Baseline { groups: groups(&tests), green: Mutex::default() }
    }

    /// Whether this test is green, found out with all others of its binary when the first of them is asked for; what is wrong
    /// with one is printed.
    pub(crate) fn is_green(&self, tree: &Tree, target: &Path, test: &Test) -> Result<bool> {
        if let Some(green) = self.known(test) {
            return Ok(green);
        }
        if let Some((together, alone)) = self.groups.iter().find(|(_, alone)| alone.contains(&test)) {
            let found = judge(tree, target, together, alone)?;
            self.green.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        }
        Ok(self.known(test).unwrap_or(false))
    }

    fn known(&self, test: &Test) -> Option<bool> {
        self.green.lock().unwrap_or_else(PoisonError::into_inner).get(test).copied()
    }
}

fn judge<'a>(tree: &Tree, target: &Path, together: &Test, alone: &[&'a Test]) -> Result<Vec<(&'a Test, bool)>> {
    if matches!(trial::run(tree, target, together)?, Verdict::Survived { passed } if passed == alone.len()) {
        return Ok(alone.iter().map(|test| (*test, true)).collect());
    }
    let mut found = Vec::new();
    for test in alone {
        let verdict = trial::run(tree, target, test)?;
        let green = matches!(verdict, Verdict::Survived { .. });
        if !green {
            println!("without a mutant, `cargo test {}`: {}", test.join(" "), verdict.as_baseline());
        }
        found.push((*test, green));
    }
    Ok(found)
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
