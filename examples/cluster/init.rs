//! Founding: a blank store never starts by itself, so someone has to say, once, who the founders are.
//!
//! Every founder is given the same list. The cluster's id is a digest of it, so a node with a mistyped list belongs to
//! another cluster and is refused by the others, instead of being a second cluster in disguise.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use eraft::{ConfState, NodeId};

use super::{Backend, members, members::Voter, program, say, staging, staging::Staging};

/// Makes the data directory of one founding member.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// The directory to be made.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The id of this node.
    #[arg(long)]
    id: u64,
    /// Every founder, this node too; the same list on each of them, separated by commas
    #[arg(long, value_delimiter = ',', required = true, value_name = "ID=PEER_ADDR/CLIENT_ADDR")]
    voters: Vec<Voter>,
    /// A name, to tell clusters apart that have the same founders; the same on each of them.
    #[arg(long, value_name = "NAME", default_value = "")]
    cluster: String,
}

/// Founds one member.
///
/// # Errors
/// The directory is there already, the voters are not a cluster that this node belongs to, or the disk failed. Nothing
/// is left of it then.
pub async fn init(backend: Backend, init: Init) -> anyhow::Result<()> {
    let id = NodeId(init.id);
    let founders = members::founders(&init.voters)?;
    ensure!(founders.is_voter(id), "--voters does not name node {id}: every founder, this one too, is in the list");
    let data = init.data.display();
    let run = format!("{} run --data {data}", program());
    let staging = Staging::begin(&init.data).with_context(|| format!("cannot initialise {data} (to run it: {run})"))?;
    found(backend, &staging.path(), id, &founders, &init.cluster).await?;
    staging.publish()?;
    say(format_args!(
        "node {id} of cluster {} is initialised in {data}; run it:\n  {run}\n\
         Once only: a voter whose disk was lost must not be initialised anew. It has forgotten its votes and what it \
         acknowledged, and could help to lose acknowledged writes.",
        founders.founding_cluster_id(&init.cluster)
    ));
    Ok(())
}

/// Founds three members on this machine, each in its own directory under `data`, all of them or none.
///
/// # Errors
/// As [`init`].
pub async fn init_three(backend: Backend, data: &Path, voters: &[Voter]) -> anyhow::Result<()> {
    let founders = members::founders(voters)?;
    let staging = Staging::begin(data)?;
    staging::create_private_dir(&staging.path())?;
    for voter in voters {
        found(backend, &node_dir(&staging.path(), voter.id), voter.id, &founders, "").await?;
    }
    staging.publish()
}

/// Where the starter keeps the data of a node.
pub fn node_dir(data: &Path, id: NodeId) -> PathBuf {
    data.join(format!("n{id}"))
}

async fn found(backend: Backend, dir: &Path, id: NodeId, founders: &ConfState, cluster: &str) -> anyhow::Result<()> {
    backend.create(dir, founders.founding_cluster_id(cluster), id).await?;
    let storage = backend.open(dir).await?;
    eraft::bootstrap(&*storage, founders).await.with_context(|| format!("cannot found node {id}"))?;
    storage.close().await?;
    Ok(())
}
