//! What the core is told once.

use std::time::Duration;

use crate::types::NodeId;

/// Settings of one [`Raft`](super::Raft), each a bound with its unit.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub id: NodeId,
    /// Where its randomised election timeouts come from.
    pub seed: u64,
    /// How long a follower waits for its leader before it campaigns: drawn anew from `[1, 2)` times this (section 5.2).
    pub election_timeout: Duration,
    /// How often a leader is heard from; well below `election_timeout`.
    pub heartbeat_interval: Duration,
    /// How many [`Replicate`](super::Replicate)s to one peer may be under way before it has answered; 0 counts as 1, since
    /// with none nothing would ever be replicated.
    pub max_inflight_messages: usize,
    /// How many proposals and reads may await their outcome; more are refused as busy.
    pub max_pending_requests: usize,
    /// How many entries that a snapshot holds stay in the log all the same, when it is published: so many a peer may lag
    /// behind without needing the snapshot. None do where the store lacks room.
    pub trailing_entries: u64,
}

impl Config {
    /// Settings for a local network: 1 s election timeout, 100 ms heartbeats, 64 messages in flight, 65,536 requests,
    /// 10,000 trailing entries.
    pub fn new(id: NodeId, seed: u64) -> Config {
        Config {
            id,
            seed,
            election_timeout: Duration::from_millis(1000),
            heartbeat_interval: Duration::from_millis(100),
            max_inflight_messages: 64,
            max_pending_requests: 65_536,
            trailing_entries: 10_000,
        }
    }
}
