//! Which objects in a node's folder nobody needs: decided of names and times alone, without a call.
//!
//! A listing may be old or incomplete. What is missing in one saves nothing and dooms nothing: an object is garbage for what
//! its own name says and for what names it, and of the snapshots that are kept for being the newest, those that were seen are
//! counted, so that one which was not seen can only add to them.

use std::collections::{BTreeMap, BTreeSet};

use eraft_core::EntryId;
use object_store::{ObjectMeta, path::Path};

use crate::{
    CollectOptions,
    names::{Folder, Kind, Place},
};

/// All that is seen of one snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) place: Place,
    /// The bytes of each part that is there.
    pub(crate) parts: BTreeMap<Kind, u64>,
    /// When the latest of them was written, in milliseconds by the bucket's clock.
    modified: i64,
}

/// What keeps an object.
#[derive(Debug)]
pub(crate) struct Keep<'a> {
    /// Those that the local store names, that are being staged, or read.
    pub(crate) needed: &'a BTreeSet<Path>,
    /// The owner's.
    pub(crate) epoch: u64,
    /// The last entry of the snapshot that the local store names.
    pub(crate) published: Option<EntryId>,
    pub(crate) options: &'a CollectOptions,
}

/// The snapshots of this folder that are seen among these objects; what else lies there is none of ours.
pub(crate) fn group(folder: &Folder, listed: impl IntoIterator<Item = ObjectMeta>) -> Vec<Seen> {
    let mut all: BTreeMap<Path, Seen> = BTreeMap::new();
    for meta in listed {
        let ours = Place::of_any(&meta.location).filter(|(place, _)| folder.holds(place));
        let Some((place, kind)) = ours else { continue };
        let modified = meta.last_modified.timestamp_millis();
        let object = place.names.object.clone();
        let seen = all.entry(object).or_insert(Seen { place, parts: BTreeMap::new(), modified });
        seen.parts.insert(kind, meta.size);
        seen.modified = seen.modified.max(modified);
    }
    all.into_values().collect()
}

/// Those of `seen` that go. How old they are is told by the newest of them: it was there by the bucket's own clock, which is
/// no later than now.
pub(crate) fn garbage(mut seen: Vec<Seen>, keep: &Keep<'_>) -> Vec<Seen> {
    let now = seen.iter().map(|seen| seen.modified).max().unwrap_or_default();
    let older_than = |seen: &Seen, age: std::time::Duration| {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        now.saturating_sub(seen.modified) >= age
    };
    // Those that a cluster could be restored from, the newest first.
    seen.sort_by_key(|seen| std::cmp::Reverse((seen.place.last, seen.place.epoch)));
    let mut whole = 0;
    seen.retain(|seen| {
        let is_whole = seen.parts.contains_key(&Kind::Manifest) && seen.parts.contains_key(&Kind::Bytes);
        whole += usize::from(is_whole);
        let kept = is_whole && (whole <= keep.options.keep_last || !older_than(seen, keep.options.keep_younger));
        let ours = match seen.place.epoch.cmp(&keep.epoch) {
            std::cmp::Ordering::Equal => true,
            // An earlier owner's: what it was about to publish is newer than what the local store has.
            std::cmp::Ordering::Less => keep.published.is_some_and(|published| seen.place.last < published),
            // A later owner's.
            std::cmp::Ordering::Greater => false,
        };
        ours && !kept && !keep.needed.contains(&seen.place.names.object) && older_than(seen, keep.options.grace)
    });
    seen
}
