//! Who speaks to whom: the hello that opens every stream in both directions, and the one function that judges it.
//!
//! A wrong address in a configuration must never let two clusters, or two groups, talk: a vote counted across that line
//! is a vote that nobody gave. So every field is compared, and nothing is sent before both sides have agreed.

use std::collections::BTreeSet;

use eraft_core::{ClusterId, GroupId, Identity, NodeId, StoreId};
use tonic::Status;

use crate::proto;

/// The version of the protocol that this build speaks.
pub(crate) const VERSION: u32 = 1;

/// Whom this side takes the other for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect<'a> {
    /// The node that was dialled.
    Dialled(NodeId),
    /// Any of those that may dial us.
    AnyOf(&'a BTreeSet<NodeId>),
}

/// Why the other side is not one to talk to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("it speaks version {found} of the protocol, expected {VERSION}: run the same release on every node")]
    Version { found: u32 },
    #[error("it belongs to cluster {found}, expected {expected}: check the peer addresses and the founding voters")]
    Cluster { found: ClusterId, expected: ClusterId },
    #[error("it speaks for group {found}, expected {expected}: check the configuration")]
    Group { found: GroupId, expected: GroupId },
    #[error("it takes node {us} for node {found}: check the peer addresses")]
    Misdialled { found: NodeId, us: NodeId },
    #[error("it is node {found}, expected node {expected}: check the peer addresses")]
    NotDialled { found: NodeId, expected: NodeId },
    #[error("it is node {found}, which is not among the nodes accepted here: check the list of peers")]
    NotAccepted { found: NodeId },
    #[error("the first frame is not a hello alone")]
    NoHello,
}

impl Refusal {
    /// As the other side is told.
    pub(crate) fn status(&self) -> Status {
        let text = format!("refused: {self}");
        match self {
            Refusal::NotAccepted { .. } => Status::permission_denied(text),
            Refusal::NoHello => Status::invalid_argument(text),
            _ => Status::failed_precondition(text),
        }
    }
}

/// What we say first to the node that we take for `to`.
pub(crate) fn hello(ours: &Identity, group: GroupId, to: NodeId) -> proto::Hello {
    proto::Hello {
        version: VERSION,
        cluster: ours.cluster.0,
        node: ours.node.0,
        store: ours.store.0,
        group: group.0,
        to: to.0,
    }
}

/// Judges the other side's hello: its node and its store, or why it is refused. The store is carried, not checked.
pub(crate) fn check(
    hello: &proto::Hello,
    ours: &Identity,
    group: GroupId,
    expect: Expect<'_>,
) -> Result<(NodeId, StoreId), Refusal> {
    let node = NodeId(hello.node);
    if hello.version != VERSION {
        return Err(Refusal::Version { found: hello.version });
    }
    if hello.cluster != ours.cluster.0 {
        return Err(Refusal::Cluster { found: ClusterId(hello.cluster), expected: ours.cluster });
    }
    if hello.group != group.0 {
        return Err(Refusal::Group { found: GroupId(hello.group), expected: group });
    }
    if hello.to != ours.node.0 {
        return Err(Refusal::Misdialled { found: NodeId(hello.to), us: ours.node });
    }
    match expect {
        Expect::Dialled(expected) if node != expected => Err(Refusal::NotDialled { found: node, expected }),
        // A node that bears our own id is a second copy of us, whatever the list says.
        Expect::AnyOf(accepted) if node == ours.node || !accepted.contains(&node) => {
            Err(Refusal::NotAccepted { found: node })
        }
        Expect::Dialled(_) | Expect::AnyOf(_) => Ok((node, StoreId(hello.store))),
    }
}
