//! Setting nodes up and running them: what any program that embeds eRaft has to do around its service, in reading order.
//!
//! 1. [`members`]: who founds the cluster, and where each of them is reached.
//! 2. [`init`]: founding one member, or three at once, so that a kill at any moment leaves nothing half made.
//! 3. [`run`]: one node, from its store to its clients, and back down in order; [`compaction`] keeps its log short,
//!    [`monitoring`] tells how it is.
//! 4. [`starter`]: three nodes as processes of this same program, for a first look; with [`recall`] it finds them again,
//!    with [`probe`] it watches them.
//!
//! Nothing here depends on the backend but through [`Backend`].

mod compaction;
mod init;
mod members;
mod monitoring;
mod probe;
mod recall;
mod run;
mod staging;
mod starter;

use std::{io::IsTerminal, io::Write, path::Path, path::PathBuf, process::ExitCode, sync::Arc};

use async_trait::async_trait;
use clap::{Parser, Subcommand};
use eraft::{ClusterId, Identity, NodeId, Storage, StorageError};

pub use members::Addresses;

/// Where a node keeps its state, log and snapshots.
#[async_trait]
pub trait Backend: Sync {
    /// Makes a blank store in `dir`, which does not exist yet.
    async fn create(&self, dir: &Path, cluster: ClusterId, node: NodeId) -> Result<Identity, StorageError>;

    /// Opens the store in `dir`, whoever's it is.
    async fn open(&self, dir: &Path) -> Result<Arc<dyn Storage>, StorageError>;
}

/// A key-value service that is replicated by eRaft and speaks Redis' protocol. Without a subcommand: three nodes on
/// loopback, each a process of its own, until Ctrl-C.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    start: starter::Start,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Makes the data directory of one founding member of a new cluster, once.
    Init(init::Init),
    /// Runs the node whose data directory this is.
    Run(run::Run),
}

/// The whole program, on `backend`.
pub async fn main(backend: &dyn Backend) -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::builder().with_env_var("ERAFT_LOG");
    let filter = filter.with_default_directive(tracing::level_filters::LevelFilter::WARN.into()).from_env_lossy();
    // Whoever reads the log may leave; complaining of that on the same stream would panic, and so end the node.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.log_internal_errors(false).with_ansi(std::io::stderr().is_terminal()).init();
    let done = match arguments.task {
        None => starter::start(backend, arguments.start).await,
        Some(Task::Init(init)) => init::init(backend, init).await,
        Some(Task::Run(run)) => run::run(backend, run).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "error: {}", in_one_breath(&why));
            ExitCode::FAILURE
        }
    }
}

/// Prints lines to a person; whoever closed the other end does not want them.
fn say(lines: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{lines}");
}

/// The whole chain of causes on one line, as a person reads it: many a text quotes its cause already.
fn in_one_breath(why: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in why.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if !text.contains(&cause) {
            let between = if text.is_empty() { "" } else { ": " };
            text.push_str(&format!("{between}{cause}"));
        }
    }
    text
}

/// How this program is called by someone in this directory.
fn program() -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("file_node"));
    let here = std::env::current_dir().ok();
    let short = here.as_deref().and_then(|here| program.strip_prefix(here).ok());
    short.unwrap_or(&program).display().to_string()
}
