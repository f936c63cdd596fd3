//! Ids: newtypes over `u64`, so that a term is never taken for an index.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }
    };
}

id!(
    /// A term of the Raft paper (section 5.1); 0 before the first.
    Term, "{}");
id!(
    /// The position of an entry in the log; the first entry has index 1, and 0 stands before it.
    LogIndex, "{}");
id!(
    /// One member of a cluster, unique within it and never given to another machine's disk.
    NodeId, "{}");
id!(
    /// One cluster: a digest of its founding configuration, so that a mistyped list of voters is another cluster.
    ClusterId, "{:016x}");
id!(
    /// One data directory, drawn at random when it is created: a voter that lost its disk comes back under another.
    StoreId, "{:016x}");
id!(
    /// One Raft group within an engine that holds many.
    GroupId, "{}");

impl Term {
    /// The term before the first election.
    pub const ZERO: Term = Term(0);

    /// The term after this one; stays at `u64::MAX`, which no honest cluster reaches.
    pub fn next(self) -> Term {
        Term(self.0.saturating_add(1))
    }
}

impl LogIndex {
    /// The position before the first entry.
    pub const ZERO: LogIndex = LogIndex(0);
    /// The highest index an entry may bear, so that the position after an entry always exists.
    pub const MAX: LogIndex = LogIndex(u64::MAX - 1);

    /// The position after this one (saturating).
    pub fn next(self) -> LogIndex {
        LogIndex(self.0.saturating_add(1))
    }

    /// The position before this one; 0 stays 0.
    pub fn prev(self) -> LogIndex {
        LogIndex(self.0.saturating_sub(1))
    }
}

impl GroupId {
    /// The only group of an engine that holds one.
    pub const ZERO: GroupId = GroupId(0);
}

/// What tells one entry from every other: no two entries of a cluster share both (log matching, section 5.3).
///
/// Ordered by term, then index: the order in which the election restriction (section 5.4.1) compares logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntryId {
    /// The term in which a leader created the entry.
    pub term: Term,
    /// Where it stands in the log.
    pub index: LogIndex,
}

impl EntryId {
    /// The position before the first entry of any log, on which all logs agree.
    pub const ZERO: EntryId = EntryId { term: Term::ZERO, index: LogIndex::ZERO };

    /// The id of the entry of `term` at `index`.
    pub fn new(term: u64, index: u64) -> EntryId {
        EntryId { term: Term(term), index: LogIndex(index) }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.term, self.index)
    }
}
