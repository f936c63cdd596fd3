//! What nodes say to each other.
//!
//! A message bears its sender's own term and nothing else of its state; everything in it is a claim that the receiver
//! checks. Messages may be lost, duplicated, delayed and reordered.

use crate::types::{Entry, EntryId, LogIndex, NodeId, Term};

/// One message between two members of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who sent it.
    pub from: NodeId,
    /// Whom it is for.
    pub to: NodeId,
    /// The sender's term when it was made; also for a pre-vote, which asks about the term after it.
    pub term: Term,
    /// What it says.
    pub body: MessageBody,
}

/// What a message says; the names of the Raft paper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageBody {
    /// "Would you vote for me in the term after mine?" (section 9.6 of Ongaro's dissertation). Nobody's term changes by it.
    RequestPreVote {
        /// The last entry of the sender's log.
        last: EntryId,
    },
    /// The answer to a pre-vote.
    PreVote {
        /// Whether the sender would.
        granted: bool,
    },
    /// "Vote for me in this term" (section 5.2).
    RequestVote {
        /// The last entry of the sender's log.
        last: EntryId,
    },
    /// The answer to a vote request; granted only when the vote is durable.
    Vote {
        /// Whether the sender did.
        granted: bool,
    },
    /// Entries that follow `prev` (section 5.3); without entries, a heartbeat.
    AppendEntries {
        /// The entry before the first one sent.
        prev: EntryId,
        /// The entries, without a gap; may be empty.
        entries: Vec<Entry>,
        /// What the leader knows to be committed, at most `match_index` in a heartbeat.
        commit: LogIndex,
        /// Counts up with the leader's heartbeats; the answer repeats it, which is what a linearizable read counts.
        round: u64,
    },
    /// The sender's log is durable, and the same as the leader's, up to here.
    Appended {
        /// The last index that is.
        matched: LogIndex,
        /// The highest round seen from this leader.
        round: u64,
    },
    /// The sender's log does not hold `prev`.
    Rejected {
        /// The `prev` that was refused, so that a late answer is recognised.
        prev: EntryId,
        /// An entry of the sender's log from which the leader goes on: its last one that is neither beyond `prev` nor of
        /// a larger term (section 5.3, fast backup).
        hint: EntryId,
        /// The highest round seen from this leader.
        round: u64,
    },
}

impl Message {
    /// What the message counts for in bounds given in bytes ([`Entry::size_bytes`] and a fixed 64).
    pub fn size_bytes(&self) -> u64 {
        let entries = match &self.body {
            MessageBody::AppendEntries { entries, .. } => entries.iter().map(Entry::size_bytes).sum(),
            _ => 0,
        };
        64 + entries
    }
}
