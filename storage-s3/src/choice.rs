//! Which of the snapshots in a bucket a cluster is restored from.
//!
//! Only a complete one is ever chosen. Terms and indexes say nothing across clusters, so the newest is the newest of one
//! cluster and group, and where there are more of these, somebody has to say which: a cluster that was restored before lies
//! beside the one that it came from.

use std::collections::BTreeSet;

use eraft_core::{ClusterId, EntryId, GroupId, Result, StorageError, StorageErrorKind};

use crate::{BucketSnapshot, SnapshotCondition};

/// How many clusters an error names.
const MAX_NAMED: usize = 8;
const DURING: &str = "choosing a snapshot to restore from";

/// What is wanted; what is `None` is not asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotChoice {
    /// The cluster to restore.
    pub cluster: Option<ClusterId>,
    /// The group of it.
    pub group: Option<GroupId>,
    /// The last entry of the snapshot; `None`: the newest complete one.
    pub at: Option<EntryId>,
}

impl SnapshotChoice {
    /// The complete snapshot that is wanted, of those that [`list_snapshots`](crate::list_snapshots) found.
    ///
    /// # Errors
    /// `NotInitialised` where there is none like it; `Corrupt` where there is, and none that is complete; `Invalid` where
    /// complete ones are of several clusters or groups.
    pub fn of<'a>(&self, found: &'a [BucketSnapshot]) -> Result<&'a BucketSnapshot> {
        let wanted: Vec<_> = found.iter().filter(|snapshot| self.fits(snapshot)).collect();
        let (usable, unusable): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|snapshot| matches!(snapshot.condition, SnapshotCondition::Complete { .. }));
        let owners: BTreeSet<_> = usable.iter().map(|snapshot| (snapshot.cluster, snapshot.group)).collect();
        if owners.len() > 1 {
            return Err(ambiguous(&owners));
        }
        // Any of those that hold the same entries: they are the same state, whichever node wrote it down.
        usable.into_iter().max_by_key(|snapshot| snapshot.last).ok_or_else(|| self.none(found, &unusable))
    }

    fn fits(&self, snapshot: &BucketSnapshot) -> bool {
        self.cluster.is_none_or(|cluster| cluster == snapshot.cluster)
            && self.group.is_none_or(|group| group == snapshot.group)
            && self.at.is_none_or(|at| at == snapshot.last)
    }

    fn none(&self, found: &[BucketSnapshot], unusable: &[&BucketSnapshot]) -> StorageError {
        let Some(first) = unusable.iter().max_by_key(|snapshot| snapshot.last) else {
            let detail = format!(
                "none of the {} snapshots found is the one that is wanted ({self:?}); look at the list, and at bucket \
                 and prefix",
                found.len()
            );
            return StorageError::new(StorageErrorKind::NotInitialised, DURING, detail);
        };
        let what = match &first.condition {
            SnapshotCondition::Complete { .. } => "complete",
            SnapshotCondition::Incomplete { reason } | SnapshotCondition::Damaged { reason } => reason,
        };
        let detail = format!(
            "none of the {} that fit is complete; of {}: {what}; choose another one of the list",
            unusable.len(),
            first.object
        );
        StorageError::new(StorageErrorKind::Corrupt, DURING, detail)
    }
}

fn ambiguous(owners: &BTreeSet<(ClusterId, GroupId)>) -> StorageError {
    let mut named: Vec<_> =
        owners.iter().take(MAX_NAMED).map(|(cluster, group)| format!("cluster {cluster} group {group}")).collect();
    if owners.len() > MAX_NAMED {
        named.push("more".to_owned());
    }
    let detail =
        format!("complete snapshots are there of {}: say which cluster and group is to be restored", named.join(", "));
    StorageError::new(StorageErrorKind::Invalid, DURING, detail)
}
