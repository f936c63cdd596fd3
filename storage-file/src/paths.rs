//! The names in a store's directory: how they are made, and which of those found there are ours.
//!
//! A name is parsed back to numbers and must print to the very same text; whatever does not is somebody else's, and is
//! neither read nor ever deleted. No name is made from a peer's or a user's text.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use eraft_core::EntryId;

/// Where things stand in one store.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) dir: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) snapshot: PathBuf,
    pub(crate) lock: PathBuf,
}

/// A file of ours in `state/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateName {
    /// A segment of the log.
    Segment(u64),
    /// A segment that is being filled, and that nothing refers to yet.
    Unfinished(u64),
    /// Blocks kept back for a full disk (`engine::spare`).
    Spare,
    /// The same while it is being filled.
    UnfinishedSpare,
}

/// A file of ours in `snapshot/`: published, or staged and not yet published; the log tells which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SnapshotName {
    pub(crate) last: EntryId,
    pub(crate) id: u64,
}

impl Paths {
    pub(crate) fn new(dir: &Path) -> Paths {
        Paths { dir: dir.to_owned(), state: dir.join("state"), snapshot: dir.join("snapshot"), lock: dir.join("LOCK") }
    }

    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.state.join(StateName::Segment(number).to_string())
    }

    pub(crate) fn unfinished_segment(&self, number: u64) -> PathBuf {
        self.state.join(StateName::Unfinished(number).to_string())
    }

    pub(crate) fn spare(&self) -> PathBuf {
        self.state.join(StateName::Spare.to_string())
    }

    pub(crate) fn unfinished_spare(&self) -> PathBuf {
        self.state.join(StateName::UnfinishedSpare.to_string())
    }

    pub(crate) fn snapshot(&self, name: SnapshotName) -> PathBuf {
        self.snapshot.join(format!("{name}.snap"))
    }
}

/// The directory that holds `path`'s name, also for a relative path of one component.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

impl StateName {
    pub(crate) fn parse(name: &OsStr) -> Option<StateName> {
        let text = name.to_str()?;
        if let Some(spare) =
            [StateName::Spare, StateName::UnfinishedSpare].into_iter().find(|spare| spare.to_string() == text)
        {
            return Some(spare);
        }
        let (stem, make): (_, fn(u64) -> StateName) = match text.strip_suffix(".wal.new") {
            Some(stem) => (stem, StateName::Unfinished),
            None => (text.strip_suffix(".wal")?, StateName::Segment),
        };
        let parsed = make(u64::from_str_radix(stem, 16).ok()?);
        (parsed.to_string() == text).then_some(parsed)
    }
}

impl std::fmt::Display for StateName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StateName::Segment(number) => write!(f, "{number:016x}.wal"),
            StateName::Unfinished(number) => write!(f, "{number:016x}.wal.new"),
            StateName::Spare => f.write_str("spare"),
            StateName::UnfinishedSpare => f.write_str("spare.new"),
        }
    }
}

impl SnapshotName {
    /// A name as files bear it, with `.snap`.
    pub(crate) fn parse_file(name: &OsStr) -> Option<SnapshotName> {
        SnapshotName::parse(name.to_str()?.strip_suffix(".snap")?)
    }

    /// A name as staged snapshots bear it, without `.snap`.
    pub(crate) fn parse(text: &str) -> Option<SnapshotName> {
        let mut parts = text.split('-');
        let (term, index, id) = (parts.next()?, parts.next()?, parts.next()?);
        let last = EntryId::new(term.parse().ok()?, index.parse().ok()?);
        let parsed = SnapshotName { last, id: u64::from_str_radix(id, 16).ok()? };
        (parsed.to_string() == text).then_some(parsed)
    }
}

impl std::fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{:016x}", self.last.term, self.last.index, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_print_back_to_the_same_text_are_ours() {
        for ours in
            [StateName::Segment(1), StateName::Unfinished(u64::MAX), StateName::Spare, StateName::UnfinishedSpare]
        {
            assert_eq!(StateName::parse(OsStr::new(&ours.to_string())), Some(ours));
        }
        for foreign in
            ["1.wal", "000000000000000A.wal", "+000000000000001.wal", "0000000000000001.wal.old", "spare.wal"]
        {
            assert_eq!(StateName::parse(OsStr::new(foreign)), None, "{foreign}");
        }
        let ours = SnapshotName { last: EntryId::new(3, 7), id: 9 };
        assert_eq!(SnapshotName::parse_file(OsStr::new("3-7-0000000000000009.snap")), Some(ours));
        for foreign in
            ["3-7-9.snap", "03-7-0000000000000009.snap", "3-7-0000000000000009", "../3-7-0000000000000009.snap"]
        {
            assert_eq!(SnapshotName::parse_file(OsStr::new(foreign)), None, "{foreign}");
        }
    }
}
