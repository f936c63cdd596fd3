//! Claims: what no correct node says, whatever has happened to it.
//!
//! A message is judged by itself, without the state of the node that got it, and before any of that state changes. What
//! passes may still be stale or senseless; what does not pass is dropped and counted.

use super::server::MAX_TERM;
use crate::{
    message::{Message, MessageBody},
    types::{Entry, EntryId, LogIndex, SnapshotMeta, Term},
};

/// Whether a correct node may have sent this.
pub(super) fn is_plausible(message: &Message) -> bool {
    let term = message.term;
    if term == Term::ZERO && !matches!(message.body, MessageBody::RequestPreVote { .. } | MessageBody::PreVote { .. }) {
        return false;
    }
    term <= MAX_TERM
        && match &message.body {
            MessageBody::RequestPreVote { last } => is_entry(*last, term),
            // Its own term has no entries yet.
            MessageBody::RequestVote { last } => is_entry(*last, term) && last.term < term,
            MessageBody::AppendEntries { prev, entries, commit, .. } => {
                is_entry(*prev, term) && *commit <= LogIndex::MAX && follow(*prev, entries, term)
            }
            MessageBody::Rejected { prev, hint, .. } => is_entry(*prev, Term(u64::MAX)) && is_entry(*hint, term),
            MessageBody::PreVote { .. } | MessageBody::Vote { .. } | MessageBody::Appended { .. } => true,
        }
}

/// Whether a correct leader of `term` may have sent this snapshot.
pub(super) fn is_plausible_snapshot(meta: &SnapshotMeta, term: Term) -> bool {
    let SnapshotMeta { last, conf_state } = meta;
    term > Term::ZERO
        && term <= MAX_TERM
        && *last != EntryId::ZERO
        && is_entry(*last, term)
        && !conf_state.members.is_empty()
        && conf_state.is_valid()
}

/// Whether a log of a node in `term` can hold this entry, or begin with it.
fn is_entry(id: EntryId, term: Term) -> bool {
    id.term <= term && id.index <= LogIndex::MAX && (id.index == LogIndex::ZERO) == (id.term == Term::ZERO)
}

/// Whether `entries` follow `prev` without a gap, in terms that never decrease, none above `term` (section 5.3).
fn follow(prev: EntryId, entries: &[Entry], term: Term) -> bool {
    let mut before = prev;
    entries.iter().all(|entry| {
        let follows = entry.index == before.index.next() && entry.term >= before.term;
        before = entry.id();
        follows && is_entry(entry.id(), term)
    })
}
