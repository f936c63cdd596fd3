//! Where snapshots go, if not into a node's own store: what can be typed for it, and what it makes of the store's URL.
//!
//! Programs whose stores keep everything themselves say [`InTheStore`], and nothing of this is seen.

use std::{fmt, path::Path};

/// The flags that say where snapshots go.
pub trait Snapshots: clap::Args + Clone + fmt::Debug + Send + Sync + 'static {
    /// The subcommand that begins a new cluster from them when every disk is lost, if there is one.
    const RESTORE: Option<&'static str>;

    /// What can be done with them alone, without a node.
    type Task: clap::Subcommand + fmt::Debug + Send;

    /// Does that.
    ///
    /// # Errors
    /// As the task says.
    fn run(task: Self::Task) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// For the starter, before its nodes run and with their data in `data`, the first of them at this address: brings up
    /// what they need, as long as it is held. A line for the first screen, if there is anything to say.
    ///
    /// # Errors
    /// It cannot be brought up.
    fn serve(&mut self, data: &Path, first_client: &str) -> anyhow::Result<Option<String>>;

    /// The URL of the store whose own URL is `local`.
    ///
    /// # Errors
    /// What was typed cannot be, or is the starter's alone.
    fn url(&self, local: String) -> anyhow::Result<String>;

    /// The flags that tell a node the same.
    fn flags(&self) -> Vec<String>;

    /// What a node needs in its environment, beside what is there.
    fn environment(&self) -> Vec<(&'static str, String)>;
}

/// Into the store: there is nothing to say.
#[derive(Clone, Debug, clap::Args)]
pub struct InTheStore {}

/// Nothing.
#[derive(Debug, clap::Subcommand)]
pub enum NoTask {}

impl Snapshots for InTheStore {
    const RESTORE: Option<&'static str> = None;

    type Task = NoTask;

    async fn run(task: NoTask) -> anyhow::Result<()> {
        match task {}
    }

    fn serve(&mut self, _data: &Path, _first_client: &str) -> anyhow::Result<Option<String>> {
        Ok(None)
    }

    fn url(&self, local: String) -> anyhow::Result<String> {
        Ok(local)
    }

    fn flags(&self) -> Vec<String> {
        Vec::new()
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
