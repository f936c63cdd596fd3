//! Many histories, one a seed: which ones, how long, and whether they reached what they are for.
//!
//! `ERAFT_SEED=17` runs one history, `ERAFT_SEEDS=100000` that many, `ERAFT_STEPS=50000` longer ones. A seed that fails is
//! printed.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

/// Runs `history` under `default_seeds` seeds, or as the environment says, and sums up what it counts. With as many seeds
/// as by default, all of it must have happened.
pub(crate) fn run(default_seeds: u64, history: impl Fn(u64) -> Vec<(&'static str, u64)>) {
    let (first, many) = match given("ERAFT_SEED") {
        Some(seed) => (seed, 1),
        None => (0, given("ERAFT_SEEDS").unwrap_or(default_seeds)),
    };
    let mut total: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in first..first + many {
        match catch_unwind(AssertUnwindSafe(|| history(seed))) {
            Ok(counts) => counts.into_iter().for_each(|(name, count)| *total.entry(name).or_default() += count),
            Err(panic) => {
                eprintln!("seed {seed} failed; run it alone with ERAFT_SEED={seed}");
                resume_unwind(panic);
            }
        }
    }
    println!("{many} seeds from {first}: {total:#?}");
    if many >= default_seeds {
        let never: Vec<_> = total.iter().filter(|(_, count)| **count == 0).map(|(name, _)| name).collect();
        assert!(never.is_empty(), "states that were never reached prove nothing: {never:?}");
    }
}

/// How many turns a history has.
pub(crate) fn turns(default: usize) -> usize {
    given("ERAFT_STEPS").map_or(default, |turns| usize::try_from(turns).expect("a number that fits"))
}

fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}
