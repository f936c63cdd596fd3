//! The names in a store's directory. RocksDB names its own files within `db`; no name is made from a peer's or a user's
//! text.

use std::path::{Path, PathBuf};

/// Where things stand in one store.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) dir: PathBuf,
    /// Held by whoever has the store open.
    pub(crate) lock: PathBuf,
    /// Whose store it is.
    pub(crate) identity: PathBuf,
    /// RocksDB's own directory.
    pub(crate) db: PathBuf,
    /// Table files of snapshots that are being staged.
    pub(crate) staging: PathBuf,
    /// What RocksDB's files were like when the store was closed; gone while it is open.
    pub(crate) seal: PathBuf,
    /// The seal on its way.
    pub(crate) new_seal: PathBuf,
    /// Room kept back.
    pub(crate) reserve: PathBuf,
}

impl Paths {
    pub(crate) fn new(dir: &Path) -> Paths {
        Paths {
            dir: dir.to_owned(),
            lock: dir.join("LOCK"),
            identity: dir.join("STORE"),
            db: dir.join("db"),
            staging: dir.join("staging"),
            seal: dir.join("SEAL"),
            new_seal: dir.join("SEAL.new"),
            reserve: dir.join("RESERVE"),
        }
    }

    /// A table file of the snapshot that is staged under `id`.
    pub(crate) fn part(&self, id: u64, nth: usize) -> PathBuf {
        self.staging.join(part_name(id, nth))
    }

    /// A table file of RocksDB's, as RocksDB names it.
    pub(crate) fn table(&self, number: u64) -> PathBuf {
        self.db.join(format!("{number:06}.sst"))
    }
}

/// The id and the place of a table whose name [`Paths::part`] has made; of any other name nothing.
pub(crate) fn parse_part(name: &str) -> Option<(u64, usize)> {
    let (id, nth) = name.strip_suffix(".sst")?.split_once('-')?;
    let (id, nth) = (u64::from_str_radix(id, 16).ok()?, nth.parse().ok()?);
    // The numbers parse from more than they are written as.
    (part_name(id, nth) == name).then_some((id, nth))
}

fn part_name(id: u64, nth: usize) -> String {
    format!("{id:016x}-{nth}.sst")
}

/// The directory that holds `path`'s name, also for a relative path of one component.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_name_that_a_table_was_given_is_read_as_one() {
        assert_eq!(parse_part("0123456789abcdef-17.sst"), Some((0x0123_4567_89ab_cdef, 17)));
        for other in [
            "notes.sst",
            "1-0.sst",
            "0123456789ABCDEF-0.sst",
            "+123456789abcdef-0.sst",
            "00123456789abcdef-0.sst",
            "0123456789abcdef-+1.sst",
            "0123456789abcdef-01.sst",
            "0123456789abcdef-0.sst.sst",
            "0123456789abcdef-0",
        ] {
            assert_eq!(parse_part(other), None, "{other}");
        }
    }
}
