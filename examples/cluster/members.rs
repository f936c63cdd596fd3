//! Who the members are and where they are reached.
//!
//! Raft carries a *context* of each member in the configuration and never looks into it. Ours is the text
//! `PEER_ADDR/CLIENT_ADDR`. Since the configuration is an entry of the log, every node learns every address from its
//! own store, and no other file has to agree with it.

use std::{collections::BTreeSet, fmt, str::FromStr};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use eraft::{ConfState, NodeId, RaftState};

/// Where a member is reached, `host:port` each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Addresses {
    /// By the other members.
    pub peer: String,
    /// By clients.
    pub client: String,
}

impl Addresses {
    /// The addresses that a member's context holds.
    ///
    /// # Errors
    /// It holds something else.
    pub fn from_context(context: &[u8]) -> anyhow::Result<Addresses> {
        std::str::from_utf8(context).context("a member's context is no text")?.parse()
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.peer, self.client)
    }
}

impl FromStr for Addresses {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Addresses> {
        let (peer, client) = text.split_once('/').with_context(|| format!("'{text}' is not PEER_ADDR/CLIENT_ADDR"))?;
        for address in [peer, client] {
            let (host, port) = address.rsplit_once(':').unwrap_or_default();
            ensure!(!host.is_empty() && port.parse::<u16>().is_ok(), "'{address}' is not HOST:PORT");
        }
        Ok(Addresses { peer: peer.to_owned(), client: client.to_owned() })
    }
}

/// One founding member, written `ID=PEER_ADDR/CLIENT_ADDR`.
#[derive(Clone, Debug)]
pub struct Voter {
    /// Its id.
    pub id: NodeId,
    /// Where it is reached.
    pub addresses: Addresses,
}

impl FromStr for Voter {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Voter> {
        let (id, addresses) =
            text.split_once('=').with_context(|| format!("'{text}' is not ID=PEER_ADDR/CLIENT_ADDR"))?;
        let id = NodeId(id.parse().with_context(|| format!("'{id}' is no node id"))?);
        Ok(Voter { id, addresses: addresses.parse()? })
    }
}

/// The configuration that these members found. The same list, in any order, gives the same bytes and so the same cluster.
///
/// # Errors
/// An id or an address is there twice.
pub fn founders(voters: &[Voter]) -> anyhow::Result<ConfState> {
    let ids: BTreeSet<_> = voters.iter().map(|voter| voter.id).collect();
    ensure!(ids.len() == voters.len(), "the voters name an id twice: every node has its own");
    let mut seen = BTreeSet::new();
    for voter in voters {
        for address in [&voter.addresses.peer, &voter.addresses.client] {
            ensure!(seen.insert(address), "the voters name the address {address} twice: every listener has its own");
        }
    }
    Ok(ConfState::of_voters(voters.iter().map(|voter| (voter.id, Bytes::from(voter.addresses.to_string())))))
}

/// The members of the latest configuration in a store, each with its addresses.
///
/// # Errors
/// The store is blank, or its members were set up by another program.
pub fn in_store(state: &RaftState) -> anyhow::Result<Vec<Voter>> {
    let latest = state.outline.configs().last().map(|(_, configuration)| configuration);
    let Some(configuration) = latest.or(state.snapshot.as_ref().map(|meta| &meta.conf_state)) else {
        bail!("the store of node {} holds no configuration: it was never founded", state.identity.node);
    };
    let members = configuration.members.iter().map(|(id, member)| {
        let addresses = Addresses::from_context(&member.context);
        Ok(Voter { id: *id, addresses: addresses.with_context(|| format!("of node {id}"))? })
    });
    members.collect()
}
