//! How a node begins: the first state of a founder, and going on from what a store holds.
//!
//! A blank store never starts by itself: its only way into a cluster is [`bootstrap`], once, on every founder alike.

use crate::{
    codec,
    types::{ConfState, Entry, EntryKind, HardState, LogChange, LogIndex, RaftStateUpdate, Term},
};

/// The first save of every founder of a cluster: entry 1 of term 1 holds the configuration, and is committed.
///
/// It is the same on every founder, so their logs agree before any of them has spoken. Only for a blank store.
pub fn bootstrap(founders: &ConfState) -> RaftStateUpdate {
    let index = LogIndex(1);
    let term = Term(1);
    let entry = Entry { index, term, kind: EntryKind::Config, payload: codec::encode(founders) };
    RaftStateUpdate {
        hard_state: Some(HardState { term, vote: None, commit: index }),
        log: LogChange::Append(vec![entry]),
    }
}
