//! What a node tells of itself as metrics: most of it read off its [`NodeStatus`], a few times a second.
//!
//! So nothing is told where messages and requests are worked on, and the core knows of no metrics. A number that a peer's
//! task or the core has counted is told as a counter all the same: by how much it has risen since it was told last.

use std::{collections::BTreeMap, time::Duration};

use eraft_core::{DropReason, NodeId, Role};
use eraft_metrics_kit::{Counter, Gauge, Labels, Metric, Rising, Unit};

use crate::{NodeStatus, PeerQueues};

/// How often, at most, a running node tells its status.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

/// A number, and how it is read off a `T`.
type Read<T> = (Metric, fn(&T) -> u64);

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric::gauge(name, Unit::Count, help)
}

const fn bytes(name: &'static str, help: &'static str) -> Metric {
    Metric::gauge(name, Unit::Bytes, help)
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric::counter(name, Unit::Count, help)
}

const RUNNING: Metric = gauge("eraft_raft_running", "1 while the node runs, 0 when it has ended.");
const ROLE: Metric = gauge(
    "eraft_raft_role",
    "1 for the role that the node has (label role: follower, pre_candidate, candidate, leader).",
);
const LEADER_CHANGES: Metric =
    counter("eraft_raft_leader_changes_total", "How often the node came to know a new leader.");
const DROPPED: Metric = counter(
    "eraft_raft_messages_dropped_total",
    "Messages that arrived and were dropped (label reason: no_room, or the core's reason).",
);
const PEER_DROPPED: Metric = counter(
    "eraft_raft_peer_messages_dropped_total",
    "Messages for a peer that were dropped (label reason: queue_full, unreachable).",
);

const GAUGES: [Read<NodeStatus>; 22] = [
    (gauge("eraft_raft_term", "The node's term."), |now| now.raft.term.0),
    (gauge("eraft_raft_leader", "The id of the leader, as far as the node knows; 0 for none."), |now| {
        now.raft.leader.map_or(0, |leader| leader.0)
    }),
    (gauge("eraft_raft_commit_index", "The last index known to be committed."), |now| now.raft.commit.0),
    (gauge("eraft_raft_applied_index", "The last index that the state machine has applied."), |now| now.raft.applied.0),
    (gauge("eraft_raft_durable_index", "The last index that is durable on this node."), |now| now.raft.durable.0),
    (gauge("eraft_raft_first_index", "The first index that the log still keeps."), |now| now.raft.base.index.next().0),
    (gauge("eraft_raft_last_index", "The last index of the log, durable or not."), |now| now.raft.last.index.0),
    (gauge("eraft_raft_snapshot_index", "The last index that the published snapshot holds; 0 without one."), |now| {
        now.raft.snapshot.index.0
    }),
    (gauge("eraft_raft_pending_requests", "Requests of clients that await their answer."), |now| now.pending_requests),
    (gauge("eraft_raft_inbox_messages", "Messages that have arrived and wait for the loop."), |now| now.inbox_messages),
    (gauge("eraft_raft_unsaved_saves", "Saves whose receipt is out."), |now| now.unsaved_saves),
    (bytes("eraft_raft_unsaved_bytes", "Bytes of entries in saves whose receipt is out."), |now| now.unsaved_bytes),
    (gauge("eraft_raft_cached_entries", "Entries in the cache."), |now| now.cached_entries),
    (bytes("eraft_raft_cached_bytes", "Bytes of entries in the cache."), |now| now.cached_bytes),
    (gauge("eraft_raft_snapshots_taking", "Snapshots that are being taken of the state machine."), |now| {
        u64::from(now.snapshots.taking)
    }),
    (gauge("eraft_raft_snapshots_sending", "Snapshots that are being sent."), |now| now.snapshots.sending),
    (gauge("eraft_raft_snapshots_receiving", "Snapshots that are coming in."), |now| {
        u64::from(now.snapshots.receiving)
    }),
    (gauge("eraft_raft_members", "Members of the configuration in force."), |now| {
        now.raft.conf_state.members.len() as u64
    }),
    (gauge("eraft_raft_unapplied_entries", "Entries that are committed and not applied yet."), |now| {
        now.raft.commit.0.saturating_sub(now.raft.applied.0)
    }),
    (bytes("eraft_storage_log_bytes", "Live bytes of state and log."), |now| now.raft_state_size_bytes),
    (bytes("eraft_storage_snapshot_bytes", "Bytes of the published snapshot."), |now| now.snapshot_size_bytes),
    (
        bytes(
            "eraft_storage_room_bytes",
            "Bytes that entries may still take in the store; 2^64 where it is unbounded.",
        ),
        |now| now.room_bytes,
    ),
];

const COUNTERS: [Read<NodeStatus>; 3] = [
    (counter("eraft_raft_snapshots_taken_total", "Snapshots taken and staged."), |now| now.snapshots.taken),
    (counter("eraft_raft_snapshots_sent_total", "Snapshots sent, and staged by their peer."), |now| now.snapshots.sent),
    (counter("eraft_raft_snapshots_received_total", "Snapshots received and staged."), |now| now.snapshots.received),
];

const PEER_GAUGES: [Read<PeerQueues>; 3] = [
    (gauge("eraft_raft_peer_queued_messages", "Messages without entries that wait for a peer."), |peer| peer.messages),
    (gauge("eraft_raft_peer_queued_entries", "Entries that wait to be read and sent to a peer."), |peer| peer.entries),
    (bytes("eraft_raft_peer_inflight_bytes", "Bytes of entries sent to a peer and not acknowledged."), |peer| {
        peer.inflight_bytes
    }),
];

const PEER_MATCH: Metric = gauge(
    "eraft_raft_peer_match_index",
    "The last index known to be durable at a peer; 0 where this node does not lead.",
);

const ROLES: [(Role, &str); 4] = [
    (Role::Follower, "follower"),
    (Role::PreCandidate, "pre_candidate"),
    (Role::Candidate, "candidate"),
    (Role::Leader, "leader"),
];

/// Every metric of this crate.
pub fn metrics() -> Vec<Metric> {
    let named = [RUNNING, ROLE, LEADER_CHANGES, DROPPED, PEER_MATCH, PEER_DROPPED];
    let of_node = GAUGES.iter().chain(&COUNTERS).map(|(metric, _)| *metric);
    named.into_iter().chain(of_node).chain(PEER_GAUGES.iter().map(|(metric, _)| *metric)).collect()
}

/// The handles of one node.
#[derive(Debug)]
pub(crate) struct Told {
    labels: Labels,
    running: Gauge,
    roles: Vec<(Role, Gauge)>,
    leader_changes: Counter,
    leader: Option<NodeId>,
    gauges: Vec<Gauge>,
    counters: Vec<Rising>,
    dropped: BTreeMap<DropReason, Rising>,
    no_room: Rising,
    peers: BTreeMap<NodeId, ToldOfPeer>,
}

#[derive(Debug)]
struct ToldOfPeer {
    match_index: Gauge,
    gauges: Vec<Gauge>,
    queue_full: Rising,
    unreachable: Rising,
}

impl Told {
    /// Those of a node that runs.
    pub(crate) fn new(node: NodeId) -> Told {
        let labels = Labels::of_node(node);
        let running = RUNNING.gauge_of(&labels);
        running.set(1);
        let roles = ROLES.map(|(role, name)| (role, ROLE.gauge_of(&labels.with("role", name))));
        let dropped = DropReason::ALL.map(|reason| (reason, dropped(&labels, reason.as_str())));
        Told {
            running,
            roles: roles.into(),
            leader_changes: LEADER_CHANGES.counter_of(&labels),
            leader: None,
            gauges: GAUGES.iter().map(|(metric, _)| metric.gauge_of(&labels)).collect(),
            counters: COUNTERS.iter().map(|(metric, _)| Rising::new(metric.counter_of(&labels))).collect(),
            dropped: dropped.into(),
            no_room: self::dropped(&labels, "no_room"),
            peers: BTreeMap::new(),
            labels,
        }
    }

    /// The node knows this leader now, if any.
    pub(crate) fn leader(&mut self, leader: Option<NodeId>) {
        if leader.is_some() && leader != self.leader {
            self.leader_changes.increment(1);
            self.leader = leader;
        }
    }

    /// Tells all that a status holds.
    pub(crate) fn tell(&mut self, now: &NodeStatus) {
        for (role, gauge) in &self.roles {
            gauge.set(f64::from(u8::from(*role == now.raft.role)));
        }
        for (gauge, (_, read)) in self.gauges.iter().zip(&GAUGES) {
            gauge.set(read(now) as f64);
        }
        for (counter, (_, read)) in self.counters.iter_mut().zip(&COUNTERS) {
            counter.rise_to(read(now));
        }
        for (reason, count) in &now.raft.dropped {
            let counter = self.dropped.entry(*reason).or_insert_with(|| dropped(&self.labels, reason.as_str()));
            counter.rise_to(*count);
        }
        self.no_room.rise_to(now.dropped_appends);
        for (id, queues) in &now.peers {
            let peer = self.peers.entry(*id).or_insert_with(|| ToldOfPeer::new(&self.labels, *id));
            peer.tell(queues, now.raft.peers.get(id).map_or(0, |peer| peer.match_index.0));
        }
    }

    /// The node has ended: it has no role any more.
    pub(crate) fn ended(&self) {
        self.running.set(0);
        for (_, gauge) in &self.roles {
            gauge.set(0);
        }
    }
}

impl ToldOfPeer {
    fn new(labels: &Labels, peer: NodeId) -> ToldOfPeer {
        let labels = labels.with("peer", peer);
        let dropped = |reason| Rising::new(PEER_DROPPED.counter_of(&labels.with("reason", reason)));
        ToldOfPeer {
            match_index: PEER_MATCH.gauge_of(&labels),
            gauges: PEER_GAUGES.iter().map(|(metric, _)| metric.gauge_of(&labels)).collect(),
            queue_full: dropped("queue_full"),
            unreachable: dropped("unreachable"),
        }
    }

    fn tell(&mut self, queues: &PeerQueues, match_index: u64) {
        self.match_index.set(match_index as f64);
        for (gauge, (_, read)) in self.gauges.iter().zip(&PEER_GAUGES) {
            gauge.set(read(queues) as f64);
        }
        self.queue_full.rise_to(queues.dropped);
        self.unreachable.rise_to(queues.unreachable);
    }
}

fn dropped(labels: &Labels, reason: &str) -> Rising {
    Rising::new(DROPPED.counter_of(&labels.with("reason", reason)))
}
