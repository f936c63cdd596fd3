//! Founding a cluster: the one way a blank store becomes a voter's.

use eraft_core::{ConfState, Storage};

use crate::BootstrapError;

/// Makes a blank store a founding member's: saves entry 1 of term 1 with the configuration, the same on every founder.
/// Returns when that is durable.
///
/// Never do this anew for a voter whose disk was lost: it forgot its votes and what it acknowledged.
///
/// # Errors
/// `NotBlank` where anything was saved before, `Founders` where this node is no voter among them, `Storage` otherwise.
pub async fn bootstrap(storage: &dyn Storage, founders: &ConfState) -> Result<(), BootstrapError> {
    let state = storage.read_raft_state().await?;
    let node = state.identity.node;
    if !state.is_blank() {
        let (term, last) = (state.hard_state.term, state.outline.last());
        return Err(BootstrapError::NotBlank { node, term, last });
    }
    let refused = |reason: &str| Err(BootstrapError::Founders { node, reason: reason.to_owned() });
    if !founders.is_valid() {
        return refused("the configuration contradicts itself");
    }
    if !founders.voters_outgoing.is_empty() {
        return refused("it is a joint configuration; a cluster begins with one set of voters");
    }
    if !founders.voters.contains(&node) {
        return refused("the node is no voter among them; open the store of one that is, or name it");
    }
    storage.save_raft_state(eraft_core::bootstrap(founders)).await?;
    Ok(())
}
