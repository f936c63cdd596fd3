//! When every disk is gone: what a bucket holds, and a new cluster that begins at a snapshot in it.
//!
//! The new cluster has another id and one voter. Its directory appears whole or not at all, so that a kill at any moment
//! leaves nothing that could be started by mistake.

use std::{io::IsTerminal, path::PathBuf, str::FromStr, time::Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use eraft::{
    ClusterId, EntryId, Expected, GroupId, LogIndex, Storage as _, Term,
    file::FileStorage,
    s3::{BucketSnapshot, SnapshotChoice, SnapshotCondition, list_snapshots, restore_cluster},
};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::{
    Elsewhere,
    cluster::{Staging, Voter, program, say},
};

/// What can be done with a bucket alone.
#[derive(Debug, clap::Subcommand)]
pub enum FromABucket {
    /// Shows every snapshot in a bucket, the newest first, and whether a cluster can be restored from it.
    List(List),
    /// Makes the first node of a new cluster from a snapshot in a bucket, when the old one's disks are lost.
    Restore(Restore),
}

/// Shows the snapshots.
#[derive(Debug, clap::Args)]
pub struct List {
    /// The bucket to look into.
    #[arg(long, value_name = "NAME")]
    bucket: String,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// Restores a cluster.
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The directory of the new cluster's node; to be made.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// That node: its id, and where it is to be reached.
    #[arg(long, value_name = "ID=PEER_ADDR/CLIENT_ADDR")]
    voter: Voter,
    /// The bucket that the snapshot is in, and that the new cluster's own go to.
    #[arg(long, value_name = "NAME")]
    bucket: String,
    #[command(flatten)]
    elsewhere: Elsewhere,
    /// The snapshot whose last entry is this one [default: the newest that is complete].
    #[arg(long, value_name = "TERM-INDEX")]
    at: Option<At>,
    /// The cluster to restore, where the bucket holds snapshots of several: 16 hexadecimal digits.
    #[arg(long, value_name = "ID", value_parser = cluster_id)]
    cluster: Option<ClusterId>,
}

/// An entry, as `list` shows it.
#[derive(Clone, Copy, Debug)]
pub struct At(EntryId);

impl FromStr for At {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<At> {
        let numbers = text.split_once('-').and_then(|(term, index)| Some((term.parse().ok()?, index.parse().ok()?)));
        let (term, index) = numbers.with_context(|| format!("'{text}' is not TERM-INDEX, as `list` shows it"))?;
        Ok(At(EntryId { term: Term(term), index: LogIndex(index) }))
    }
}

fn cluster_id(text: &str) -> anyhow::Result<ClusterId> {
    let id = u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16);
    Ok(ClusterId(id.with_context(|| format!("'{text}' is not an id of 16 hexadecimal digits, as `list` shows it"))?))
}

/// Does it.
///
/// # Errors
/// The bucket does not answer, or holds nothing that fits; the directory is there already, or the disk failed.
pub async fn run(task: FromABucket) -> anyhow::Result<()> {
    match task {
        FromABucket::List(list) => show(&list).await,
        FromABucket::Restore(task) => restore(task).await,
    }
}

async fn show(list: &List) -> anyhow::Result<()> {
    let (bucket, options) = list.elsewhere.options(&list.bucket);
    let found = list_snapshots(bucket.connect()?, &options).await?;
    if found.is_empty() {
        say(format_args!("no snapshot is in bucket {} under the prefix {:?}", list.bucket, options.prefix));
        return Ok(());
    }
    say(format_args!("{:<16}  {:>5}  {:>4}  {:>16}  condition", "cluster", "group", "node", "term-index"));
    for snapshot in &found {
        let BucketSnapshot { cluster, group, node, last, condition, object } = snapshot;
        let condition = match condition {
            SnapshotCondition::Complete { size_bytes } => format!("complete, {}", HumanBytes(*size_bytes)),
            SnapshotCondition::Incomplete { reason } => format!("INCOMPLETE: {object}: {reason}"),
            SnapshotCondition::Damaged { reason } => format!("DAMAGED: {object}: {reason}"),
        };
        // Numbers in a table need their text to be padded.
        let [cluster, group, node, last] = [cluster.to_string(), group.to_string(), node.to_string(), last.to_string()];
        say(format_args!("{cluster:<16}  {group:>5}  {node:>4}  {last:>16}  {condition}"));
    }
    Ok(())
}

async fn restore(task: Restore) -> anyhow::Result<()> {
    let (bucket, options) = task.elsewhere.options(&task.bucket);
    let bucket = bucket.connect()?;
    let staging = Staging::begin(&task.data)
        .with_context(|| format!("a cluster is restored into a new directory, and {} is none", task.data.display()))?;
    let found = list_snapshots(bucket.clone(), &options).await?;
    let choice = SnapshotChoice { cluster: task.cluster, group: Some(GroupId::ZERO), at: task.at.map(|at| at.0) };
    let chosen = choice.of(&found)?;
    let SnapshotCondition::Complete { size_bytes } = chosen.condition else {
        bail!("{} is not complete", chosen.object)
    };
    say(format_args!(
        "restoring {}, the snapshot at {} of node {} of cluster {}",
        HumanBytes(size_bytes),
        chosen.last,
        chosen.node,
        chosen.cluster
    ));

    let path = std::path::absolute(staging.path())?;
    let create = |cluster, node| async move {
        FileStorage::create(&path, cluster, node)?;
        FileStorage::open(&path, Expected::exactly(cluster, node))
    };
    let voter = (task.voter.id, Bytes::from(task.voter.addresses.to_string()));
    #[expect(clippy::disallowed_methods, reason = "told to whoever waits; nothing depends on it")]
    let begun = Instant::now();
    let mut progress = Progress::new(size_bytes);
    let storage =
        restore_cluster(bucket, chosen, voter, options, create, |copied_bytes| progress.reached(copied_bytes)).await?;
    progress.finish();
    let identity = storage.read_raft_state().await?.identity;
    storage.close().await?;
    staging.publish()?;

    let (data, flags) = (task.data.display(), task.elsewhere.flags().join(" "));
    let run = format!("{} run --data {data} --bucket {} {flags}", program(), task.bucket);
    #[expect(clippy::disallowed_methods, reason = "told to whoever waits; nothing depends on it")]
    let took = begun.elapsed();
    say(format_args!(
        "cluster {} begins in {data} with node {} at {}, after {took:.1?}; run it:\n  {}\n\
         What was acknowledged after {} is lost. Nothing of the old cluster may run any more.",
        identity.cluster,
        identity.node,
        chosen.last,
        run.trim_end(),
        chosen.last
    ));
    Ok(())
}

/// A bar for a person, a line for each tenth where nobody looks.
struct Progress {
    bar: Option<ProgressBar>,
    size_bytes: u64,
    tenths: u64,
}

impl Progress {
    fn new(size_bytes: u64) -> Progress {
        let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(size_bytes));
        let bar = bar.map(|bar| if let Ok(style) = style { bar.with_style(style) } else { bar });
        Progress { bar, size_bytes, tenths: 0 }
    }

    fn reached(&mut self, copied_bytes: u64) {
        if let Some(bar) = &self.bar {
            return bar.set_position(copied_bytes);
        }
        let tenths = copied_bytes.saturating_mul(10).checked_div(self.size_bytes).unwrap_or(10);
        if tenths > self.tenths {
            self.tenths = tenths;
            say(format_args!("{} of {}", HumanBytes(copied_bytes), HumanBytes(self.size_bytes)));
        }
    }

    fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish();
        }
    }
}
