//! Running cases: one as a test of its own, or all of them for a report.
//!
//! A case runs under several seeds, on a runtime of its own, with a limit after which it counts as stuck. A case that
//! needs what the backend does not declare is skipped, and says so on a line that can be counted.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use futures_util::future::BoxFuture;

use crate::{Capability, Env, Lab};

/// Makes the environment for one case under one seed.
pub type MakeEnv<'a> = &'a dyn Fn(u64) -> Box<dyn Env>;

/// How many seeds a case runs under, unless `ERAFT_SEEDS` says otherwise; `ERAFT_SEED` gives the only one.
pub const SEEDS: u64 = 4;
/// After this a case counts as stuck: a receipt that never resolves must not hang a build.
const STUCK_AFTER: Duration = Duration::from_secs(250);

/// One promise, as something that can be run.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The topic: the file it stands in.
    pub topic: &'static str,
    /// Its name, which begins with the line of the contract where it tests one.
    pub name: &'static str,
    /// What the backend must declare for it.
    pub needs: &'static [Capability],
    /// The case.
    pub run: for<'a> fn(&'a mut Lab) -> BoxFuture<'a, ()>,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed under every seed.
    Passed {
        /// Everything that was checked, in number.
        checks: u64,
    },
    /// It failed: the seed, and why.
    Failed {
        /// The seed it failed under.
        seed: u64,
        /// What was expected, and what was found.
        why: String,
    },
    /// It was not run.
    Skipped {
        /// What the backend does not declare.
        missing: Capability,
        /// Why not.
        reason: String,
    },
}

impl Case {
    /// Runs the case under every seed, until it fails.
    pub fn run(&self, env: MakeEnv<'_>) -> Outcome {
        self.run_under(seeds(SEEDS), env)
    }

    /// The same under these seeds.
    pub fn run_under(&self, seeds: impl IntoIterator<Item = u64>, env: MakeEnv<'_>) -> Outcome {
        let mut checks = 0;
        for (nth, seed) in seeds.into_iter().enumerate() {
            match self.run_seed(env, seed, nth > 0) {
                Outcome::Passed { checks: more } => checks += more,
                other => return other,
            }
        }
        Outcome::Passed { checks }
    }

    /// Runs the case as a test: panics where it fails, and says so where it is skipped.
    pub fn test(&self, env: MakeEnv<'_>) {
        self.test_under(SEEDS, env);
    }

    /// The same where a seed is dear: under so many of them, unless the environment says otherwise.
    pub fn test_under(&self, by_default: u64, env: MakeEnv<'_>) {
        let required = std::env::var("ERAFT_REQUIRE").unwrap_or_default();
        match self.verdict(self.run_under(seeds(by_default), env), &required) {
            Ok(None) => {}
            Ok(Some(skipped)) => println!("{skipped}"),
            Err(failed) => panic!("{failed}"),
        }
    }

    /// What a test makes of the outcome: nothing to say, the line that tells of a skipped case, or a failure. `required`
    /// names the capabilities, separated by commas, whose absence is one.
    ///
    /// # Errors
    /// Why the test fails.
    pub fn verdict(&self, outcome: Outcome, required: &str) -> Result<Option<String>, String> {
        let name = self.name;
        match outcome {
            Outcome::Passed { .. } => Ok(None),
            Outcome::Failed { seed, why } => Err(format!("{name} under seed {seed}: {why}\nagain: ERAFT_SEED={seed}")),
            Outcome::Skipped { missing, reason } if required.split(',').any(|name| name.trim() == missing.name()) => {
                Err(format!("{name} needs {missing}, which is required here and not declared: {reason}"))
            }
            Outcome::Skipped { missing, reason } => {
                Ok(Some(format!("SKIPPED {name}: {missing} is not declared: {reason}")))
            }
        }
    }

    fn run_seed(&self, env: MakeEnv<'_>, seed: u64, again: bool) -> Outcome {
        let env = env(seed);
        let capabilities = env.capabilities();
        for missing in self.needs {
            if let Some(reason) = capabilities.missing(*missing) {
                return Outcome::Skipped { missing: *missing, reason: reason.to_owned() };
            }
        }
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime for the case");
            runtime.block_on(async {
                let mut lab = Lab::new(env, seed, again);
                let ended = tokio::time::timeout(STUCK_AFTER, (self.run)(&mut lab)).await;
                assert!(ended.is_ok(), "stuck: nothing more happened within {STUCK_AFTER:?}");
                assert!(lab.checks() > 0, "the case passed without having checked anything");
                lab.checks()
            })
        }));
        match ran {
            Ok(checks) => Outcome::Passed { checks },
            Err(panic) => Outcome::Failed { seed, why: message(&*panic) },
        }
    }
}

/// The seeds that the environment asks for.
fn seeds(by_default: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("ERAFT_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("ERAFT_SEEDS").unwrap_or(by_default).max(1)).collect(),
    }
}

pub(crate) fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}
