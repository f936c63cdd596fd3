//! One entry of the replicated log.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{EntryId, LogIndex, Term};

/// What an entry is for. The number is what formats store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum EntryKind {
    /// A user's command, opaque to Raft.
    Command = 0,
    /// The empty entry with which a leader opens its term (section 8 of the paper).
    Noop = 1,
    /// A configuration: the payload is an encoded [`ConfState`](super::ConfState).
    Config = 2,
}

impl EntryKind {
    /// The kind that `byte` stands for, if any.
    pub fn from_byte(byte: u8) -> Option<EntryKind> {
        match byte {
            0 => Some(EntryKind::Command),
            1 => Some(EntryKind::Noop),
            2 => Some(EntryKind::Config),
            _ => None,
        }
    }
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it stands.
    pub index: LogIndex,
    /// The term of the leader that created it.
    pub term: Term,
    /// What it is for.
    pub kind: EntryKind,
    /// The command, the configuration, or nothing; cheap to clone.
    pub payload: Bytes,
}

impl Entry {
    /// A command at `index`.
    pub fn command(term: Term, index: LogIndex, payload: impl Into<Bytes>) -> Entry {
        Entry { index, term, kind: EntryKind::Command, payload: payload.into() }
    }

    /// Its term and index.
    pub fn id(&self) -> EntryId {
        EntryId { term: self.term, index: self.index }
    }

    /// What it counts for in every bound that is given in bytes: its payload and a fixed 32 for the rest.
    pub fn size_bytes(&self) -> u64 {
        32 + self.payload.len() as u64
    }
}
