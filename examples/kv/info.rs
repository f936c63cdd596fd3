//! What a node tells of itself and of its cluster, in Redis' forms.
//!
//! For a cluster client, the leader owns every slot and the others are its replicas. All of it is what this node knows
//! by itself; nothing here asks another node, so it may be out of date by a moment.

use std::fmt::Write;

use eraft::{NodeId, NodeStatus, Role};

use super::{
    codec::{Frame, MAX_REQUEST_BYTES},
    commands::{COMMANDS, Shape},
    request::About,
    service::number,
    store::{MAX_VALUE_BYTES, Store},
};
use crate::cluster::Addresses;

const LAST_SLOT: i64 = 16_383;

/// Settings that clients look at before they begin; nothing here can be set.
fn settings() -> [(&'static str, String); 6] {
    [
        ("appendonly", "yes".to_owned()),
        ("cluster-enabled", "yes".to_owned()),
        ("databases", "1".to_owned()),
        ("proto-max-bulk-len", MAX_VALUE_BYTES.to_string()),
        ("client-query-buffer-limit", MAX_REQUEST_BYTES.to_string()),
        // When Redis would write a dump; here every write is durable before it is answered.
        ("save", String::new()),
    ]
}

/// The reply to what only this node's own knowledge answers.
pub fn tell(about: &About, status: &NodeStatus, store: &Store) -> Frame {
    match about {
        About::Info(section) => text(info(section.as_deref(), status, store)),
        About::ClusterNodes => text(cluster_nodes(status)),
        About::ClusterInfo => text(cluster_info(status)),
        About::ClusterMyId => text(redis_id(status.raft.id)),
        About::ClusterSlots => cluster_slots(status),
        About::ClusterShards => cluster_shards(status),
        About::Commands => Frame::Array(COMMANDS.iter().map(command).collect()),
        About::CommandInfo(names) => {
            let known = |name: &String| COMMANDS.iter().find(|shape| shape.name == name);
            Frame::Array(names.iter().map(|name| known(name).map_or(Frame::Null, command)).collect())
        }
        About::CommandCount => number(COMMANDS.len()),
        About::CommandList => Frame::Array(COMMANDS.iter().map(|shape| text(shape.name)).collect()),
        About::CommandDocs => Frame::Map(Vec::new()),
        About::ConfigGet(patterns) => {
            let wanted = |name: &str| patterns.iter().any(|pattern| fits(pattern.as_bytes(), name.as_bytes()));
            let found = settings().into_iter().filter(|(name, _)| wanted(name));
            Frame::Map(found.map(|(name, value)| (text(name), text(value))).collect())
        }
    }
}

fn info(section: Option<&str>, status: &NodeStatus, store: &Store) -> String {
    let sections = [
        ("server", server(status)),
        ("raft", raft(status)),
        ("storage", lines("Storage", &status.storage_facts)),
        ("cluster", lines("Cluster", &[("cluster_enabled", "1".to_owned())])),
        ("keyspace", keyspace(store)),
    ];
    let every = matches!(section, None | Some("all" | "default" | "everything"));
    let wanted = sections.into_iter().filter(|(name, _)| every || section == Some(name));
    // A store that tells nothing of itself has no section.
    let wanted = wanted.filter(|(name, _)| *name != "storage" || !status.storage_facts.is_empty());
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

/// Who is to be asked: first the leader, then the others. While no leader is known this node names itself, and answers
/// `CLUSTERDOWN`, on which clients ask again in a moment; an empty table makes some of them give up.
fn owner_first(status: &NodeStatus) -> Vec<(NodeId, String, i64)> {
    let owner = status.raft.leader.unwrap_or(status.raft.id);
    let ids = std::iter::once(owner).chain(status.raft.conf_state.peers(owner));
    let reachable = ids.filter_map(|id| {
        let client = address(status, id)?.client;
        let (host, port) = client.rsplit_once(':')?;
        Some((id, host.to_owned(), port.parse().ok()?))
    });
    reachable.collect()
}

fn cluster_slots(status: &NodeStatus) -> Frame {
    let nodes = owner_first(status)
        .into_iter()
        .map(|(id, host, port)| Frame::Array(vec![text(host), Frame::Integer(port), text(redis_id(id))]));
    let range = [Frame::Integer(0), Frame::Integer(LAST_SLOT)];
    Frame::Array(vec![Frame::Array(range.into_iter().chain(nodes).collect())])
}

fn cluster_shards(status: &NodeStatus) -> Frame {
    let nodes = owner_first(status).into_iter().enumerate().map(|(place, (id, host, port))| {
        Frame::Map(vec![
            (text("id"), text(redis_id(id))),
            (text("port"), Frame::Integer(port)),
            (text("ip"), text(host.clone())),
            (text("endpoint"), text(host)),
            (text("role"), text(if place == 0 { "master" } else { "replica" })),
            (text("replication-offset"), Frame::Integer(i64::try_from(status.raft.applied.0).unwrap_or(i64::MAX))),
            (text("health"), text("online")),
        ])
    });
    let slots = Frame::Array(vec![Frame::Integer(0), Frame::Integer(LAST_SLOT)]);
    Frame::Array(vec![Frame::Map(vec![(text("slots"), slots), (text("nodes"), Frame::Array(nodes.collect()))])])
}

fn cluster_info(status: &NodeStatus) -> String {
    let led = status.raft.leader.is_some();
    let slots = LAST_SLOT + 1;
    let facts = [
        ("cluster_enabled", 1),
        ("cluster_slots_assigned", slots),
        ("cluster_slots_ok", if led { slots } else { 0 }),
        ("cluster_slots_fail", if led { 0 } else { slots }),
        ("cluster_known_nodes", i64::try_from(status.raft.conf_state.members.len()).unwrap_or(i64::MAX)),
        ("cluster_size", 1),
        ("cluster_current_epoch", i64::try_from(status.raft.term.0).unwrap_or(i64::MAX)),
    ];
    let state = format!("cluster_state:{}\r\n", if led { "ok" } else { "fail" });
    state + &facts.map(|(name, value)| format!("{name}:{value}\r\n")).concat()
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

fn command(shape: &Shape) -> Frame {
    let (first, last, step) = shape.keys;
    let flags = shape.flags.iter().map(|flag| Frame::SimpleString((*flag).to_owned())).collect();
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

/// Whether `name` fits a pattern, in which `*` stands for any text and `?` for one byte. It looks at most once at each
/// byte of the name for each byte of the pattern, however many stars there are.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut begun) = (0, 0);
    // The last star, and how much of the name it stands for so far: what came before it never has to be tried again.
    let mut star: Option<(usize, usize)> = None;
    while begun < name.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, begun));
                at += 1;
            }
            (Some(wanted), _) if *wanted == b'?' || name.get(begun) == Some(wanted) => {
                at += 1;
                begun += 1;
            }
            (_, Some((place, taken))) => {
                star = Some((place, taken + 1));
                (at, begun) = (place + 1, taken + 1);
            }
            (_, None) => return false,
        }
    }
    pattern.iter().skip(at).all(|left| *left == b'*')
}
