//! Finding a founded cluster again: what the three directories hold, before anything runs on them.
//!
//! A directory that was lost must not be made anew, and one that was moved to another's place would run, safely, as
//! somebody else than its name says. Both are found here, before the first node is started. A store that is there and
//! cannot be read is not judged: its own node says what is wrong with it, and the other two go on.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use eraft::{NodeId, StorageError, StorageErrorKind};

use super::{Backend, init, members, members::Voter, program};

/// The members that were founded under `data`, as their stores have them.
///
/// # Errors
/// No store can be read, one is missing or in use, or one is in the place of another.
pub async fn recall(backend: Backend, data: &Path, nodes: u16) -> anyhow::Result<Vec<Voter>> {
    let mut found: Vec<(PathBuf, Vec<Voter>)> = Vec::new();
    let mut refused: Vec<(PathBuf, StorageError)> = Vec::new();
    let mut cluster = None;
    for id in (1..=nodes).map(|id| NodeId(id.into())) {
        let dir = init::node_dir(data, id);
        let storage = match backend.open(&dir).await {
            Ok(storage) => storage,
            Err(held) if held.kind() == StorageErrorKind::Locked => {
                bail!("a process already runs on {}: end it first ({held})", dir.display())
            }
            Err(why) => {
                refused.push((dir, why));
                continue;
            }
        };
        let state = storage.read_raft_state().await?;
        storage.close().await?;
        let (here, identity) = (dir.display(), state.identity);
        ensure!(
            identity.node == id,
            "{here} holds node {}, expected node {id}: a node's directory was moved or copied; put each back under its \
             own name (nothing was started, nothing was changed)",
            identity.node
        );
        let first = *cluster.get_or_insert(identity.cluster);
        ensure!(
            identity.cluster == first,
            "{here} belongs to cluster {}, expected {first} as in the directories before it: put this cluster's own \
             directory back (nothing was started, nothing was changed)",
            identity.cluster
        );
        found.push((dir, members::in_store(&state)?));
    }
    if let Some((missing, why)) = refused.iter().find(|(_, why)| why.kind() == StorageErrorKind::NotInitialised)
        && !found.is_empty()
    {
        bail!(missing_text(missing, why, &found));
    }
    match found.into_iter().next() {
        Some((_, members)) => Ok(members),
        None => {
            let (_, why) = refused.into_iter().next().context("there are no nodes")?;
            Err(why).with_context(|| format!("{} is not empty, and holds no node that can be read", data.display()))
        }
    }
}

fn missing_text(missing: &Path, why: &StorageError, found: &[(PathBuf, Vec<Voter>)]) -> String {
    let mut text = format!(
        "{} holds no node, and others of its cluster are there ({why}). If it was moved, put it back. If it is lost, it \
         must not be made anew: it has forgotten its votes and what it acknowledged. What is there can run without it, \
         as long as it is a majority, each in a terminal of its own:",
        missing.display()
    );
    for (dir, _) in found {
        text.push_str(&format!("\n  {} run --data {}", program(), dir.display()));
    }
    text
}
