//! Inputs to begin with, made by the real encoders: for each target a few that are valid all through.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use eraft_core::{
    ConfState, Entry, EntryId, EntryKind, GroupId, HardState, LogChange, LogIndex, LogOutline, Member, Message,
    MessageBody, NodeId, RaftStateUpdate, SnapshotMeta, StoreId, Term, codec,
};
use eraft_storage_file::fuzzing::Records;
use eraft_transport_grpc::{
    fuzzing::{Snapshot, encode_frame},
    wire,
};

use super::{
    example::store::{Command, Reply},
    peer::{OURS, PEER},
    segment, snapshot_file,
};

/// The seeds of every target, by its name.
pub fn seeds() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let seeds = BTreeMap::from([
        ("segment", segments()),
        ("record", vec![saves(), removal(), checkpoint(&LogOutline::default())]),
        ("snapshot_file", snapshot_files()),
        ("metadata", metadata()),
        ("message", messages()),
        ("snapshot_stream", snapshot_streams()),
        ("request", requests()),
        ("command", commands()),
        ("pieces", pieces()),
    ]);
    #[cfg(feature = "rocksdb")]
    let seeds = seeds.into_iter().chain(super::rocksdb_seeds::seeds()).collect();
    seeds
}

fn conf() -> ConfState {
    let mut conf = ConfState::of_voters([1, 2].map(|id| (NodeId(id), Bytes::from(format!("127.0.0.1:710{id}")))));
    conf.learners.insert(NodeId(3));
    conf.members.insert(NodeId(3), Member { store: Some(StoreId(13)), context: Bytes::new() });
    conf
}

pub(crate) fn meta() -> SnapshotMeta {
    SnapshotMeta { last: EntryId::new(1, 2), conf_state: conf() }
}

pub(crate) fn entries() -> Vec<Entry> {
    let config = Entry { kind: EntryKind::Config, ..Entry::command(Term(1), LogIndex(1), codec::encode(&conf())) };
    let noop = Entry { kind: EntryKind::Noop, ..Entry::command(Term(2), LogIndex(3), "") };
    vec![config, Entry::command(Term(1), LogIndex(2), "two"), noop]
}

pub(crate) fn hard_state() -> HardState {
    HardState { term: Term(2), vote: Some(NodeId(1)), commit: LogIndex(2) }
}

/// Bodies, as the store writes them.
fn saves() -> Vec<u8> {
    let publish = Some((meta(), 5, 1));
    let changes = [
        (Some(hard_state()), LogChange::Append(entries()), None),
        (None, LogChange::Keep, publish),
        (None, LogChange::CompactTo(EntryId::new(1, 2)), None),
    ];
    let saves = changes.map(|(hard_state, log, publish)| (RaftStateUpdate { hard_state, log }, publish));
    Records::saves(GroupId(3), saves).encode().into()
}

fn removal() -> Vec<u8> {
    let mut body = vec![0; 32];
    body[0] = 3;
    body
}

fn checkpoint(outline: &LogOutline) -> Vec<u8> {
    Records::checkpoint(GroupId(3), hard_state(), outline.clone()).encode().into()
}

/// One step of a description: what it is, and the body of it.
pub(crate) fn step(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap();
    [&[kind][..], &length.to_le_bytes(), body].concat()
}

fn segments() -> Vec<Vec<u8>> {
    const DESCRIBED: u8 = 2;
    let opening = step(segment::OPENING, &[]);
    let append = RaftStateUpdate { hard_state: Some(hard_state()), log: LogChange::Append(entries()) };
    let append = step(segment::SAVES, &Records::saves(GroupId(3), [(append, None)]).encode());
    let mut outline = LogOutline::default();
    outline.append(&entries()).unwrap();
    let reopening = step(segment::OPENING, &checkpoint(&outline));
    let torn = [step(segment::SAVES | 1 << 6, &saves()), vec![50, 0]].concat();
    let (mark, seal) = (vec![segment::MARK], vec![segment::SEAL]);
    let logs: [&[&[u8]]; 6] = [
        &[&opening],
        &[&opening, &step(segment::SAVES, &saves()), &mark],
        &[&opening, &append, &mark, &step(segment::SAVES, &[])],
        &[&opening, &append, &torn],
        &[&opening, &append, &seal, &reopening],
        &[&opening, &append, &seal, &reopening, &mark, &seal, &reopening],
    ];
    let mut seeds: Vec<_> = logs.map(|log| [&[DESCRIBED], &*log.concat()].concat()).into();
    // A frame as it stands: magic, kind, length of its body twice, sequence.
    let header = [&b"eRfr"[..], &[2, 0, 0, 0], &[0; 8], &[1, 0, 0, 0, 0, 0, 0, 0], &[0; 16]].concat();
    seeds.push([&[1, 0, 0], &*header].concat());
    seeds
}

fn snapshot_files() -> Vec<Vec<u8>> {
    let data = |bytes: &[u8]| step(snapshot_file::DATA, bytes);
    let whole = [vec![0, 0, snapshot_file::META], data(b"one"), data(b"two"), vec![snapshot_file::END]].concat();
    vec![whole, vec![0, 0, snapshot_file::META, snapshot_file::END]]
}

fn metadata() -> Vec<Vec<u8>> {
    let mut outline = LogOutline::default();
    outline.append(&entries()).unwrap();
    let member = Member { store: Some(StoreId(u64::MAX)), context: "x".into() };
    let values = [
        codec::encode(&hard_state()),
        codec::encode(&OURS),
        codec::encode(&EntryId::new(1, 300)),
        codec::encode(&entries()[1]),
        codec::encode(&member),
        codec::encode(&conf()),
        codec::encode(&meta()),
        codec::encode(&outline),
    ];
    (0..).zip(values).map(|(choice, value)| [&[choice], &*value].concat()).collect()
}

fn messages() -> Vec<Vec<u8>> {
    let (last, round) = (EntryId::new(1, 2), 300);
    let bodies = [
        MessageBody::RequestPreVote { last },
        MessageBody::PreVote { granted: true },
        MessageBody::RequestVote { last },
        MessageBody::Vote { granted: false },
        MessageBody::AppendEntries { prev: EntryId::ZERO, entries: entries(), commit: LogIndex(1), round },
        MessageBody::Appended { matched: LogIndex(3), round },
        MessageBody::Rejected { prev: last, hint: EntryId::ZERO, round },
    ];
    let all: Vec<_> =
        bodies.map(|body| Message { from: PEER.node, to: OURS.node, term: Term(2), body }).into_iter().collect();
    let alone = all.iter().map(|message| [&[0], &*wire::encode(message)].concat());
    let hello = encode_frame(Some((&PEER, OURS.node)), Vec::new());
    let frames = [hello, encode_frame(None, all.clone())].map(|frame| [&[1], &*frame].concat());
    alone.chain(frames).collect()
}

fn snapshot_streams() -> Vec<Vec<u8>> {
    let chunks = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
    [chunks, Vec::new()]
        .map(|chunks| Snapshot { term: Term(2), meta: meta(), chunks }.encode(&PEER, OURS.node).unwrap())
        .into_iter()
        .flat_map(|stream| [0, 1].map(|mend| [&[mend], &*stream].concat()))
        .collect()
}

fn requests() -> Vec<Vec<u8>> {
    let pipeline = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nv\r\n\0x\r\n*2\r\n$3\r\nget\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n";
    let others = [
        "*4\r\n$3\r\nDEL\r\n$1\r\na\r\n$0\r\n\r\n$1\r\nb\r\n",
        "*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n",
        "*0\r\n",
        "set k \"a\\x41\\n\" \r\n get 'k'\n",
    ];
    [pipeline].into_iter().chain(others).map(|text| [&[9, 0], text.as_bytes()].concat()).collect()
}

fn commands() -> Vec<Vec<u8>> {
    let (key, value) = (Bytes::from_static(b"key"), Bytes::from_static(b"value"));
    let commands = [
        Command::Set { key: key.clone(), value: value.clone() },
        Command::Del { keys: vec![key.clone(), value] },
        Command::Incr { key },
    ];
    let replies = [Reply::Done, Reply::Number(-1), Reply::Refused("ERR no".to_owned())];
    let commands = commands.map(|command| [&[0], &*codec::encode(&command)].concat());
    let replies = replies.map(|reply| [&[1], &*codec::encode(&reply)].concat());
    commands.into_iter().chain(replies).collect()
}

fn pieces() -> Vec<Vec<u8>> {
    let part =
        BTreeMap::from([("key", "value"), ("other", "")].map(|(key, value)| (Bytes::from(key), Bytes::from(value))));
    let mut snapshot = BytesMut::new();
    for part in [&part, &BTreeMap::new()] {
        let piece = codec::encode(part);
        snapshot.extend_from_slice(&u32::try_from(piece.len()).unwrap().to_be_bytes());
        snapshot.extend_from_slice(&piece);
    }
    [[7, 0], [0xff, 0xff]].map(|choice| [&choice, &*snapshot].concat()).into()
}
