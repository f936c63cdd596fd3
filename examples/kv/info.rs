//! What a node tells of itself and of its cluster, in Redis' forms.
//!
//! For a cluster client, the leader owns every slot and the others are its replicas. All of it is what this node knows
//! by itself; nothing here asks another node, so it may be out of date by a moment.

use std::fmt::Write;

use eraft::{NodeId, NodeStatus, Role};
use redis_protocol::resp2::types::BytesFrame as Frame;

use super::{
    request::{About, COMMANDS, Shape},
    store::Store,
};
use crate::cluster::Addresses;

const LAST_SLOT: i64 = 16_383;

/// The reply to what only this node's own knowledge answers.
pub fn tell(about: &About, status: &NodeStatus, store: &Store) -> Frame {
    match about {
        About::Info(section) => text(info(section.as_deref(), status, store)),
        About::ClusterNodes => text(cluster_nodes(status)),
        About::ClusterMyId => text(redis_id(status.raft.id)),
        About::ClusterSlots => cluster_slots(status),
        About::Commands => Frame::Array(COMMANDS.iter().map(command).collect()),
        About::CommandCount => number(COMMANDS.len()),
        About::CommandDocs => Frame::Array(Vec::new()),
        About::ConfigGet(setting) => config_get(setting),
    }
}

fn info(section: Option<&str>, status: &NodeStatus, store: &Store) -> String {
    let sections = [("server", server(status)), ("raft", raft(status)), ("keyspace", keyspace(store))];
    let every = matches!(section, None | Some("all" | "default" | "everything"));
    let wanted = sections.into_iter().filter(|(name, _)| every || section == Some(name));
    wanted.map(|(_, lines)| lines).collect::<Vec<_>>().join("\r\n")
}

fn server(status: &NodeStatus) -> String {
    lines(
        "Server",
        &[
            ("eraft_version", env!("CARGO_PKG_VERSION").to_owned()),
            ("redis_mode", "cluster".to_owned()),
            ("process_id", std::process::id().to_string()),
            ("cluster_id", status.identity.cluster.to_string()),
            ("node_id", status.identity.node.to_string()),
            ("store_id", status.identity.store.to_string()),
        ],
    )
}

fn raft(status: &NodeStatus) -> String {
    let raft = &status.raft;
    let role = match raft.role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::PreCandidate => "pre-candidate",
    };
    let dropped: u64 = raft.dropped.values().sum();
    lines(
        "Raft",
        &[
            ("role", role.to_owned()),
            ("term", raft.term.to_string()),
            ("leader", raft.leader.map_or("none".to_owned(), |id| id.to_string())),
            ("leader_address", raft.leader.and_then(|id| address(status, id)).map_or("none".to_owned(), |a| a.client)),
            ("commit", raft.commit.to_string()),
            ("applied", raft.applied.to_string()),
            ("durable", raft.durable.to_string()),
            ("last", raft.last.index.to_string()),
            ("log_bytes", status.raft_state_size_bytes.to_string()),
            ("first", raft.base.index.next().to_string()),
            ("snapshot", raft.snapshot.index.to_string()),
            ("snapshot_bytes", status.snapshot_size_bytes.to_string()),
            ("snapshots_taken", status.snapshots.taken.to_string()),
            ("snapshots_sent", status.snapshots.sent.to_string()),
            ("snapshots_received", status.snapshots.received.to_string()),
            ("room_bytes", status.room_bytes.to_string()),
            ("pending_requests", status.pending_requests.to_string()),
            ("dropped_messages", dropped.to_string()),
        ],
    )
}

fn keyspace(store: &Store) -> String {
    lines("Keyspace", &[("db0", format!("keys={}", store.now().key_count()))])
}

fn lines(title: &str, facts: &[(&str, String)]) -> String {
    let mut lines = format!("# {title}\r\n");
    for (name, value) in facts {
        // Writing to a string cannot fail.
        let _ = write!(lines, "{name}:{value}\r\n");
    }
    lines
}

fn cluster_slots(status: &NodeStatus) -> Frame {
    let Some(leader) = status.raft.leader else { return Frame::Array(Vec::new()) };
    let replicas = status.raft.conf_state.peers(leader);
    let nodes = std::iter::once(leader).chain(replicas).filter_map(|id| {
        let client = address(status, id)?.client;
        let (host, port) = client.rsplit_once(':')?;
        Some(Frame::Array(vec![text(host), Frame::Integer(port.parse().ok()?), text(redis_id(id))]))
    });
    let range = [Frame::Integer(0), Frame::Integer(LAST_SLOT)];
    Frame::Array(vec![Frame::Array(range.into_iter().chain(nodes).collect())])
}

fn cluster_nodes(status: &NodeStatus) -> String {
    let mut lines = String::new();
    for id in status.raft.conf_state.members.keys() {
        let Some(Addresses { peer, client }) = address(status, *id) else { continue };
        let leads = status.raft.leader == Some(*id);
        let flags = match (*id == status.raft.id, leads) {
            (true, true) => "myself,master",
            (true, false) => "myself,slave",
            (false, true) => "master",
            (false, false) => "slave",
        };
        let follows = status.raft.leader.filter(|_| !leads).map_or("-".to_owned(), redis_id);
        let slots = if leads { format!(" 0-{LAST_SLOT}") } else { String::new() };
        let (id, term) = (redis_id(*id), status.raft.term);
        let peer_port = peer.rsplit_once(':').map_or("0", |(_, port)| port);
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{id} {client}@{peer_port} {flags} {follows} 0 0 {term} connected{slots}");
    }
    lines
}

fn config_get(setting: &str) -> Frame {
    let value = match setting {
        "save" => "",
        "appendonly" => "yes",
        _ => return Frame::Array(Vec::new()),
    };
    Frame::Array(vec![text(setting), text(value)])
}

fn command(shape: &Shape) -> Frame {
    let (first, last, step) = shape.keys;
    let flags = shape.flags.iter().map(|flag| Frame::SimpleString((*flag).into())).collect();
    let [arity, first, last, step] = [shape.arity, first, last, step].map(Frame::Integer);
    Frame::Array(vec![text(shape.name), arity, Frame::Array(flags), first, last, step])
}

fn address(status: &NodeStatus, id: NodeId) -> Option<Addresses> {
    let member = status.raft.conf_state.members.get(&id)?;
    Addresses::from_context(&member.context).ok()
}

/// A node's id as Redis writes one: 40 hexadecimal digits.
fn redis_id(id: NodeId) -> String {
    format!("{:040x}", id.0)
}

fn text(text: impl Into<String>) -> Frame {
    Frame::BulkString(text.into().into())
}

fn number(number: usize) -> Frame {
    Frame::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
