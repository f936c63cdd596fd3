//! What the driver's tests share: clusters on memory disks, a network in memory, and a state machine that remembers.
//!
//! Time is tokio's and paused, so that an hour of heartbeats takes no time and every run is the same.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(unreachable_pub, reason = "a module of several test binaries")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

pub mod network;
pub mod puppet;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use eraft_conformance::faulty::{Faults, Faulty};
use eraft_core::{
    ClusterId, ConfState, Entry, EntryKind, Expected, LogIndex, MemoryDisk, MemoryStorage, NodeId, SnapshotReader,
    SnapshotStream, StateMachine, StateMachineError, Storage, codec,
};
use eraft_node::{Node, Options, ProposeError, bootstrap};
use futures_util::{StreamExt as _, stream};
use tokio::sync::watch;

use self::network::Network;

pub const CLUSTER: ClusterId = ClusterId(7);

/// What one replica has applied, in order; its reply to a command is `"<index>:<command>"`.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    entries: Arc<Mutex<Vec<Entry>>>,
    restored: Arc<Mutex<Vec<LogIndex>>>,
    /// Its snapshots give no byte while this is set.
    pub hold_snapshots: Arc<watch::Sender<bool>>,
    /// It takes none while this is set.
    pub hold_restores: Arc<watch::Sender<bool>>,
}

impl Journal {
    pub fn commands(&self) -> Vec<String> {
        let entries = self.entries.lock().unwrap();
        let commands = entries.iter().filter(|entry| entry.kind == EntryKind::Command);
        commands.map(|entry| String::from_utf8(entry.payload.to_vec()).unwrap()).collect()
    }

    /// What it was restored to, each time.
    pub fn restored(&self) -> Vec<LogIndex> {
        self.restored.lock().unwrap().clone()
    }

    pub fn indexes(&self) -> Vec<u64> {
        self.entries.lock().unwrap().iter().map(|entry| entry.index.0).collect()
    }
}

#[async_trait]
impl StateMachine for Journal {
    fn last_applied(&self) -> LogIndex {
        LogIndex::ZERO
    }

    async fn apply(&mut self, entries: Vec<Entry>) -> Result<Vec<Bytes>, StateMachineError> {
        let replies = entries.iter().map(reply).collect();
        self.entries.lock().unwrap().extend(entries);
        Ok(replies)
    }

    async fn snapshot(&mut self) -> Result<SnapshotStream, StateMachineError> {
        let state = codec::encode(&*self.entries.lock().unwrap());
        let chunks: Vec<Bytes> = state.chunks(100).map(|chunk| state.slice_ref(chunk)).collect();
        let mut held = self.hold_snapshots.subscribe();
        let released = async move { held.wait_for(|held| !held).await.map(drop).unwrap() };
        let chunks = stream::iter(chunks.into_iter().map(Ok));
        Ok(stream::once(released).flat_map(move |()| chunks.clone()).boxed())
    }

    async fn restore(&mut self, snapshot: SnapshotReader) -> Result<(), StateMachineError> {
        let last = snapshot.meta.last.index;
        self.hold_restores.subscribe().wait_for(|held| !held).await.map(drop).unwrap();
        *self.entries.lock().unwrap() = codec::decode(&snapshot.read_all().await?)?;
        self.restored.lock().unwrap().push(last);
        Ok(())
    }
}

pub fn reply(entry: &Entry) -> Bytes {
    if entry.kind != EntryKind::Command {
        return Bytes::new();
    }
    format!("{}:{}", entry.index, String::from_utf8_lossy(&entry.payload)).into()
}

/// Waits until `holds`, and fails with `what` when it does not within 30 s of the paused clock.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..3000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited 30 s in vain until {what}");
}

/// What `future` resolves to; fails when that takes more than 60 s of the paused clock.
pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("resolved within 60 s")
}

/// Options under which a run is the same every time.
pub fn options(id: NodeId) -> Options {
    Options { seed: Some(id.0), ..Options::default() }
}

/// The configuration of `size` founders.
pub fn founders(size: u64) -> ConfState {
    ConfState::of_voters((1..=size).map(|id| (NodeId(id), Bytes::new())))
}

/// A disk that was bootstrapped as node `id` of `size`.
pub async fn founder_disk(id: NodeId, size: u64) -> MemoryDisk {
    let disk = MemoryDisk::new(id.0);
    MemoryStorage::create(&disk, CLUSTER, id).unwrap();
    let storage = MemoryStorage::open(&disk, Expected::any()).unwrap();
    bootstrap(&storage, &founders(size)).await.unwrap();
    storage.close().await.unwrap();
    disk
}

/// A cluster whose members can be killed and started again.
pub struct Cluster {
    pub network: Network,
    pub members: BTreeMap<NodeId, Member>,
}

pub struct Member {
    pub disk: MemoryDisk,
    pub faults: Option<Faults>,
    pub node: Option<Node>,
    pub journal: Journal,
}

impl Cluster {
    /// `size` founders, running.
    pub async fn start(size: u64) -> Cluster {
        Cluster::start_with(size, options).await
    }

    /// The same, with options of the test's own.
    pub async fn start_with(size: u64, options: fn(NodeId) -> Options) -> Cluster {
        let mut cluster = Cluster { network: Network::default(), members: BTreeMap::new() };
        for id in (1..=size).map(NodeId) {
            let disk = founder_disk(id, size).await;
            cluster.members.insert(id, Member { disk, faults: None, node: None, journal: Journal::default() });
            cluster.run(id, options(id)).await;
        }
        cluster
    }

    /// Starts a member that does not run.
    pub async fn run(&mut self, id: NodeId, options: Options) -> Node {
        let member = self.members.get_mut(&id).unwrap();
        let inner = MemoryStorage::open(&member.disk, Expected::exactly(CLUSTER, id)).unwrap();
        let (storage, faults) = Faulty::over(Arc::new(inner));
        member.faults = Some(faults);
        member.journal = Journal::default();
        let transport = Arc::new(self.network.transport(id));
        let node = Node::start(options, storage, transport, Box::new(member.journal.clone())).await.unwrap();
        self.network.connect(id, node.inbox());
        member.node = Some(node.clone());
        node
    }

    /// Ends a member without a word: what was not durable is lost, and nothing of it is heard any more.
    pub async fn kill(&mut self, id: NodeId) {
        self.network.disconnect(id);
        let member = self.members.get_mut(&id).unwrap();
        member.disk.kill();
        let node = member.node.take().unwrap();
        // Its handle of the disk is dead by now, so that nothing the node still does is kept.
        let _cannot_be_in_good_order = node.shutdown().await;
    }

    /// The strings of a running member's store.
    pub fn faults(&self, id: NodeId) -> &Faults {
        self.members[&id].faults.as_ref().unwrap()
    }

    pub fn node(&self, id: NodeId) -> &Node {
        self.members[&id].node.as_ref().unwrap()
    }

    pub fn running(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.members.iter().filter_map(|(id, member)| Some((*id, member.node.as_ref()?)))
    }

    /// Waits until a running member leads and the others know it.
    pub async fn leader(&self) -> NodeId {
        let agreed = || {
            let mut leaders = self.running().map(|(_, node)| node.watch().borrow().leader);
            let first = leaders.next().flatten()?;
            (self.members[&first].node.is_some() && leaders.all(|other| other == Some(first))).then_some(first)
        };
        until("all know a leader that runs", || agreed().is_some()).await;
        agreed().unwrap()
    }

    /// Waits until every running member has applied `commands` commands.
    pub async fn applied_everywhere(&self, commands: usize) {
        let applied = |id| self.members[&id].journal.commands().len() >= commands;
        until("every member has applied it", || self.running().all(|(id, _)| applied(id))).await;
    }

    /// Proposes at whoever leads until it is answered.
    pub async fn propose(&self, command: &str) -> String {
        for _ in 0..100 {
            let leader = self.leader().await;
            match self.node(leader).propose(command.to_owned().into()).await {
                Ok(reply) => return String::from_utf8(reply.to_vec()).unwrap(),
                Err(ProposeError::NotLeader { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(other) => panic!("{other}"),
            }
        }
        panic!("nobody took {command}");
    }
}
