//! Who the members of a cluster are.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{ClusterId, NodeId, StoreId};

/// What the configuration knows of one member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The data directory it votes with, once that is known and committed.
    pub store: Option<StoreId>,
    /// Opaque to Raft: usually its addresses.
    pub context: Bytes,
}

/// The members of a cluster, sorted, so that equal configurations are equal bytes everywhere.
///
/// Invariants ([`ConfState::is_valid`]):
/// - there is a voter: no majority is ever made of nobody;
/// - `members` has exactly the ids named by the four sets;
/// - a learner is no voter of either majority;
/// - `learners_next` are voters of the outgoing majority only: outside a joint configuration it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfState {
    /// Whose majority elects and commits.
    pub voters: BTreeSet<NodeId>,
    /// In a joint configuration (section 6), the old voters, whose majority is needed as well; else empty.
    pub voters_outgoing: BTreeSet<NodeId>,
    /// Who receives the log without a vote.
    pub learners: BTreeSet<NodeId>,
    /// Old voters that become learners when the joint configuration is left.
    pub learners_next: BTreeSet<NodeId>,
    /// What is known of each of them.
    pub members: BTreeMap<NodeId, Member>,
}

impl ConfState {
    /// A configuration of voters alone, each with its context.
    pub fn of_voters(voters: impl IntoIterator<Item = (NodeId, Bytes)>) -> ConfState {
        let members: BTreeMap<_, _> =
            voters.into_iter().map(|(id, context)| (id, Member { store: None, context })).collect();
        ConfState { voters: members.keys().copied().collect(), members, ..ConfState::default() }
    }

    /// Whether the invariants listed on the type hold; bytes from outside are refused where they do not.
    pub fn is_valid(&self) -> bool {
        let named: BTreeSet<_> = (self.voters.iter())
            .chain(&self.voters_outgoing)
            .chain(&self.learners)
            .chain(&self.learners_next)
            .copied()
            .collect();
        !self.voters.is_empty()
            && named.iter().eq(self.members.keys())
            && self.learners.is_disjoint(&self.voters)
            && self.learners.is_disjoint(&self.voters_outgoing)
            && self.learners_next.is_subset(&self.voters_outgoing)
            && self.learners_next.is_disjoint(&self.voters)
    }

    /// Whether `id` has a vote in either majority.
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.voters.contains(&id) || self.voters_outgoing.contains(&id)
    }

    /// Every member but `own`: whom a node replicates to when it leads.
    pub fn peers(&self, own: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.members.keys().copied().filter(move |id| *id != own)
    }

    /// The id of the cluster that this configuration founds: a digest of it and of `name`.
    pub fn founding_cluster_id(&self, name: &str) -> ClusterId {
        let mut digest = xxhash_rust::xxh3::Xxh3::new();
        digest.update(&(name.len() as u64).to_be_bytes());
        digest.update(name.as_bytes());
        digest.update(&crate::codec::encode(self));
        ClusterId(digest.digest())
    }
}
