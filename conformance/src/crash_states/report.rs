//! What an enumeration did: states by category, and at what speed.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::Category;

/// The result of an enumeration that found nothing wrong.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Under which seed.
    pub seed: u64,
    /// How many workloads were recorded.
    pub rounds: u64,
    /// How many changes of the disk they made together.
    pub operations: usize,
    /// The fewest changes that one workload made.
    pub fewest_operations: usize,
    /// How often each kind of thing was done.
    pub kinds: BTreeMap<&'static str, usize>,
    /// Distinct states of each category.
    pub states: BTreeMap<Category, u64>,
    /// States that were met again where more had been acknowledged, so were put to the test again.
    pub again: u64,
    /// A number for the contents of all states together: the same under the same seed, on any machine.
    pub digest: u64,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// All distinct states.
    pub fn total(&self) -> u64 {
        self.states.values().sum()
    }

    /// The categories that have less than this share of all states, or none.
    pub fn rarer_than(&self, share: f64) -> Vec<Category> {
        let least = share * self.total() as f64;
        let count = |category: &Category| self.states.get(category).copied().unwrap_or(0);
        let is_rare = |category: &Category| count(category) == 0 || (count(category) as f64) < least;
        Category::ALL.into_iter().filter(is_rare).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        writeln!(f, "crash states under seed {}", self.seed)?;
        writeln!(
            f,
            "{} workloads, {} changes of the disk (at least {} each):",
            self.rounds, self.operations, self.fewest_operations
        )?;
        let kinds: Vec<String> = self.kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        writeln!(f, "  {}", kinds.join(", "))?;
        for category in Category::ALL {
            let states = self.states.get(&category).copied().unwrap_or(0);
            writeln!(f, "  {category:<36} {states:>9}  {:>5.1} %", 100.0 * states as f64 / total.max(1) as f64)?;
        }
        let per_second = (total + self.again) as f64 / self.took.as_secs_f64().max(0.001);
        writeln!(f, "  {:<36} {total:>9}", "distinct states")?;
        write!(
            f,
            "  {} more checks of states met again; {:.0} s, {per_second:.0} states a second",
            self.again,
            self.took.as_secs_f64()
        )
    }
}
