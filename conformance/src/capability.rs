//! What a backend can be put through, declared by its [`Env`](crate::Env).
//!
//! Everything is declared unless it is taken away, with a reason: a backend cannot lose cases by forgetting to name a
//! capability, and a capability that this suite gains later makes itself noticed.

use std::{collections::BTreeMap, fmt};

/// One kind of ordeal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// The process may be killed: what reached the operating system is kept, everything in memory is lost.
    Kill,
    /// The power may be cut: everything not synced may be lost, torn and reordered.
    PowerLoss,
    /// The next sync can be made to fail; what it was to cover may be lost, and counts as clean.
    FailedSync,
    /// The next write can be made to fail.
    FailedWrite,
    /// The disk can be filled and freed.
    FullDisk,
    /// On a full disk, hard state, publishing and compaction still succeed.
    Reserve,
    /// What is stored can be damaged.
    Damage,
    /// An engine holds many groups.
    ManyGroups,
}

impl Capability {
    /// All there are.
    pub const ALL: [Capability; 8] = [
        Capability::Kill,
        Capability::PowerLoss,
        Capability::FailedSync,
        Capability::FailedWrite,
        Capability::FullDisk,
        Capability::Reserve,
        Capability::Damage,
        Capability::ManyGroups,
    ];

    /// Its name, as `ERAFT_REQUIRE` and the report have it.
    pub fn name(self) -> &'static str {
        match self {
            Capability::Kill => "kill",
            Capability::PowerLoss => "power-loss",
            Capability::FailedSync => "failed-sync",
            Capability::FailedWrite => "failed-write",
            Capability::FullDisk => "full-disk",
            Capability::Reserve => "reserve",
            Capability::Damage => "damage",
            Capability::ManyGroups => "many-groups",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The capabilities of one backend: all, but those taken away.
///
/// ```
/// use eraft_conformance::{Capabilities, Capability};
///
/// let of_a_cache = Capabilities::all().without(Capability::PowerLoss, "a cache is empty after a power cut");
/// assert_eq!(of_a_cache.missing(Capability::PowerLoss), Some("a cache is empty after a power cut"));
/// assert_eq!(of_a_cache.missing(Capability::Kill), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    missing: BTreeMap<Capability, String>,
}

impl Capabilities {
    /// Everything.
    pub fn all() -> Capabilities {
        Capabilities::default()
    }

    /// Everything but this; the reason is printed with every case that is skipped for it.
    #[must_use]
    pub fn without(mut self, capability: Capability, reason: &str) -> Capabilities {
        self.missing.insert(capability, reason.to_owned());
        self
    }

    /// Why the backend lacks it; `None` where it has it.
    pub fn missing(&self, capability: Capability) -> Option<&str> {
        self.missing.get(&capability).map(String::as_str)
    }
}
