//! The model test: a random walk of saves, stages, reads, openings, crashes and faults, on a store and on the model at
//! once. Whatever the named cases did not think of.
//!
//! After a crash each group must show the state after some save that was made, and none before the newest one that was
//! acknowledged. A walk that fails is made shorter and simpler for as long as it goes on failing, and told operation by
//! operation.
//!
//! `operation` is what can be done, `group` what it means where a group stands, `steps` does it and compares, `shrink`
//! finds the shortest walk that fails.
//!
//! It may assume that the store is driven by this walk alone. Threads are real: the seed fixes what is done, not which
//! thread is first, so a walk that passes has not proved that it cannot fail; the search tries each one several times,
//! and keeps only what it has seen fail.

mod group;
mod operation;
mod shrink;
mod steps;

use operation::{Fault, Operation};

use crate::{Capability, Crash, Lab};

/// How many operations a walk has; `ERAFT_STEPS` says otherwise.
const STEPS: usize = 300;
/// How many groups a walk goes through at once, where an engine holds many.
const GROUPS: u64 = 3;

/// What a backend is put through on a walk.
#[derive(Clone, Debug)]
pub(crate) struct Ordeals {
    groups: u64,
    crashes: Vec<Crash>,
    faults: Vec<Fault>,
}

impl Ordeals {
    /// Nothing but calls and openings, in as many groups as there can be.
    pub(crate) fn none(lab: &mut Lab) -> Ordeals {
        let many = lab.env().capabilities().missing(Capability::ManyGroups).is_none();
        Ordeals { groups: if many { GROUPS } else { 1 }, crashes: Vec::new(), faults: Vec::new() }
    }

    /// And every crash that is declared.
    #[must_use]
    pub(crate) fn with_crashes(mut self, lab: &mut Lab) -> Ordeals {
        self.crashes =
            declared(lab, &[(Capability::Kill, Crash::Kill), (Capability::PowerLoss, Crash::PowerLoss)]).collect();
        self
    }

    /// And every fault that is.
    #[must_use]
    pub(crate) fn with_faults(mut self, lab: &mut Lab) -> Ordeals {
        self.faults =
            declared(lab, &[(Capability::FailedSync, Fault::Sync), (Capability::FailedWrite, Fault::Write)]).collect();
        self
    }
}

fn declared<T: Copy>(lab: &mut Lab, ordeals: &[(Capability, T)]) -> impl Iterator<Item = T> {
    let capabilities = lab.env().capabilities();
    ordeals.iter().filter(move |(one, _)| capabilities.missing(*one).is_none()).map(|(_, ordeal)| *ordeal)
}

/// A walk under the lab's seed: store and model agree all the way, or the case fails with the shortest walk found on
/// which they do not.
pub(crate) async fn agrees(lab: &mut Lab, ordeals: &Ordeals) {
    let steps = std::env::var("ERAFT_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(STEPS);
    let seeds: Vec<u64> = (0..steps).map(|_| lab.random.u64(..)).collect();
    let walk = operation::drawn(ordeals, &seeds);
    let attempt = steps::attempt(lab, ordeals, &walk).await;
    if let Err(why) = attempt.outcome {
        let walk = walk.into_iter().zip(seeds).take(attempt.begun).collect();
        let told = shrink::shortest(lab, ordeals, walk, attempt.trace, why).await;
        lab.holds("store and model", false, || told);
    }
}
