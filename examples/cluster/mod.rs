//! Setting nodes up and running them: what any program that embeds eRaft has to do around its service, in reading order.
//!
//! 1. [`members`]: who founds the cluster, and where each of them is reached.
//! 2. [`init`]: founding one member, or three at once, so that a kill at any moment leaves nothing half made.
//! 3. [`run`]: one node, from its store to its clients, and back down in order; [`compaction`] keeps its log short,
//!    [`monitoring`] tells how it is.
//! 4. [`snapshots`]: where snapshots go, if not into the store.
//! 5. [`starter`]: three nodes as processes of this same program, for a first look; with [`recall`] it finds them again,
//!    with [`probe`] it watches them.
//!
//! Nothing here depends on the backend but through [`Backend`].

mod backend;
mod compaction;
mod init;
mod members;
mod monitoring;
mod probe;
mod recall;
mod run;
mod snapshots;
mod staging;
mod starter;

use std::{io::IsTerminal, io::Write, path::PathBuf, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use backend::Backend;
pub use members::Addresses;
#[allow(unused_imports, reason = "each program names what it uses")]
pub use {
    members::Voter,
    snapshots::{InTheStore, Snapshots},
    staging::Staging,
};

/// What can be typed after the program's name.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments<S: Snapshots> {
    #[command(subcommand)]
    task: Option<Task<S>>,
    #[command(flatten)]
    start: starter::Start<S>,
}

#[derive(Debug, Subcommand)]
enum Task<S: Snapshots> {
    /// Makes the data directory of one founding member of a new cluster, once.
    Init(init::Init),
    /// Runs the node whose data directory this is.
    Run(run::Run<S>),
    #[command(flatten)]
    Snapshots(S::Task),
}

/// The whole program, on `backend`, with its snapshots where `S` says.
pub async fn main<S: Snapshots>(backend: Backend) -> ExitCode {
    let arguments: Arguments<S> = arguments(backend);
    let filter = tracing_subscriber::EnvFilter::builder().with_env_var("ERAFT_LOG");
    let filter = filter.with_default_directive(tracing::level_filters::LevelFilter::WARN.into()).from_env_lossy();
    // Whoever reads the log may leave; complaining of that on the same stream would panic, and so end the node.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.log_internal_errors(false).with_ansi(std::io::stderr().is_terminal()).init();
    let done = match arguments.task {
        None => starter::start(backend, arguments.start).await,
        Some(Task::Init(init)) => init::init(backend, init).await,
        Some(Task::Run(run)) => run::run(backend, run).await,
        Some(Task::Snapshots(task)) => S::run(task).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "error: {}", in_one_breath(&why));
            ExitCode::FAILURE
        }
    }
}

/// What was typed; whoever typed it wrongly is told here, and the program ends.
fn arguments<S: Snapshots>(backend: Backend) -> Arguments<S> {
    let about = format!(
        "A key-value service on {} that is replicated by eRaft and speaks Redis' protocol. Without a subcommand: three \
         nodes on loopback, each a process of its own, until Ctrl-C",
        backend.name
    );
    let data = |arg: clap::Arg| arg.required(false).default_value(backend.data);
    let command = Arguments::<S>::command().about(about).mut_arg("data", data);
    Arguments::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

/// Prints lines to a person; whoever closed the other end does not want them.
pub fn say(lines: impl std::fmt::Display) {
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
pub fn program() -> String {
    let called = || PathBuf::from(std::env::args_os().next().unwrap_or_default());
    let program = std::env::current_exe().unwrap_or_else(|_| called());
    let here = std::env::current_dir().ok();
    let short = here.as_deref().and_then(|here| program.strip_prefix(here).ok());
    short.unwrap_or(&program).display().to_string()
}
