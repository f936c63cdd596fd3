//! A state machine out of a state and a function: its snapshots are views, and only its own are taken.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use bytes::Bytes;
use eraft_core::{
    Entry, EntryId, LogIndex, SnapshotMeta, SnapshotReader, StateMachine, Term, decode_reply, encode_command, fold,
};
use futures_util::{FutureExt as _, StreamExt as _, stream};

fn words() -> Box<dyn StateMachine> {
    fold(Vec::new(), |words: &mut Vec<String>, word: String| {
        words.push(word);
        words.join(" ")
    })
}

fn say(machine: &mut Box<dyn StateMachine>, index: u64, word: &str) -> String {
    let entry = Entry::command(Term(1), LogIndex(index), encode_command(&word.to_owned()).unwrap());
    decode_reply(&machine.apply(vec![entry]).now_or_never().unwrap().unwrap()[0]).unwrap()
}

fn snapshot_at(index: u64, chunks: Vec<Bytes>) -> SnapshotReader {
    let last = EntryId { term: Term(1), index: LogIndex(index) };
    let size_bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    let meta = SnapshotMeta { last, ..SnapshotMeta::default() };
    SnapshotReader { meta, size_bytes, chunks: stream::iter(chunks.into_iter().map(Ok)).boxed() }
}

#[test]
fn commands_are_done_to_the_state_in_order_and_answered() {
    let mut machine = words();
    assert_eq!(say(&mut machine, 1, "to"), "to");
    assert_eq!(say(&mut machine, 2, "be"), "to be");
    assert_eq!(machine.last_applied(), LogIndex(2));
}

#[test]
fn a_snapshot_shows_nothing_that_is_applied_while_it_is_read() {
    let mut machine = words();
    say(&mut machine, 1, "to");
    let view = machine.snapshot().now_or_never().unwrap().unwrap();
    say(&mut machine, 2, "be");
    let chunks: Vec<Bytes> = view.map(Result::unwrap).collect::<Vec<_>>().now_or_never().unwrap();

    let mut other = words();
    say(&mut other, 1, "replaced");
    other.restore(snapshot_at(1, chunks)).now_or_never().unwrap().unwrap();
    assert_eq!(other.last_applied(), LogIndex(1));
    assert_eq!(say(&mut other, 2, "or"), "to or");
}

#[test]
fn a_snapshot_of_no_piece_is_refused() {
    let refused = words().restore(snapshot_at(1, Vec::new())).now_or_never().unwrap().unwrap_err();
    assert!(refused.to_string().contains("0 pieces, expected 1"), "{refused}");
}
