//! Notation: how messages, entries and outcomes are written in scripts, and read back.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use eraft_core::{
    Entry, EntryId, EntryKind, LogChange, LogIndex, Message, MessageBody, NodeId, ProposeOutcome, ReadOutcome, Save,
    Status, Term,
};

/// `2`
pub(crate) fn node(text: &str) -> NodeId {
    NodeId(text.parse().unwrap_or_else(|_| panic!("no node: {text}")))
}

/// `1->2`, `*->2`, `1->*`, `*->*`
pub(crate) fn link(text: &str) -> (Option<NodeId>, Option<NodeId>) {
    let (from, to) = text.split_once("->").unwrap_or_else(|| panic!("no link: {text}"));
    let end = |text: &str| (text != "*").then(|| node(text));
    (end(from), end(to))
}

/// `100ms`
pub(crate) fn millis(text: &str) -> Duration {
    let millis = text.strip_suffix("ms").and_then(|millis| millis.parse().ok());
    Duration::from_millis(millis.unwrap_or_else(|| panic!("no duration: {text}")))
}

/// `2-5`
pub(crate) fn entry_id(text: &str) -> EntryId {
    let (term, index) = text.split_once('-').unwrap_or_else(|| panic!("no entry id: {text}"));
    EntryId::new(term.parse().expect("a term"), index.parse().expect("an index"))
}

/// `2-5:noop` or `2-5:a`, and `1-1:config`
pub(crate) fn show_entry(entry: &Entry) -> String {
    let what = match entry.kind {
        EntryKind::Command => String::from_utf8_lossy(&entry.payload).into_owned(),
        EntryKind::Noop => "noop".to_owned(),
        EntryKind::Config => "config".to_owned(),
    };
    format!("{}:{what}", entry.id())
}

/// Entries, separated by commas.
pub(crate) fn show_entries<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> String {
    entries.into_iter().map(show_entry).collect::<Vec<_>>().join(",")
}

/// `1->2 RequestVote term=2 last=1-1`
pub(crate) fn show_message(message: &Message) -> String {
    let Message { from, to, term, body } = message;
    let verdict = |granted: bool| if granted { "granted" } else { "denied" };
    let said = match body {
        MessageBody::RequestPreVote { last } => format!("RequestPreVote term={term} last={last}"),
        MessageBody::PreVote { granted } => format!("PreVote term={term} {}", verdict(*granted)),
        MessageBody::RequestVote { last } => format!("RequestVote term={term} last={last}"),
        MessageBody::Vote { granted } => format!("Vote term={term} {}", verdict(*granted)),
        MessageBody::AppendEntries { prev, entries, commit, round } => {
            let mut said = format!("AppendEntries term={term} prev={prev}");
            if !entries.is_empty() {
                let _ = write!(said, " entries={}", show_entries(entries));
            }
            said + &format!(" commit={commit} round={round}")
        }
        MessageBody::Appended { matched, round } => format!("Appended term={term} matched={matched} round={round}"),
        MessageBody::Rejected { prev, hint, round } => {
            format!("Rejected term={term} prev={prev} hint={hint} round={round}")
        }
    };
    format!("{from}->{to} {said}")
}

/// What [`show_message`] shows.
pub(crate) fn message(text: &str) -> Message {
    let mut words = text.split_whitespace();
    let (from, to) = link(words.next().expect("a link"));
    let kind = words.next().expect("a kind");
    let rest: Vec<&str> = words.collect();
    let fields: BTreeMap<&str, &str> = rest.iter().filter_map(|word| word.split_once('=')).collect();
    let number = |key: &str| fields.get(key).map_or(0, |text| text.parse().expect("a number"));
    let id = |key: &str| fields.get(key).map_or(EntryId::ZERO, |text| entry_id(text));
    let granted = rest.contains(&"granted");
    let body = match kind {
        "RequestPreVote" => MessageBody::RequestPreVote { last: id("last") },
        "PreVote" => MessageBody::PreVote { granted },
        "RequestVote" => MessageBody::RequestVote { last: id("last") },
        "Vote" => MessageBody::Vote { granted },
        "AppendEntries" => MessageBody::AppendEntries {
            prev: id("prev"),
            entries: fields.get("entries").map_or(Vec::new(), |text| text.split(',').map(entry).collect()),
            commit: LogIndex(number("commit")),
            round: number("round"),
        },
        "Appended" => MessageBody::Appended { matched: LogIndex(number("matched")), round: number("round") },
        "Rejected" => MessageBody::Rejected { prev: id("prev"), hint: id("hint"), round: number("round") },
        _ => panic!("no such message: {text}"),
    };
    Message { from: from.expect("a sender"), to: to.expect("a receiver"), term: Term(number("term")), body }
}

/// What [`show_entry`] shows; a configuration that is read back holds none.
pub(crate) fn entry(text: &str) -> Entry {
    let (id, what) = text.split_once(':').unwrap_or_else(|| panic!("no entry: {text}"));
    let EntryId { term, index } = entry_id(id);
    let kind = match what {
        "noop" => EntryKind::Noop,
        "config" => EntryKind::Config,
        _ => return Entry::command(term, index, what.to_owned()),
    };
    Entry { index, term, kind, payload: Default::default() }
}

/// `1 saves #1: term=2 vote=1 commit=1 entries=2-2:noop`
pub(crate) fn show_save(node: NodeId, save: &Save) -> String {
    let mut said = format!("{node} saves #{}:", save.id.0);
    if let Some(hard_state) = save.update.hard_state {
        let _ = write!(said, " term={}", hard_state.term);
        if let Some(vote) = hard_state.vote {
            let _ = write!(said, " vote={vote}");
        }
        let _ = write!(said, " commit={}", hard_state.commit);
    }
    if let Some(staged) = &save.snapshot {
        let _ = write!(said, " snapshot={}", staged.meta.last);
    }
    match &save.update.log {
        LogChange::Keep => {}
        LogChange::Append(entries) => {
            let _ = write!(said, " entries={}", show_entries(entries));
        }
        LogChange::CompactTo(id) => {
            let _ = write!(said, " compact={id}");
        }
        LogChange::Reset { base } => {
            let _ = write!(said, " reset={base}");
        }
    }
    said
}

/// `Committed 2-3`, `LeadershipLost to 2`, ..
pub(crate) fn show_proposal(outcome: ProposeOutcome) -> String {
    match outcome {
        ProposeOutcome::Committed(id) => format!("Committed {id}"),
        ProposeOutcome::NotLeader { leader } => format!("NotLeader{}", show_leader(leader)),
        ProposeOutcome::Busy => "Busy".to_owned(),
        ProposeOutcome::LeadershipLost { leader } => format!("LeadershipLost{}", show_leader(leader)),
    }
}

/// `ReadAt 3`, ..
pub(crate) fn show_read(outcome: ReadOutcome) -> String {
    match outcome {
        ReadOutcome::ReadAt(index) => format!("ReadAt {index}"),
        ReadOutcome::NotLeader { leader } => format!("NotLeader{}", show_leader(leader)),
        ReadOutcome::Busy => "Busy".to_owned(),
    }
}

/// `1 is Leader term=2 leader=1 commit=2 durable=2 last=2-2`
pub(crate) fn show_status(status: &Status) -> String {
    let leader = status.leader.map_or("none".to_owned(), |leader| leader.to_string());
    format!(
        "{} is {:?} term={} leader={leader} commit={} durable={} last={}",
        status.id, status.role, status.term, status.commit, status.durable, status.last
    )
}

fn show_leader(leader: Option<NodeId>) -> String {
    leader.map_or(String::new(), |leader| format!(", {leader} is"))
}
