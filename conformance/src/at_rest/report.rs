//! What came of all the damage: a table by class.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

use super::{
    damage::{Class, Damage},
    files::Files,
    judge::Verdict,
};

/// So many wrong outcomes are told in full.
const TOLD: usize = 10;

/// Outcomes of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Refused with the file, and the offset, named.
    pub refused: u64,
    /// Everything read back as it was.
    pub harmless: u64,
    /// Read as when the copy of the tail was taken.
    pub rolled_back: u64,
    /// Anything else.
    pub wrong: u64,
}

/// The outcomes, by class.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Under which seed.
    pub seed: u64,
    /// How many files the reference store has.
    pub files: usize,
    /// How many bytes they have together.
    pub size_bytes: u64,
    /// What came of it.
    pub classes: BTreeMap<Class, Counts>,
    /// The files that were none the worse for it, relative to the directory.
    pub unharmed: BTreeMap<Class, BTreeSet<PathBuf>>,
    /// The first wrong outcomes, and how to have each again.
    pub failures: Vec<String>,
}

impl Report {
    pub(super) fn new(seed: u64, whole: &Files) -> Report {
        let size_bytes = whole.values().map(|bytes| bytes.len() as u64).sum();
        Report { seed, files: whole.len(), size_bytes, ..Report::default() }
    }

    /// The outcomes of one class.
    pub fn of(&self, class: Class) -> Counts {
        self.classes.get(&class).copied().unwrap_or_default()
    }

    /// All wrong outcomes.
    pub fn wrong(&self) -> u64 {
        self.classes.values().map(|counts| counts.wrong).sum()
    }

    /// All outcomes.
    pub fn total(&self) -> u64 {
        self.classes.values().map(|of| of.refused + of.harmless + of.rolled_back + of.wrong).sum()
    }

    pub(super) fn count(&mut self, damage: &Damage, verdict: Verdict) {
        let counts = self.classes.entry(damage.class).or_default();
        match verdict {
            Verdict::Refused => counts.refused += 1,
            Verdict::Harmless => {
                counts.harmless += 1;
                self.unharmed
                    .entry(damage.class)
                    .or_default()
                    .extend(damage.files.iter().map(|(file, _)| file.clone()));
            }
            Verdict::RolledBack => counts.rolled_back += 1,
            Verdict::Wrong(why) => {
                counts.wrong += 1;
                if self.failures.len() < TOLD {
                    self.failures.push(format!(
                        "{damage}\n    {why}\n    again: ERAFT_SEED={} ERAFT_DAMAGE='{damage}'",
                        self.seed
                    ));
                }
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "damage at rest under seed {}: {} files, {} bytes", self.seed, self.files, self.size_bytes)?;
        let row = |f: &mut fmt::Formatter<'_>, name: &dyn fmt::Display, of: Counts| {
            writeln!(f, "  {name:<29} {:>9} {:>9} {:>12} {:>7}", of.refused, of.harmless, of.rolled_back, of.wrong)
        };
        writeln!(f, "  {:<29} {:>9} {:>9} {:>12} {:>7}", "", "refused", "harmless", "rolled back", "wrong")?;
        let mut all = Counts::default();
        for class in Class::ALL {
            let of = self.of(class);
            row(f, &class, of)?;
            all.refused += of.refused;
            all.harmless += of.harmless;
            all.rolled_back += of.rolled_back;
            all.wrong += of.wrong;
        }
        row(f, &"all", all)?;
        self.failures.iter().try_for_each(|failure| writeln!(f, "  wrong: {failure}"))
    }
}
