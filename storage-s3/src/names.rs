//! Where objects stand: `<prefix>/<cluster>/<group>/<node>/<epoch>/<term>-<index>-<random>`.
//!
//! A node writes into its own folder only, and a name is never used twice: multipart uploads know no "only if absent", so
//! nothing but the 64 random bits keeps a late part or a lost reply from changing an object that is named already. The epoch
//! is that of the open store that wrote it, as the object `<prefix>/<cluster>/<group>/<node>/owner` counts them.

use std::{fmt::Display, str::FromStr};

use eraft_core::{ClusterId, EntryId, GroupId, Identity, LogIndex, NodeId, Result, StorageError};
use object_store::path::Path;

use crate::manifest::Manifest;

/// Who writes into a folder.
const OWNER: &str = "owner";
/// What the name of a manifest has more than that of the snapshot it describes.
const MANIFEST: &str = ".manifest";
/// What the name of a note has more than that of the object which is being uploaded.
const NOTE: &str = ".upload";

/// What a name says of a snapshot. Whoever can write to a bucket can name things there: it counts for nothing where the
/// manifest does not say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) names: Names,
    pub(crate) cluster: ClusterId,
    pub(crate) group: GroupId,
    pub(crate) node: NodeId,
    pub(crate) epoch: u64,
    pub(crate) last: EntryId,
}

/// What of a snapshot an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Which upload is under way.
    Note,
    /// What it is.
    Manifest,
    /// Its bytes.
    Bytes,
}

/// The folder of one group of one node.
#[derive(Clone, Debug)]
pub(crate) struct Folder(Path);

/// The names of one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// Of its bytes.
    pub(crate) object: Path,
    /// Of the copy of its manifest.
    pub(crate) manifest: Path,
    /// Of the note of its upload.
    pub(crate) note: Path,
}

impl Folder {
    /// # Errors
    /// As [`folder`].
    pub(crate) fn new(prefix: &str, identity: &Identity, group: GroupId) -> Result<Folder> {
        let parts = [identity.cluster.to_string(), group.to_string(), identity.node.to_string()];
        Ok(Folder(parts.into_iter().fold(folder(prefix)?, Path::join)))
    }

    /// Where the title of its owner stands.
    pub(crate) fn owner(&self) -> Path {
        self.0.clone().join(OWNER)
    }

    /// A name to try the bucket with.
    pub(crate) fn probe(&self, random: u64) -> Path {
        self.0.clone().join(format!("probe-{random:016x}"))
    }

    /// The names of a snapshot of everything up to `last`.
    pub(crate) fn names(&self, epoch: u64, last: EntryId, random: u64) -> Names {
        let object = format!("{last}-{random:016x}");
        let folder = self.0.clone().join(epoch.to_string());
        let beside = |what: &str| folder.clone().join(format!("{object}{what}"));
        Names { manifest: beside(MANIFEST), note: beside(NOTE), object: folder.join(object) }
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Whether a snapshot stands in this folder, and not in one of another node's below it: a prefix may be any path.
    pub(crate) fn holds(&self, place: &Place) -> bool {
        let object = &place.names.object;
        object.filename().is_some_and(|name| *object == self.0.clone().join(place.epoch.to_string()).join(name))
    }
}

/// Where the copy of the manifest of an object stands; `None` for what is no object's name.
pub(crate) fn copy_of(object: &Path) -> Option<Path> {
    Path::parse(format!("{object}{MANIFEST}")).ok()
}

/// The folder that everything goes into.
///
/// # Errors
/// `Invalid` for a prefix that cannot be a path in a bucket.
pub(crate) fn folder(prefix: &str) -> Result<Path> {
    Path::parse(prefix)
        .map_err(|error| StorageError::invalid(format!("the prefix {prefix:?} is no path in a bucket: {error}")))
}

impl Place {
    /// What the name of a manifest says; `None` for any name that no manifest ever had.
    pub(crate) fn of_manifest(manifest: &Path) -> Option<Place> {
        Place::of_object(&Path::parse(manifest.as_ref().strip_suffix(MANIFEST)?).ok()?)
    }

    /// The same of whatever stands there, and what of a snapshot that is; `None` for all that is none of ours.
    pub(crate) fn of_any(path: &Path) -> Option<(Place, Kind)> {
        let name = path.as_ref();
        let ends = [(MANIFEST, Kind::Manifest), (NOTE, Kind::Note), ("", Kind::Bytes)];
        let (object, kind) = ends.into_iter().find_map(|(end, kind)| Some((name.strip_suffix(end)?, kind)))?;
        Some((Place::of_object(&Path::parse(object).ok()?)?, kind))
    }

    /// The same of the object's name.
    pub(crate) fn of_object(object: &Path) -> Option<Place> {
        let mut parts = object.as_ref().rsplit('/');
        let mut part = || parts.next();
        let (name, epoch, node, group, cluster) = (part()?, part()?, part()?, part()?, part()?);
        let [term, index, random] = name.split('-').collect::<Vec<_>>().try_into().ok()?;
        let (epoch, _): (u64, u64) = (number(epoch)?, sixteen(random)?);
        let last = EntryId::new(number(term)?, number(index)?);
        if !(LogIndex(1)..=LogIndex::MAX).contains(&last.index) {
            return None;
        }
        let note = Path::parse(format!("{object}{NOTE}")).ok()?;
        let names = Names { object: object.clone(), manifest: copy_of(object)?, note };
        let (cluster, group, node) = (ClusterId(sixteen(cluster)?), GroupId(number(group)?), NodeId(number(node)?));
        Some(Place { names, cluster, group, node, epoch, last })
    }

    /// Whether a manifest that was found here is of here.
    ///
    /// # Errors
    /// What it says instead.
    pub(crate) fn check(&self, manifest: &Manifest) -> std::result::Result<(), String> {
        if manifest.object != self.names.object.as_ref() {
            return Err(format!("its manifest is that of {:?}: it was copied or renamed", manifest.object));
        }
        let said = (manifest.cluster, manifest.group, manifest.node, manifest.meta.last);
        if said != (self.cluster, self.group, self.node, self.last) {
            let (cluster, group, node, last) = said;
            return Err(format!("its manifest is of cluster {cluster}, group {group}, node {node}, at {last}"));
        }
        Ok(())
    }
}

/// A number as we write it, and in no other way.
fn number<T: FromStr + Display>(text: &str) -> Option<T> {
    text.parse().ok().filter(|number: &T| number.to_string() == text)
}

/// The same with 16 hexadecimal digits.
fn sixteen(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok().filter(|number| format!("{number:016x}") == text)
}

#[cfg(test)]
mod tests {
    use eraft_core::StoreId;

    use super::*;

    #[test]
    fn a_name_tells_whose_snapshot_it_is_and_of_what() {
        let identity = Identity { cluster: ClusterId(0xc), node: NodeId(2), store: StoreId(9) };
        for (prefix, expected) in [("raft/prod", "raft/prod/"), ("/a/", "a/"), ("", ""), ("a b/ü", "a b/ü/")] {
            let names = Folder::new(prefix, &identity, GroupId(3)).unwrap().names(7, EntryId::new(4, 5), 6);
            let expected = format!("{expected}000000000000000c/3/2/7/4-5-0000000000000006");
            assert_eq!(names.object.as_ref(), expected);
            assert_eq!(Path::parse(&names.object).unwrap(), names.object, "as a manifest keeps it");
            assert_eq!(names.manifest.as_ref(), format!("{expected}.manifest"));
        }
        assert!(Folder::new("a//b", &identity, GroupId(3)).is_err());
    }

    #[test]
    fn a_name_is_read_back_as_it_was_written_and_in_no_other_way() {
        let identity = Identity { cluster: ClusterId(0xc), node: NodeId(2), store: StoreId(9) };
        for prefix in ["", "raft", "a b/ü", "0/0/0"] {
            let names = Folder::new(prefix, &identity, GroupId(3)).unwrap().names(7, EntryId::new(4, 5), 6);
            let last = EntryId::new(4, 5);
            let place = Place {
                names: names.clone(),
                cluster: ClusterId(0xc),
                group: GroupId(3),
                node: NodeId(2),
                epoch: 7,
                last,
            };
            assert_eq!(Place::of_manifest(&names.manifest), Some(place.clone()));
            assert_eq!(Place::of_object(&names.object), Some(place));
            assert_eq!(Place::of_manifest(&names.object), None);
        }
        for other in [
            "3/2/0/4-5-0000000000000006",
            "c/3/2/7/4-5-0000000000000006",
            "000000000000000C/3/2/0/4-5-0000000000000006",
            "+00000000000000c/3/2/7/4-5-0000000000000006",
            "000000000000000c/03/2/0/4-5-0000000000000006",
            "000000000000000c/3/+2/0/4-5-0000000000000006",
            "000000000000000c/3/2/x/4-5-0000000000000006",
            "000000000000000c/3/2/7/4-5-6",
            "000000000000000c/3/2/0/4-5",
            "000000000000000c/3/2/7/4-5-0000000000000006-7",
            "000000000000000c/3/2/0/4-0-0000000000000006",
            "000000000000000c/3/2/0/4-18446744073709551615-0000000000000006",
            "000000000000000c/3/2/0/4-18446744073709551616-0000000000000006",
            "owner",
        ] {
            assert_eq!(Place::of_object(&Path::from(other)), None, "{other}");
            assert_eq!(Place::of_manifest(&Path::from(format!("{other}.manifest"))), None, "{other}");
        }
    }
}
