//! Three nodes for a first look: processes of this same program, each with a data directory of its own.
//!
//! The starter founds the cluster at the first start, runs its nodes, and tells what happens to them. It does not bring a
//! node back by itself: whoever kills one wants to see the other two go on.
//!
//! No node outlives the starter, however that dies. Each child reads from a pipe whose other end only the starter holds
//! and never writes to; the system closes it when the starter ends, by Ctrl-C, by a panic or by `kill -9`. The children
//! are in process groups of their own, so that a Ctrl-C reaches the starter alone and the end has one order. A node that
//! was brought back by hand has no such pipe: the starter ends it by a signal when it is itself ended in order.

use std::{
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use eraft::NodeId;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    net::TcpListener,
    process::{ChildStdin, Command},
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::MissedTickBehavior,
};

use super::{
    Backend, Snapshots,
    compaction::Compaction,
    init,
    members::{Addresses, Voter},
    monitoring::Monitoring,
    probe, program,
    recall::recall,
    say, staging,
};

const NODES: u16 = 3;
/// From a node's port for clients to its port for peers.
const PEER_PORT_OFFSET: u16 = 100;
const DEFAULT_BASE_PORT: u16 = 7001;
/// How often the nodes are asked how they are.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// How long nodes may take to end in order before they are killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);

/// Starts three nodes.
#[derive(Debug, clap::Args)]
pub struct Start<S: Snapshots> {
    /// Where the nodes keep their data; it is made at the first start and found again at the next.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Clients of the nodes connect to this port and the two after it [default: 7001]; peers to those 100 above. They
    /// become part of the cluster at the first start.
    #[arg(long, value_name = "PORT")]
    base_port: Option<u16>,
    #[command(flatten)]
    compaction: Compaction,
    #[command(flatten)]
    snapshots: S,
    #[command(flatten)]
    monitoring: Monitoring,
}

/// Runs the three nodes until Ctrl-C.
///
/// # Errors
/// The cluster cannot be founded or found again, a port is taken, or every node has ended.
pub async fn start<S: Snapshots>(backend: Backend, mut start: Start<S>) -> anyhow::Result<()> {
    // From here on a signal is kept until it is looked at, so that none can fall between two steps.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (fresh, voters) = find_or_found(backend, &start).await?;
    ports_are_free(&voters).await?;
    let monitoring =
        (0..).zip(&voters).map(|(place, _)| start.monitoring.of_place(place)).collect::<anyhow::Result<Vec<_>>>()?;
    for one in &monitoring {
        one.listen().await?;
    }
    let first_client = voters.first().map_or_else(String::new, |voter| voter.addresses.client.clone());
    let said = start.snapshots.serve(&start.data, &first_client)?;
    let mut cluster = Cluster::spawn(start.data, start.compaction, start.snapshots, monitoring, voters)?;
    cluster.introduce(backend, fresh, said.as_deref());
    let stopped = tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        ended = cluster.watch() => ended,
    };
    cluster.stop().await;
    stopped
}

async fn find_or_found<S: Snapshots>(backend: Backend, start: &Start<S>) -> anyhow::Result<(bool, Vec<Voter>)> {
    let data = &start.data;
    staging::clear_abandoned(data)?;
    if staging::is_blank(data)? {
        let voters = on_loopback(start.base_port.unwrap_or(DEFAULT_BASE_PORT))?;
        ports_are_free(&voters).await?;
        init::init_three(backend, data, &voters).await?;
        return Ok((true, voters));
    }
    // The start that founded it may have been killed before this: a power cut must not take the name from full stores.
    staging::sync_name(data)?;
    let voters = recall(backend, data, NODES).await?;
    if let Some(base_port) = start.base_port {
        let as_asked = on_loopback(base_port)?;
        let same = as_asked.iter().map(|voter| &voter.addresses).eq(voters.iter().map(|voter| &voter.addresses));
        ensure!(
            same,
            "the cluster in {} was founded with other addresses ({}): leave --base-port out, or choose another --data",
            data.display(),
            voters.iter().map(|voter| voter.addresses.to_string()).collect::<Vec<_>>().join(", ")
        );
    }
    Ok((false, voters))
}

fn on_loopback(base_port: u16) -> anyhow::Result<Vec<Voter>> {
    let highest = u16::MAX - PEER_PORT_OFFSET - NODES;
    ensure!((1..=highest).contains(&base_port), "--base-port is {base_port}: expected 1 to {highest}");
    let voter = |place: u16| {
        let (client, peer) = (base_port + place, base_port + PEER_PORT_OFFSET + place);
        let addresses = Addresses { peer: format!("127.0.0.1:{peer}"), client: format!("127.0.0.1:{client}") };
        Voter { id: NodeId(u64::from(place) + 1), addresses }
    };
    Ok((0..NODES).map(voter).collect())
}

/// A node that finds its port taken would say so too, but as one of three, and after the first screen.
async fn ports_are_free(voters: &[Voter]) -> anyhow::Result<()> {
    for voter in voters {
        for address in [&voter.addresses.client, &voter.addresses.peer] {
            TcpListener::bind(address).await.with_context(|| {
                format!(
                    "node {} cannot listen on {address}; stop what uses it (another cluster?), or start this one \
                     elsewhere with --data DIR --base-port PORT",
                    voter.id
                )
            })?;
        }
    }
    Ok(())
}

/// The nodes, and what is known of them.
struct Cluster<S> {
    data: PathBuf,
    compaction: Compaction,
    snapshots: S,
    members: Vec<Member>,
    children: JoinSet<(NodeId, std::io::Result<ExitStatus>)>,
    leader: Option<(NodeId, u64)>,
    taught: bool,
}

struct Member {
    id: NodeId,
    client: String,
    /// Its process while it lives, whoever started it.
    pid: Option<u32>,
    monitoring: Monitoring,
    /// Never written to; dropping it ends the node. `None` for one that was brought back by hand.
    lifeline: Option<ChildStdin>,
}

impl<S: Snapshots> Cluster<S> {
    fn spawn(
        data: PathBuf,
        compaction: Compaction,
        snapshots: S,
        monitoring: Vec<Monitoring>,
        voters: Vec<Voter>,
    ) -> anyhow::Result<Cluster<S>> {
        let (members, children) = (Vec::new(), JoinSet::new());
        let mut cluster = Cluster { data, compaction, snapshots, members, children, leader: None, taught: false };
        for (Voter { id, addresses }, monitoring) in voters.into_iter().zip(monitoring) {
            let mut command = Command::new(std::env::current_exe()?);
            command
                .arg("run")
                .arg("--until-stdin-closes")
                .arg("--data")
                .arg(init::node_dir(&cluster.data, id))
                .args(cluster.compaction.flags())
                .args(cluster.snapshots.flags())
                .args(monitoring.flags())
                .envs(cluster.snapshots.environment());
            command.stdin(Stdio::piped()).process_group(0).kill_on_drop(true);
            let mut child = command.spawn().with_context(|| format!("cannot start node {id}"))?;
            let (pid, lifeline) = (child.id(), child.stdin.take());
            cluster.members.push(Member { id, client: addresses.client, pid, monitoring, lifeline });
            cluster.children.spawn(async move { (id, child.wait().await) });
        }
        Ok(cluster)
    }

    fn introduce(&self, backend: Backend, fresh: bool, said: Option<&str>) {
        let state = if fresh { "founded now" } else { "found again" };
        say(format_args!("eRaft: three nodes on {}, data in {} ({state})\n", backend.name, self.data.display()));
        for Member { id, client, pid, .. } in &self.members {
            let (pid, data) = (pid.unwrap_or_default(), init::node_dir(&self.data, *id));
            say(format_args!("  node {id}   clients {client}   pid {pid:<7}   data {}", data.display()));
        }
        for (id, url) in self.members.iter().filter_map(|member| Some((member.id, member.monitoring.url()?))) {
            say(format_args!("  node {id}   {url}, and /healthz, /readyz"));
        }
        if let Some(said) = said {
            say(format_args!("  {said}"));
        }
        say("");
    }

    /// What to type; once there is a leader to answer.
    fn teach(&self, leader: &Member) {
        let ports: Vec<_> = self.members.iter().filter_map(|member| Some(member.client.rsplit_once(':')?.1)).collect();
        let [first, second, third] = ports.as_slice() else { return };
        say(format_args!(
            "\nIn another terminal, at any node:\n  \
               redis-cli -c -p {first} SET greeting hello\n  \
               redis-cli -c -p {second} GET greeting\n  \
               redis-cli -p {third} INFO raft\n\n\
             Kill the leader, or any other node; the other two go on, and nothing acknowledged is lost:\n  \
               kill -9 {}\n\
             Bring it back:\n  \
               {}\n\n\
             Ctrl-C ends all three.\n",
            leader.pid.unwrap_or_default(),
            self.restart(leader.id)
        ));
    }

    fn restart(&self, id: NodeId) -> String {
        let environment = self.snapshots.environment().into_iter();
        let mut command: String = environment.map(|(name, value)| format!("{name}={value} ")).collect();
        command.push_str(&format!("{} run --data {}", program(), init::node_dir(&self.data, id).display()));
        let member = self.members.iter().find(|member| member.id == id);
        let monitoring = member.map_or_else(Vec::new, |member| member.monitoring.flags());
        for flag in self.compaction.flags().into_iter().chain(self.snapshots.flags()).chain(monitoring) {
            command.push(' ');
            command.push_str(&flag);
        }
        command
    }

    /// Tells what happens, until no node is left.
    async fn watch(&mut self) -> anyhow::Result<()> {
        let mut probes = tokio::time::interval(PROBE_INTERVAL);
        probes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.members.iter().any(|member| member.pid.is_some()) {
            tokio::select! {
                Some(ended) = self.children.join_next() => {
                    let (id, status) = ended?;
                    self.report_end(id, status);
                }
                _ = probes.tick() => self.probe().await,
            }
        }
        bail!("every node has ended; the data is in {}, start again to go on", self.data.display())
    }

    fn report_end(&mut self, id: NodeId, status: std::io::Result<ExitStatus>) {
        let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let restart = self.restart(id);
        let Some(member) = self.members.iter_mut().find(|member| member.id == id) else { return };
        let pid = member.pid.take().unwrap_or_default();
        member.lifeline = None;
        say(format_args!("node {id} (pid {pid}) has ended: {how}; bring it back, in another terminal:\n  {restart}"));
    }

    /// Asks every node, and tells who is back and who leads.
    async fn probe(&mut self) {
        let mut leader = None;
        for member in &mut self.members {
            let health = probe::ask(&member.client).await;
            match (health, member.pid) {
                (Some(health), None) => {
                    say(format_args!("node {} is back (pid {})", member.id, health.pid));
                    member.pid = Some(health.pid);
                }
                // Our own child's end is reported by the system; of another's process, silence is all that is heard.
                (None, Some(_)) if member.lifeline.is_none() => member.pid = None,
                _ => {}
            }
            // Of two that say they lead, the one of the older term has not heard yet.
            if let Some(health) = health.filter(|health| health.leads)
                && leader.is_none_or(|(_, term)| term < health.term)
            {
                leader = Some((member.id, health.term));
            }
        }
        self.report_leader(leader);
    }

    fn report_leader(&mut self, leader: Option<(NodeId, u64)>) {
        if leader.is_none() || leader == self.leader {
            return;
        }
        self.leader = leader;
        let Some((id, term)) = leader else { return };
        say(format_args!("node {id} leads (term {term})"));
        if let Some(member) = self.members.iter().find(|member| member.id == id).filter(|_| !self.taught) {
            self.teach(member);
            self.taught = true;
        }
    }

    /// Ends the nodes: their pipes close, they end in order, and what has not ended in time is killed.
    async fn stop(mut self) {
        say("\nending the nodes");
        let (started_here, by_hand): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.members).into_iter().partition(|member| member.lifeline.is_some());
        drop(started_here);
        let all_ended = async {
            for member in &by_hand {
                end_by_signal(&member.client).await;
            }
            while self.children.join_next().await.is_some() {}
        };
        if tokio::time::timeout(STOP_TIMEOUT, all_ended).await.is_err() {
            say("some did not end in time; those that were started here are killed");
        }
        say(format_args!("the data is in {}; start again to go on", self.data.display()));
    }
}

/// Ends the node at this address, if there is one, in order too: it was brought back by hand and has no pipe to us.
async fn end_by_signal(client: &str) {
    while let Some(health) = probe::ask(client).await {
        let pid = i32::try_from(health.pid).ok().and_then(Pid::from_raw);
        if pid.is_none_or(|pid| kill_process(pid, Signal::TERM).is_err()) {
            return;
        }
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
}
