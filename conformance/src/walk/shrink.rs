//! The shortest walk that fails: operations are left out, by halves first and one by one at last, then what is left is
//! made simpler.
//!
//! It keeps nothing that it has not seen fail. Since a store may fail by chance (what a crash leaves, which thread is
//! first), a walk is given up only when it has passed several times.

use std::{fmt::Write as _, time::Duration};

use super::{Operation, Ordeals, operation::simpler, steps::attempt};
use crate::Lab;

/// How often a walk must pass before it counts as one that does not fail: what fails every other time is hardly missed.
const TRIES: usize = 10;
/// After so many attempts, or so long, what has been found is short enough.
const MAX_ATTEMPTS: usize = 5000;
const ENOUGH: Duration = Duration::from_secs(40);

/// The search, and the shortest walk so far.
struct Search<'a> {
    lab: &'a mut Lab,
    ordeals: &'a Ordeals,
    /// What fails, and the seed that each operation was drawn by.
    walk: Vec<(Operation, u64)>,
    /// What was done on it, and why it failed.
    trace: Vec<String>,
    why: String,
    attempts: usize,
}

/// The shortest walk found that fails, in words; `walk` does, as `trace` and `why` say.
pub(super) async fn shortest(
    lab: &mut Lab,
    ordeals: &Ordeals,
    walk: Vec<(Operation, u64)>,
    trace: Vec<String>,
    why: String,
) -> String {
    let drawn = walk.len();
    let mut search = Search { lab, ordeals, walk, trace, why, attempts: 0 };
    let search_all = async {
        search.leave_out().await;
        search.simplify().await;
        search.leave_out().await;
    };
    // Whether it came to its end or not, `search` has the best there is.
    let _in_time = tokio::time::timeout(ENOUGH, search_all).await;
    search.tell(drawn)
}

impl Search<'_> {
    /// Leaves out all that the walk fails without.
    async fn leave_out(&mut self) {
        let mut size = self.walk.len();
        while size > 0 {
            let before = self.walk.len();
            let mut at = 0;
            while at < self.walk.len() {
                let end = (at + size).min(self.walk.len());
                let mut shorter: Vec<Operation> = self.operations();
                shorter.drain(at..end);
                match self.fails(&shorter).await {
                    Some(begun) => {
                        self.walk.drain(at..end);
                        self.walk.truncate(begun);
                    }
                    None => at = end,
                }
            }
            // Single ones go as long as any goes: what needed another may have outlived it.
            if size > 1 || self.walk.len() == before {
                size /= 2;
            }
        }
    }

    /// Makes each operation as simple as it can be.
    async fn simplify(&mut self) {
        let mut nth = 0;
        while let Some((_, seed)) = self.walk.get(nth) {
            let (seed, mut seen) = (*seed, Vec::new());
            while let Some(simpler) = simpler(self.ordeals, seed, &seen).filter(|_| nth < self.walk.len()) {
                let mut operations = self.operations();
                operations[nth] = simpler.clone();
                let begun = self.fails(&operations).await;
                seen.push(begun.is_some());
                if let Some(begun) = begun {
                    self.walk[nth].0 = simpler;
                    self.walk.truncate(begun);
                }
            }
            nth += 1;
        }
    }

    /// Whether this walk is seen to fail: after how many operations. What it did is kept then.
    async fn fails(&mut self, operations: &[Operation]) -> Option<usize> {
        for _ in 0..TRIES {
            if self.attempts == MAX_ATTEMPTS {
                return None;
            }
            self.attempts += 1;
            let tried = attempt(self.lab, self.ordeals, operations).await;
            if let Err(why) = tried.outcome {
                (self.trace, self.why) = (tried.trace, why);
                return Some(tried.begun);
            }
        }
        None
    }

    fn operations(&self) -> Vec<Operation> {
        self.walk.iter().map(|(operation, _)| operation.clone()).collect()
    }

    fn tell(&self, drawn: usize) -> String {
        let Search { walk, trace, why, attempts, .. } = self;
        let mut told = format!(
            "{why}\nthe shortest walk found on which that happens has {} of {drawn} operations ({attempts} tried):\n",
            walk.len()
        );
        for (nth, words) in trace.iter().enumerate() {
            let _ = writeln!(told, "{:>4}. {words}", nth + 1);
        }
        told
    }
}
