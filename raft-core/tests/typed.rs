//! The typed adapter: every replica answers the same bytes, whatever was committed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use eraft_core::{
    Entry, EntryId, EntryKind, LogIndex, ReplyError, SnapshotMeta, SnapshotReader, StateMachine as _,
    StateMachineError, Term, Typed, TypedStateMachine, codec, decode_reply, encode_command,
};
use futures_util::{FutureExt as _, StreamExt as _};
use serde::{Deserialize, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
enum Command {
    Push(String),
    Odd,
}

#[derive(Debug, PartialEq, Deserialize)]
enum Reply {
    Length(usize),
    /// Refuses to be serialised.
    Odd,
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Reply::Length(length) => serializer.serialize_newtype_variant("Reply", 0, "Length", length),
            Reply::Odd => Err(serde::ser::Error::custom("not to be told")),
        }
    }
}

struct Lines {
    start: LogIndex,
    applied: Vec<(LogIndex, String)>,
}

impl TypedStateMachine for Lines {
    type Command = Command;
    type Reply = Reply;
    type Piece = (LogIndex, String);

    fn last_applied(&self) -> LogIndex {
        self.start
    }

    fn apply(&mut self, index: LogIndex, command: Command) -> Reply {
        match command {
            Command::Push(line) => {
                self.applied.push((index, line));
                Reply::Length(self.applied.len())
            }
            Command::Odd => Reply::Odd,
        }
    }

    fn snapshot(&self) -> Box<dyn Iterator<Item = (LogIndex, String)> + Send> {
        Box::new(self.applied.clone().into_iter())
    }

    fn restore(&mut self, pieces: Vec<(LogIndex, String)>) -> Result<(), StateMachineError> {
        self.applied = pieces;
        Ok(())
    }
}

fn machine(start: u64) -> Typed<Lines> {
    Typed::new(Lines { start: LogIndex(start), applied: Vec::new() })
}

fn apply(machine: &mut Typed<Lines>, entries: Vec<Entry>) -> Vec<Bytes> {
    machine.apply(entries).now_or_never().unwrap().unwrap()
}

fn push(index: u64, line: &str) -> Entry {
    Entry::command(Term(1), LogIndex(index), encode_command(&Command::Push(line.into())).unwrap())
}

#[test]
fn commands_and_replies_keep_their_types_across_the_log() {
    let mut machine = machine(4);
    assert_eq!(machine.last_applied(), LogIndex(4));
    let noop = Entry { kind: EntryKind::Noop, ..Entry::command(Term(2), LogIndex(6), "") };
    let replies = apply(&mut machine, vec![push(5, "a"), noop, push(7, "b")]);
    assert_eq!(decode_reply::<Reply>(&replies[0]), Ok(Reply::Length(1)));
    assert_eq!(replies[1], Bytes::new(), "an entry that is no command has no reply");
    assert_eq!(decode_reply::<Reply>(&replies[2]), Ok(Reply::Length(2)));
    assert_eq!(machine.last_applied(), LogIndex(7));
}

#[test]
fn an_undecodable_command_is_answered_the_same_everywhere_and_changes_nothing() {
    let good = encode_command(&Command::Push("a".into())).unwrap();
    let other_version = [&[9], &good[1..]].concat();
    let trailing = [good.as_ref(), &[0]].concat();
    for payload in [vec![], b"SET x 1".to_vec(), good[..good.len() - 1].to_vec(), other_version, trailing] {
        let (mut one, mut two) = (machine(0), machine(0));
        let entries = vec![Entry::command(Term(1), LogIndex(1), payload.clone()), push(2, "b")];
        let replies = apply(&mut one, entries.clone());
        assert_eq!(replies, apply(&mut two, entries), "two replicas");
        assert_eq!(decode_reply::<Reply>(&replies[0]), Err(ReplyError::NotACommand), "{payload:?}");
        assert_eq!(decode_reply::<Reply>(&replies[1]), Ok(Reply::Length(1)), "it had no effect");
        assert_eq!(one.last_applied(), LogIndex(2));
    }
}

#[test]
fn a_reply_that_cannot_be_encoded_is_told_as_such() {
    let odd = Entry::command(Term(1), LogIndex(1), encode_command(&Command::Odd).unwrap());
    let replies = apply(&mut machine(0), vec![odd]);
    assert_eq!(decode_reply::<Reply>(&replies[0]), Err(ReplyError::ReplyNotEncodable));
}

/// What `machine` streams, as a store hands it out again, in chunks of at most `chunk_bytes`.
fn snapshot(machine: &mut Typed<Lines>, chunk_bytes: usize) -> Vec<Bytes> {
    let stream = machine.snapshot().now_or_never().unwrap().unwrap();
    let chunks: Vec<Bytes> = stream.map(Result::unwrap).collect::<Vec<_>>().now_or_never().unwrap();
    chunks.concat().chunks(chunk_bytes).map(Bytes::copy_from_slice).collect()
}

fn restore(machine: &mut Typed<Lines>, last: u64, chunks: Vec<Bytes>) -> Result<(), StateMachineError> {
    let size_bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    let meta = SnapshotMeta { last: EntryId::new(1, last), ..SnapshotMeta::default() };
    let chunks = futures_util::stream::iter(chunks.into_iter().map(Ok)).boxed();
    machine.restore(SnapshotReader { meta, size_bytes, chunks }).now_or_never().unwrap()
}

#[test]
fn a_snapshot_restores_the_same_state_however_it_is_cut_into_chunks() {
    let mut from = machine(0);
    let lines = |length: usize| (1..200).map(move |index| push(index, &"x".repeat(length * 10)));
    apply(&mut from, lines(1).chain(lines(100)).collect());
    for chunk_bytes in [1, 7, 1000, 1 << 20] {
        let mut to = machine(0);
        apply(&mut to, vec![push(1, "gone")]);
        let chunks = snapshot(&mut from, chunk_bytes);
        restore(&mut to, 199, chunks).unwrap();
        assert_eq!(to.last_applied(), LogIndex(199));
        assert_eq!(snapshot(&mut to, 1 << 20), snapshot(&mut from, 1 << 20));
    }
}

/// A machine that gives up its state before it is restored; whoever reads beside it shares the state.
struct Large(Arc<Mutex<Vec<u64>>>);

impl TypedStateMachine for Large {
    type Command = u64;
    type Reply = ();
    type Piece = u64;

    fn last_applied(&self) -> LogIndex {
        LogIndex::ZERO
    }

    fn apply(&mut self, _index: LogIndex, command: u64) {
        self.0.lock().unwrap().push(command);
    }

    fn snapshot(&self) -> Box<dyn Iterator<Item = u64> + Send> {
        Box::new(self.0.lock().unwrap().clone().into_iter())
    }

    fn give_up(&mut self) {
        self.0.lock().unwrap().clear();
    }

    fn restore(&mut self, pieces: Vec<u64>) -> Result<(), StateMachineError> {
        *self.0.lock().unwrap() = pieces;
        Ok(())
    }
}

#[test]
fn the_old_state_is_given_up_before_the_first_byte_of_the_new_one_is_read() {
    let state = Arc::new(Mutex::new(vec![1, 2, 3]));
    let mut machine = Typed::new(Large(Arc::clone(&state)));
    let stream = machine.snapshot().now_or_never().unwrap().unwrap();
    let chunks: Vec<Bytes> = stream.map(Result::unwrap).collect::<Vec<_>>().now_or_never().unwrap();
    let size_bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    let seen = Arc::clone(&state);
    let chunks = chunks.into_iter().inspect(move |_| assert_eq!(*seen.lock().unwrap(), [0; 0], "two states at once"));
    let chunks = chunks.map(Ok);
    let meta = SnapshotMeta { last: EntryId::new(1, 9), ..SnapshotMeta::default() };
    let chunks = futures_util::stream::iter(chunks).boxed();
    machine.restore(SnapshotReader { meta, size_bytes, chunks }).now_or_never().unwrap().unwrap();
    assert_eq!(*state.lock().unwrap(), [1, 2, 3]);
}

#[test]
fn what_is_applied_after_a_snapshot_was_asked_for_is_not_in_it() {
    let mut from = machine(0);
    apply(&mut from, vec![push(1, "a")]);
    let before = snapshot(&mut from, 1 << 20);
    let stream = from.snapshot().now_or_never().unwrap().unwrap();
    apply(&mut from, vec![push(2, "b")]);
    let chunks: Vec<Bytes> = stream.map(Result::unwrap).collect::<Vec<_>>().now_or_never().unwrap();
    assert_eq!(chunks.concat(), before.concat());
}

#[test]
fn a_snapshot_that_is_cut_or_of_another_machine_is_refused_and_changes_nothing() {
    let mut from = machine(0);
    apply(&mut from, vec![push(1, "a"), push(2, "b")]);
    let whole = snapshot(&mut from, 1 << 20).concat();
    let cuts = (1..whole.len()).filter(|cut| *cut != whole.len() / 2).map(|cut| whole[..cut].to_vec());
    for bytes in cuts.chain([b"not a snapshot of any machine".to_vec(), [&[0, 0, 0, 1, 9][..], &whole].concat()]) {
        let mut to = machine(0);
        apply(&mut to, vec![push(1, "kept")]);
        let before = snapshot(&mut to, 1 << 20);
        restore(&mut to, 2, vec![bytes.into()]).unwrap_err();
        assert_eq!((snapshot(&mut to, 1 << 20), to.last_applied()), (before, LogIndex(1)));
    }
}

#[test]
fn arbitrary_bytes_are_no_reply_and_no_panic() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..5000 {
        let bytes: Vec<u8> = (0..random.usize(..30)).map(|_| random.u8(..)).collect();
        if !bytes.starts_with(&[codec::VERSION]) {
            assert!(matches!(decode_reply::<Reply>(&bytes), Err(ReplyError::Malformed(_))));
        }
        apply(&mut machine(0), vec![Entry::command(Term(1), LogIndex(1), bytes)]);
    }
}
