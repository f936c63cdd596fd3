//! One node: what it takes to bring it up, and to bring it down in order.
//!
//! Up: what tells of it, the store, then the clients' port, then the node, then the peers' port. Down: the node answers what it can, saves
//! and closes its store; only then do the ports close. A kill at any moment is as good as this, but slower to recover
//! from: nothing here is needed for safety.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, bail};
use eraft::{
    Identity, LogIndex, Node, NodeId, Storage, StorageErrorKind,
    grpc::{GrpcOptions, GrpcServer, GrpcTransport},
};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Backend, Snapshots, compaction::Compaction, members, members::Addresses, monitoring::Monitoring, program, say,
};
use crate::kv;

/// How long a node may take to end in order.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs one node.
#[derive(Debug, clap::Args)]
pub struct Run<S: Snapshots> {
    /// The node's data directory.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    #[command(flatten)]
    pub compaction: Compaction,
    #[command(flatten)]
    pub snapshots: S,
    #[command(flatten)]
    pub monitoring: Monitoring,
    /// Ends when standard input, a pipe, is closed; the starter holds its other end, and so ends its nodes by dying.
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
}

/// Runs the node until it is told to end.
///
/// # Errors
/// It cannot start, or it ended by itself: the text says why and what to do.
pub async fn run<S: Snapshots>(backend: Backend, run: Run<S>) -> anyhow::Result<()> {
    let pages = run.monitoring.start().await?;
    let storage = open(backend, &run).await?;
    let state = storage.read_raft_state().await?;
    let members = members::in_store(&state)?;
    let members: BTreeMap<_, _> = members.into_iter().map(|member| (member.id, member.addresses)).collect();
    let id = state.identity.node;
    let own = members.get(&id).with_context(|| format!("node {id} is no member of its own cluster any more"))?;

    let clients = kv::Server::bind(resolve(&own.client).await?).await?;
    let peers = members.keys().copied().filter(|peer| *peer != id);
    let options = run.compaction.throttled(GrpcOptions::accepting(peers));
    let transport = Arc::new(transport(state.identity, &members, options.clone()));
    let store = kv::Store::default();
    let node = Node::start(run.compaction.options(), storage, transport.clone(), store.state_machine()).await?;
    if let Some(pages) = &pages {
        let snapshot = state.snapshot.as_ref().map_or(LogIndex::ZERO, |meta| meta.last.index);
        pages.watch(node.clone(), state.hard_state.commit.max(snapshot));
    }
    let service = kv::Service { node: node.clone(), store };
    let ended = match GrpcServer::bind(state.identity, resolve(&own.peer).await?, node.inbox(), options) {
        Ok(peers) => {
            if !run.until_stdin_closes {
                let Addresses { peer, client } = own;
                let pid = std::process::id();
                say(format_args!("node {id} (pid {pid}) serves clients at {client}, peers at {peer}; Ctrl-C ends it"));
                if let Some(url) = run.monitoring.url() {
                    say(format_args!("its metrics are at {url}"));
                }
            }
            let serving = tokio::spawn(clients.run(service));
            let ended = until_end(&node, run.until_stdin_closes).await;
            let closed = tokio::time::timeout(SHUTDOWN_TIMEOUT, node.shutdown()).await;
            serving.abort();
            peers.shutdown().await;
            ended.and(closed.context("the node did not end in time")?.map_err(anyhow::Error::from))
        }
        Err(taken) => {
            node.shutdown().await?;
            Err(taken.into())
        }
    };
    transport.shutdown().await;
    ended
}

async fn open<S: Snapshots>(backend: Backend, run: &Run<S>) -> anyhow::Result<Arc<dyn Storage>> {
    let (data, program) = (run.data.display(), program());
    let all_lost = S::RESTORE.map(|task| {
        format!(". Where most of the voters are lost, begin a new cluster from the bucket:\n  {program} {task} --help")
    });
    let all_lost = all_lost.unwrap_or_default();
    backend.open_whole(&run.data, &run.snapshots).await.map_err(|refused| match refused.kind() {
        StorageErrorKind::NotInitialised => anyhow!(
            "{data} holds no node ({refused}). A blank directory never starts by itself, because it cannot know \
             whether it is a new member or one that lost its disk. If this is a new member of a new cluster, found it, \
             once:\n  {program} init --data {data} --id ID --voters 1=PEER_ADDR/CLIENT_ADDR,2=..,3=..\n\
             If it is a voter whose disk was lost, do not: it has forgotten its votes and what it acknowledged. The \
             others go on without it as long as they are a majority{all_lost}"
        ),
        StorageErrorKind::Locked => anyhow!("another process runs on {data}: end that one first ({refused})"),
        _ => anyhow!(refused),
    })
}

fn transport(identity: Identity, members: &BTreeMap<NodeId, Addresses>, options: GrpcOptions) -> GrpcTransport {
    let peers = members.iter().filter(|(peer, _)| **peer != identity.node);
    GrpcTransport::new(identity, peers.map(|(peer, addresses)| (*peer, addresses.peer.clone())).collect(), options)
}

async fn resolve(address: &str) -> anyhow::Result<SocketAddr> {
    let found = tokio::net::lookup_host(address).await.with_context(|| format!("cannot resolve {address}"))?.next();
    found.with_context(|| format!("{address} resolves to no address"))
}

/// Waits until the node is told to end (`Ok`) or has ended by itself.
async fn until_end(node: &Node, until_stdin_closes: bool) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
        closed = stdin_closed(), if until_stdin_closes => closed?,
        cause = node.stopped() => bail!("the node ended by itself: {cause}"),
    }
    Ok(())
}

async fn stdin_closed() -> anyhow::Result<()> {
    use std::os::fd::AsFd;
    use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver};
    // Not tokio's stdin: that reads on a thread which nothing can interrupt, and the process would wait for it.
    let mut stdin = Receiver::from_owned_fd(std::io::stdin().as_fd().try_clone_to_owned()?)?;
    while stdin.read(&mut [0; 64]).await? > 0 {}
    Ok(())
}
