//! The words of the protocol, there and back. A line that cannot be read is a driver's bug, and panics.

use std::fmt::Write as _;

use bytes::Bytes;
use eraft_core::{Entry, EntryId, EntryKind, HardState, LogChange, LogIndex, NodeId, RaftStateUpdate, Term};

/// One save: what it updates, and the snapshot that it publishes.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) update: RaftStateUpdate,
    pub(super) snapshot: Option<(EntryId, Vec<u8>)>,
}

impl Step {
    /// `STATE LOG SNAPSHOT`.
    pub(super) fn print(&self) -> String {
        let log = match &self.update.log {
            LogChange::Keep => "keep".to_owned(),
            LogChange::Append(entries) => {
                let parts: Vec<_> = entries.iter().map(print_entry).collect();
                format!("append:{}:{}", entries[0].index.0, parts.join(";"))
            }
            LogChange::CompactTo(id) => format!("compact:{}", print_id(*id)),
            LogChange::Reset { base } => format!("reset:{}", print_id(*base)),
        };
        let snapshot = self.snapshot.as_ref().map(|(id, bytes)| format!("{},{}", print_id(*id), print_hex(bytes)));
        let state = self.update.hard_state.map(print_state).unwrap_or_default();
        format!("{state} {log} {}", snapshot.as_deref().unwrap_or("-"))
    }

    pub(super) fn parse(text: &str) -> Step {
        let words: Vec<&str> = text.split(' ').collect();
        let (kind, rest) = words[1].split_once(':').unwrap_or((words[1], ""));
        let log = match kind {
            "keep" => LogChange::Keep,
            "append" => {
                let (first, entries) = rest.split_once(':').unwrap();
                let indexes = (number(first)..).map(LogIndex);
                LogChange::Append(
                    entries.split(';').zip(indexes).map(|(text, index)| parse_entry(index, text)).collect(),
                )
            }
            "compact" => LogChange::CompactTo(parse_id(rest)),
            "reset" => LogChange::Reset { base: parse_id(rest) },
            other => panic!("no such change of a log: {other}"),
        };
        let snapshot = (words[2] != "-").then(|| parse_snapshot(words[2]));
        Step { update: RaftStateUpdate { hard_state: Some(parse_state(words[0])), log }, snapshot }
    }
}

pub(super) fn print_state(state: HardState) -> String {
    let vote = state.vote.map_or("-".to_owned(), |vote| vote.0.to_string());
    format!("{},{vote},{}", state.term.0, state.commit.0)
}

pub(super) fn parse_state(text: &str) -> HardState {
    let parts: Vec<&str> = text.split(',').collect();
    let vote = (parts[1] != "-").then(|| NodeId(number(parts[1])));
    HardState { term: Term(number(parts[0])), vote, commit: LogIndex(number(parts[2])) }
}

pub(super) fn print_id(id: EntryId) -> String {
    format!("{},{}", id.term.0, id.index.0)
}

pub(super) fn parse_id(text: &str) -> EntryId {
    let (term, index) = text.split_once(',').unwrap();
    EntryId { term: Term(number(term)), index: LogIndex(number(index)) }
}

/// Without its index.
pub(super) fn print_entry(entry: &Entry) -> String {
    format!("{},{},{}", entry.term.0, entry.kind as u8, print_hex(&entry.payload))
}

pub(super) fn parse_entry(index: LogIndex, text: &str) -> Entry {
    let parts: Vec<&str> = text.split(',').collect();
    let kind = EntryKind::from_byte(u8::try_from(number(parts[1])).unwrap()).unwrap();
    Entry { index, term: Term(number(parts[0])), kind, payload: Bytes::from(parse_hex(parts[2])) }
}

pub(super) fn parse_snapshot(text: &str) -> (EntryId, Vec<u8>) {
    let (id, hex) = text.rsplit_once(',').unwrap();
    (parse_id(id), parse_hex(hex))
}

pub(super) fn print_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

fn parse_hex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

pub(super) fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("not a number: {text:?}"))
}
