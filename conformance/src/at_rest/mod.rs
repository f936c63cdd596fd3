//! Damage while nobody looks: a closed store in a directory, whose bytes are flipped, zeroed, set, cut off, swapped; whose
//! files are missing, doubled, older than they should be, or another store's.
//!
//! A reference store is made once (two groups, several files, snapshots, a compaction, two copies taken on the way), and closed. Then it is
//! damaged in one place, opened, read whole, closed, and put back as it was; and so for each place, or a part of them that
//! the seed chooses. What comes of it is one of these:
//!
//! | Verdict | What happened |
//! |---|---|
//! | refused | an error that names the file, and the offset where bytes were damaged; no file was changed, but where two were damaged, or, of a store that writes at every opening, it is refused again |
//! | harmless | everything reads back exactly as it was |
//! | rolled back | of an older copy of the *tail*, or of two places of it that changed: it reads exactly as when it was closed before, which nothing can tell from a crash |
//! | wrong | anything else: other data, a blank start, a save that is gone, a panic, an error that does not say where |
//!
//! [`run`] returns the table; what must be 0 is the caller's to say, and for a store that is told of all damage it is all that is *wrong*.
//!
//! ```ignore
//! let report = at_rest::run(&MyStore, directory, &at_rest::Plan::from_env(16));
//! println!("{report}");
//! assert_eq!(report.wrong(), 0, "{report}");
//! ```
//!
//! It may assume that a store keeps everything in regular files below its directory. It opens one store at a time, and must never touch anything outside the directory that it is given.

mod damage;
mod files;
mod judge;
mod reference;
mod report;

use std::path::{Path, PathBuf};

use eraft_core::{ClusterId, Expected, Identity, NodeId, Result};

use crate::{Engine, sample};

pub use damage::Class;
pub use report::{Counts, Report};

/// A kind of store that lives in a directory.
pub trait Store {
    /// The store's `create` in a directory that does not exist; everything random comes from the seed.
    ///
    /// # Errors
    /// As the store's own.
    fn create(&self, dir: &Path, cluster: ClusterId, node: NodeId, seed: u64) -> Result<Identity>;

    /// The store's `open`.
    ///
    /// # Errors
    /// As the store's own.
    fn open(&self, dir: &Path, expected: Expected) -> Result<Box<dyn Engine>>;

    /// Whether opening and closing an undamaged store leaves each byte as it was, and refusing a damaged one, too. What
    /// writes before it has read everything has to refuse whatever it has refused once more.
    fn leaves_files_alone(&self) -> bool;

    /// Whether anything depends on what is in a file, relative to the directory. The others are taken out of the store that is
    /// damaged, which must do without.
    fn holds_data(&self, file: &Path) -> bool;

    /// Of all files, relative to the directory, the one that was written to last: an older copy of it may look like a crash;
    /// none where even that is told.
    fn tail(&self, files: &[PathBuf]) -> Option<PathBuf>;

    /// Names that a copy of this file could bear and be taken for one of the store's own, all relative to the directory.
    fn other_names(&self, file: &Path) -> Vec<PathBuf>;
}

/// How much is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Everything random comes from it.
    pub seed: u64,
    /// Of so many places one is damaged, chosen by the seed; 1 takes all. Whole files are few, and always all taken.
    pub one_of: u64,
    /// One place alone, as a failure names it.
    pub only: Option<String>,
}

impl Plan {
    /// One place of `one_of`, or what the environment asks for: all with `ERAFT_LONG=1`, under `ERAFT_SEED`, or
    /// `ERAFT_DAMAGE` alone.
    pub fn from_env(one_of: u64) -> Plan {
        let (seed, one_of) = sample::from_env(one_of);
        Plan { seed, one_of, only: std::env::var("ERAFT_DAMAGE").ok() }
    }

    fn wants(&self, number: u64, class: Class) -> bool {
        self.only.is_some() || class.is_of_whole_files() || sample::takes(self.seed, number, self.one_of)
    }
}

/// Makes a reference store below `root`, which must be empty, and damages it place by place.
///
/// # Panics
/// Where the store does not even work undamaged.
pub fn run(store: &dyn Store, root: &Path, plan: &Plan) -> Report {
    let reference = reference::make(store, root, plan.seed);
    let mut report = Report::new(plan.seed, &reference.whole);
    let mut number = 0;
    let mut wants = |class| {
        number += 1;
        plan.wants(number, class)
    };
    let mut takes = |damage: damage::Damage| {
        if plan.only.as_ref().is_none_or(|only| *only == damage.to_string()) {
            report.count(&damage, judge::judge(store, &reference, &damage));
        }
    };
    damage::each(store, &reference, plan.seed, &mut damage::Taker { wants: &mut wants, takes: &mut takes });
    report
}
