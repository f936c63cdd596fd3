//! What a sweep did: points by call and fault, and how each was taken.

use std::{collections::BTreeMap, fmt};

use super::{Fault, Point};

/// How a life took a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// Its call was never made: an earlier choice of the threads' went another way.
    Never,
    /// Somebody was told of an error.
    Told,
    /// It went on: a short call was completed, an interrupted one made again, a file that nobody needs left lying.
    Borne,
}

/// The result of a sweep that found nothing wrong.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Under which seed.
    pub seed: u64,
    /// The calls of the life, without any fault.
    pub calls: Vec<(&'static str, u64)>,
    /// How many saves it made.
    pub saves: usize,
    /// For each call and fault: the points where an error was told, and those that were borne.
    pub points: BTreeMap<(&'static str, Fault), (u64, u64)>,
    /// Points that were not met.
    pub unmet: u64,
}

impl Report {
    /// All points that were met.
    pub fn total(&self) -> u64 {
        self.points.values().map(|(told, borne)| told + borne).sum()
    }

    /// Points by fault: told, and borne.
    pub fn by_fault(&self) -> BTreeMap<Fault, (u64, u64)> {
        let mut sums = BTreeMap::new();
        for ((_, fault), (told, borne)) in &self.points {
            let sum: &mut (u64, u64) = sums.entry(*fault).or_default();
            *sum = (sum.0 + told, sum.1 + borne);
        }
        sums
    }

    pub(super) fn count(&mut self, point: Point, met: Met) {
        let (told, borne) = self.points.entry((point.call, point.fault)).or_default();
        match met {
            Met::Never => self.unmet += 1,
            Met::Told => *told += 1,
            Met::Borne => *borne += 1,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls: u64 = self.calls.iter().map(|(_, count)| count).sum();
        writeln!(f, "a sweep under seed {}: a life of {} saves and {calls} calls", self.seed, self.saves)?;
        writeln!(f, "  {:<12} {:<13} {:>8} {:>8}", "call", "fault", "told", "borne")?;
        for ((call, fault), (told, borne)) in &self.points {
            writeln!(f, "  {call:<12} {:<13} {told:>8} {borne:>8}", format!("{fault:?}"))?;
        }
        for (fault, (told, borne)) in self.by_fault() {
            writeln!(f, "  {:<12} {:<13} {told:>8} {borne:>8}", "all", format!("{fault:?}"))?;
        }
        write!(f, "  {} points, {} more were not met", self.total(), self.unmet)
    }
}
