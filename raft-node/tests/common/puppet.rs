//! Peers on strings: members that a test plays, around one real node.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use eraft_conformance::faulty::{Faults, Faulty};
use eraft_core::{
    Entry, EntryId, Expected, Inbox, LogIndex, MemoryDisk, MemoryStorage, Message, MessageBody, NodeId, Role,
    SnapshotReader, SnapshotRefused, Term,
};
use eraft_node::{Node, Options};

use super::{CLUSTER, Journal, founder_disk, network::Network, until};

/// A member that grants every vote, and acknowledges entries up to where it was told to.
#[derive(Debug)]
pub struct Puppet {
    id: NodeId,
    network: Network,
    strings: Mutex<Strings>,
}

#[derive(Debug)]
struct Strings {
    acknowledges_up_to: LogIndex,
    received: Vec<Message>,
}

/// Node 1, real, among puppets 2 and 3.
pub struct Stage {
    pub network: Network,
    pub disk: MemoryDisk,
    pub faults: Faults,
    pub node: Node,
    pub journal: Journal,
    pub puppets: [Arc<Puppet>; 2],
}

impl Stage {
    pub async fn set(options: Options) -> Stage {
        let network = Network::default();
        let disk = founder_disk(NodeId(1), 3).await;
        let inner = MemoryStorage::open(&disk, Expected::exactly(CLUSTER, NodeId(1))).unwrap();
        let (storage, faults) = Faulty::over(Arc::new(inner));
        let journal = Journal::default();
        let transport = Arc::new(network.transport(NodeId(1)));
        let node = Node::start(options, storage, transport, Box::new(journal.clone())).await.unwrap();
        network.connect(NodeId(1), node.inbox());
        let puppets = [2, 3].map(|id| {
            let strings = Strings { acknowledges_up_to: LogIndex::MAX, received: Vec::new() };
            let puppet = Arc::new(Puppet { id: NodeId(id), network: network.clone(), strings: Mutex::new(strings) });
            network.connect(NodeId(id), puppet.clone());
            puppet
        });
        Stage { network, disk, faults, node, journal, puppets }
    }

    /// Waits until the node leads; its term.
    pub async fn led(&self) -> Term {
        until("it leads", || self.node.watch().borrow().role == Role::Leader).await;
        self.node.watch().borrow().term
    }

    /// Waits until the node's log is durable up to `index`.
    pub async fn durable(&self, index: u64) {
        until("it is durable", || self.node.status().raft.durable >= LogIndex(index)).await;
    }
}

impl Puppet {
    /// It acknowledges nothing beyond `index` from now on.
    pub fn acknowledge_up_to(&self, index: u64) {
        self.strings.lock().unwrap().acknowledges_up_to = LogIndex(index);
    }

    /// Says this to node 1.
    pub async fn say(&self, term: Term, body: MessageBody) {
        let message = Message { from: self.id, to: NodeId(1), term, body };
        let inbox = self.network.inbox(NodeId(1));
        if let Some(inbox) = inbox {
            inbox.receive(message).await;
        }
    }

    /// Appends `entries` to node 1's log, as the leader of `term`.
    pub async fn append(&self, term: Term, prev: EntryId, entries: Vec<Entry>) {
        self.say(term, MessageBody::AppendEntries { prev, entries, commit: LogIndex(1), round: 1 }).await;
    }

    /// Tells node 1, whose log ends with `prev`, what is committed.
    pub async fn commit(&self, term: Term, prev: EntryId, commit: u64) {
        let commit = LogIndex(commit);
        self.say(term, MessageBody::AppendEntries { prev, entries: Vec::new(), commit, round: 2 }).await;
    }

    /// What it has received since last asked.
    pub fn received(&self) -> Vec<Message> {
        std::mem::take(&mut self.strings.lock().unwrap().received)
    }
}

#[async_trait]
impl Inbox for Puppet {
    async fn receive(&self, message: Message) {
        let most = {
            let mut strings = self.strings.lock().unwrap();
            strings.received.push(message.clone());
            strings.acknowledges_up_to
        };
        match message.body {
            MessageBody::RequestPreVote { .. } => self.say(message.term, MessageBody::PreVote { granted: true }).await,
            MessageBody::RequestVote { .. } => self.say(message.term, MessageBody::Vote { granted: true }).await,
            MessageBody::AppendEntries { prev, entries, round, .. } => {
                let matched = entries.last().map_or(prev.index, |entry| entry.index);
                if matched <= most {
                    self.say(message.term, MessageBody::Appended { matched, round }).await;
                }
            }
            _ => {}
        }
    }

    async fn receive_snapshot(
        &self,
        _from: NodeId,
        _term: Term,
        _snapshot: SnapshotReader,
    ) -> Result<(), SnapshotRefused> {
        Err(SnapshotRefused { reason: "a puppet keeps no snapshots".to_owned() })
    }
}
