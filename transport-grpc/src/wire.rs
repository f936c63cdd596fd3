//! One message as protobuf and back.
//!
//! Decoding takes bytes from peers: it never panics, and a [`Message`] that it returns is whole: every part that its
//! kind needs is there, and entries follow one another without a gap. What the parts *claim* is the core's to judge.

use bytes::Bytes;
use eraft_core::{Entry, EntryId, EntryKind, LogIndex, Message, MessageBody, NodeId, Term};
use prost::Message as _;

use crate::{
    codec::Decodable as _,
    proto::{self, message::Body},
};

/// Bytes that are no message; the text says which part is wrong, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {0}")]
pub struct Malformed(pub(crate) String);

/// `message` as the bytes that travel; payloads are copied.
pub fn encode(message: &Message) -> Vec<u8> {
    to_proto(message.clone()).encode_to_vec()
}

/// The message that [`encode`] made `bytes` from; payloads are slices of `bytes`. Costs at most 24 times the memory of its
/// input (a list of the shortest entries).
///
/// # Errors
/// [`Malformed`] for anything that `encode` does not make, except for fields of later versions, which are ignored.
pub fn decode(bytes: Bytes) -> Result<Message, Malformed> {
    from_proto(proto::Message::decode_checked(bytes)?)
}

pub(crate) fn to_proto(message: Message) -> proto::Message {
    let body = match message.body {
        MessageBody::RequestPreVote { last } => Body::RequestPreVote(proto::RequestPreVote { last: to_id(last) }),
        MessageBody::PreVote { granted } => Body::PreVote(proto::PreVote { granted }),
        MessageBody::RequestVote { last } => Body::RequestVote(proto::RequestVote { last: to_id(last) }),
        MessageBody::Vote { granted } => Body::Vote(proto::Vote { granted }),
        MessageBody::AppendEntries { prev, entries, commit, round } => Body::AppendEntries(proto::AppendEntries {
            prev: to_id(prev),
            entries: entries.into_iter().map(to_entry).collect(),
            commit: commit.0,
            round,
        }),
        MessageBody::Appended { matched, round } => Body::Appended(proto::Appended { matched: matched.0, round }),
        MessageBody::Rejected { prev, hint, round } => {
            Body::Rejected(proto::Rejected { prev: to_id(prev), hint: to_id(hint), round })
        }
    };
    proto::Message { from: message.from.0, to: message.to.0, term: message.term.0, body: Some(body) }
}

pub(crate) fn from_proto(message: proto::Message) -> Result<Message, Malformed> {
    let Some(body) = message.body else {
        return Err(Malformed("it has no body that this version knows".to_owned()));
    };
    let body = match body {
        Body::RequestPreVote(proto::RequestPreVote { last }) => {
            MessageBody::RequestPreVote { last: from_id(last, "RequestPreVote.last")? }
        }
        Body::PreVote(proto::PreVote { granted }) => MessageBody::PreVote { granted },
        Body::RequestVote(proto::RequestVote { last }) => {
            MessageBody::RequestVote { last: from_id(last, "RequestVote.last")? }
        }
        Body::Vote(proto::Vote { granted }) => MessageBody::Vote { granted },
        Body::AppendEntries(append) => from_append(append)?,
        Body::Appended(proto::Appended { matched, round }) => {
            MessageBody::Appended { matched: from_index(matched, "Appended.matched")?, round }
        }
        Body::Rejected(proto::Rejected { prev, hint, round }) => MessageBody::Rejected {
            prev: from_id(prev, "Rejected.prev")?,
            hint: from_id(hint, "Rejected.hint")?,
            round,
        },
    };
    Ok(Message { from: NodeId(message.from), to: NodeId(message.to), term: Term(message.term), body })
}

fn from_append(append: proto::AppendEntries) -> Result<MessageBody, Malformed> {
    let prev = from_id(append.prev, "AppendEntries.prev")?;
    let commit = from_index(append.commit, "AppendEntries.commit")?;
    let mut expected = prev.index.next();
    let in_order = append.entries.into_iter().map(|entry| {
        let entry = from_entry(entry)?;
        if entry.index != expected {
            return Err(Malformed(format!("an entry has index {}, expected {expected}", entry.index)));
        }
        expected = expected.next();
        Ok(entry)
    });
    // In the memory of the list that it consumes.
    let entries = in_order.collect::<Result<_, _>>()?;
    Ok(MessageBody::AppendEntries { prev, entries, commit, round: append.round })
}

fn to_id(id: EntryId) -> Option<proto::EntryId> {
    Some(proto::EntryId { term: id.term.0, index: id.index.0 })
}

fn from_id(id: Option<proto::EntryId>, field: &str) -> Result<EntryId, Malformed> {
    let Some(proto::EntryId { term, index }) = id else {
        return Err(Malformed(format!("{field} is missing")));
    };
    Ok(EntryId { term: Term(term), index: from_index(index, field)? })
}

fn to_entry(entry: Entry) -> proto::Entry {
    proto::Entry { index: entry.index.0, term: entry.term.0, kind: u32::from(entry.kind as u8), payload: entry.payload }
}

fn from_entry(entry: proto::Entry) -> Result<Entry, Malformed> {
    let kind = u8::try_from(entry.kind).ok().and_then(EntryKind::from_byte);
    let Some(kind) = kind else {
        return Err(Malformed(format!("the entry at {} is of kind {}, expected 0, 1 or 2", entry.index, entry.kind)));
    };
    let index = from_index(entry.index, "Entry.index")?;
    // Nor would it come back from its own encoding, which is shorter than any entry.
    if Term(entry.term) == Term::ZERO {
        return Err(Malformed(format!("the entry at {index} has term 0, expected at least 1")));
    }
    Ok(Entry { index, term: Term(entry.term), kind, payload: entry.payload })
}

/// An index beyond [`LogIndex::MAX`] has no successor, and nobody's log reaches it.
fn from_index(index: u64, field: &str) -> Result<LogIndex, Malformed> {
    if LogIndex(index) > LogIndex::MAX {
        return Err(Malformed(format!("{field} is {index}, expected at most {}", LogIndex::MAX)));
    }
    Ok(LogIndex(index))
}
