//! Every bound of a node, each with its unit, in one place.

use std::time::Duration;

use crate::StartError;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What becomes of a request that meets a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenBusy {
    /// It waits its turn; dropping its future gives the turn up.
    #[default]
    Wait,
    /// It is refused at once with `Busy`.
    Refuse,
}

/// The settings of one [`Node`](crate::Node). [`Options::default`] suits a local network.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where randomised election timeouts come from; `None` draws one from the operating system.
    pub seed: Option<u64>,
    /// How long a follower waits for its leader before it campaigns; drawn from `[1, 2)` times this.
    pub election_timeout: Duration,
    /// How often a leader is heard from; at most a third of `election_timeout`.
    pub heartbeat_interval: Duration,

    /// The longest command; with its overhead it must fit a message, or followers could never receive it.
    pub max_entry_bytes: u64,
    /// Requests (proposals and reads) that may await their answer.
    pub max_pending_requests: usize,
    /// Bytes of commands that may await their answer.
    pub max_pending_bytes: u64,
    /// Whether a request that meets a bound waits or is refused.
    pub when_busy: WhenBusy,

    /// Messages that have arrived and wait for the loop.
    pub max_inbox_messages: usize,
    /// Bytes of messages that have arrived and wait for the loop.
    pub max_inbox_bytes: u64,
    /// Events of each kind that the loop takes before it asks the core what to do.
    pub max_turn_events: usize,

    /// Bytes of entries handed to the store whose receipt is still out.
    pub max_unsaved_bytes: u64,
    /// Bytes of entries kept for peers and for applying once they are saved; unsaved ones are kept beyond it.
    pub entry_cache_bytes: u64,
    /// Bytes of entries handed to the state machine in one batch.
    pub max_apply_bytes: u64,
    /// Entries that may be committed and not applied before no more are proposed.
    pub max_unapplied_entries: u64,

    /// Bytes by which state and log may grow after a snapshot before the next one is taken. A start reads at most about
    /// so much again, beside the trailing entries.
    pub max_log_bytes: u64,
    /// Entries that a snapshot holds and that stay in the log all the same, for peers that lag a little.
    pub trailing_entries: u64,
    /// Bytes of a snapshot that are written to the store at once.
    pub max_snapshot_chunk_bytes: usize,
    /// Snapshots that are sent at once; other peers wait their turn.
    pub max_snapshots_sending: usize,
    /// How long to wait after the store could not take a snapshot before another one is taken, and after it could not give
    /// the one to restore from before it is asked again.
    pub snapshot_retry: Duration,

    /// Bytes of one message; both sides' transports must take it.
    pub max_message_bytes: u64,
    /// Messages with entries under way to one peer, as the core counts them.
    pub max_inflight_messages: usize,
    /// Bytes of entries under way to one peer.
    pub max_inflight_bytes: u64,
    /// Messages without entries waiting to be sent to one peer.
    pub max_peer_messages: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seed: None,
            election_timeout: Duration::from_millis(1000),
            heartbeat_interval: Duration::from_millis(100),
            max_entry_bytes: MIB,
            max_pending_requests: 65_536,
            max_pending_bytes: 256 * MIB,
            when_busy: WhenBusy::Wait,
            max_inbox_messages: 4096,
            max_inbox_bytes: 64 * MIB,
            max_turn_events: 1024,
            max_unsaved_bytes: 64 * MIB,
            entry_cache_bytes: 16 * MIB,
            max_apply_bytes: 4 * MIB,
            max_unapplied_entries: 262_144,
            max_log_bytes: 64 * MIB,
            trailing_entries: 10_000,
            max_snapshot_chunk_bytes: 1024 * 1024,
            max_snapshots_sending: 2,
            snapshot_retry: Duration::from_secs(10),
            max_message_bytes: MIB + MIB / 2,
            max_inflight_messages: 64,
            max_inflight_bytes: 16 * MIB,
            max_peer_messages: 1024,
        }
    }
}

impl Options {
    /// Whether these settings can work together.
    ///
    /// # Errors
    /// [`StartError::Options`], saying which setting to change and to what.
    pub fn validate(&self) -> Result<(), StartError> {
        let message_overhead_bytes = 128;
        let rules = [
            (!self.heartbeat_interval.is_zero(), "heartbeat_interval must be above zero".to_owned()),
            (
                self.heartbeat_interval.saturating_mul(3) <= self.election_timeout,
                format!(
                    "heartbeat_interval is {:?} and election_timeout {:?}: give the election timeout at least three \
                     heartbeats, or a single lost one deposes the leader",
                    self.heartbeat_interval, self.election_timeout
                ),
            ),
            (
                self.max_entry_bytes.saturating_add(message_overhead_bytes) <= self.max_message_bytes,
                format!(
                    "max_entry_bytes is {} and max_message_bytes {}: a message must hold an entry and {} bytes more",
                    self.max_entry_bytes, self.max_message_bytes, message_overhead_bytes
                ),
            ),
            (
                self.max_message_bytes <= u64::from(u32::MAX / 2),
                format!("max_message_bytes is {}: at most {} can work", self.max_message_bytes, u32::MAX / 2),
            ),
            at_least("max_pending_bytes", self.max_pending_bytes, self.max_message_bytes),
            at_least("max_inbox_bytes", self.max_inbox_bytes, self.max_message_bytes),
            at_least("max_unsaved_bytes", self.max_unsaved_bytes, self.max_message_bytes),
            at_least("max_inflight_bytes", self.max_inflight_bytes, self.max_message_bytes),
            at_least("max_apply_bytes", self.max_apply_bytes, 1),
            at_least("max_log_bytes", self.max_log_bytes, 1),
            at_least("max_snapshot_chunk_bytes", self.max_snapshot_chunk_bytes as u64, 1),
            at_least("max_snapshots_sending", self.max_snapshots_sending as u64, 1),
            at_least("max_unapplied_entries", self.max_unapplied_entries, 1),
            at_least("max_pending_requests", self.max_pending_requests as u64, 1),
            at_least("max_inbox_messages", self.max_inbox_messages as u64, 1),
            at_least("max_turn_events", self.max_turn_events as u64, 1),
            at_least("max_inflight_messages", self.max_inflight_messages as u64, 1),
            at_least("max_peer_messages", self.max_peer_messages as u64, 1),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, broken)) => Err(StartError::Options(broken)),
            None => Ok(()),
        }
    }
}

fn at_least(name: &str, value: u64, least: u64) -> (bool, String) {
    (value >= least, format!("{name} is {value}: set it to at least {least}"))
}
