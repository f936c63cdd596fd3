//! A backend of one's own, put to the suite: `cargo run -p eraft-conformance --example redb` runs every case and counts.
//!
//! `backend/` is what a service would use; `env/` is what its author writes to have it tested.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test's environment"
)]

mod backend;
mod env;

use std::process::ExitCode;

use eraft_conformance::{MakeEnv, Outcome, cases, crash_states, sweep};

fn main() -> ExitCode {
    let make: MakeEnv<'_> = &|seed| Box::new(env::RedbEnv::new(seed));
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for case in cases::ALL {
        match case.run(make) {
            Outcome::Passed { .. } => passed += 1,
            Outcome::Failed { seed, why } => {
                failed += 1;
                println!("FAILED  {} under seed {seed}: {why}", case.name);
            }
            Outcome::Skipped { missing, reason } => {
                skipped += 1;
                println!("SKIPPED {}: {missing}: {reason}", case.name);
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    let plan = crash_states::Plan { states: 500, operations: 300, per_category: 50, ..Default::default() }.from_env();
    match crash_states::run(&env::OnJournal, &plan) {
        Ok(report) => println!("{report}"),
        Err(why) => {
            failed += 1;
            println!("FAILED  {why}");
        }
    }
    match sweep::run(&env::OnFaultyFile, &sweep::Plan::from_env(16)) {
        Ok(report) => println!("{report}"),
        Err(why) => {
            failed += 1;
            println!("FAILED  {why}");
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
