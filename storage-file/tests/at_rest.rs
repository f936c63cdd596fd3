//! Damage while nobody looks: a closed store on the real disk whose files are cut at any length, or have a bit flipped in
//! any byte. Each is told, naming the file and the offset, and then nothing is changed; or the same content is read.
//!
//! By default some dozen lengths and bytes of each file are tried, at a stride; `ERAFT_LONG=1` tries every one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test on real files"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use eraft_core::{
    ClusterId, ConfState, Entry, EntryId, EntryKind, Expected, HardState, LogChange, LogIndex, NodeId, RaftState,
    RaftStateUpdate, Result, SnapshotMeta, Storage, StorageErrorKind, Term, codec,
};
use eraft_storage_file::{FileEngine, FileOptions, FileStorage, fs::real::RealFs};
use futures_executor::block_on;

const ENTRIES: u64 = 10;
const COMPACTED: u64 = 3;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Everything that a store gives.
#[derive(Debug, PartialEq)]
struct Content {
    state: RaftState,
    entries: Vec<Entry>,
    snapshot: Option<(SnapshotMeta, Vec<u8>)>,
}

fn options() -> FileOptions {
    FileOptions { segment_bytes: 16 * 1024, ..FileOptions::default() }
}

fn founders() -> ConfState {
    ConfState::of_voters((1..=3).map(|id| (NodeId(id), Bytes::from(format!("127.0.0.1:{}", 7100 + id)))))
}

fn open(dir: &Path) -> Result<FileStorage> {
    let expected = Expected::exactly(founders().founding_cluster_id("at rest"), NodeId(1));
    FileStorage::open_with(Arc::new(RealFs), dir, expected, options())
}

fn entry(index: u64) -> Entry {
    let term = Term(1 + index / 5);
    match index {
        1 => Entry { index: LogIndex(1), term, kind: EntryKind::Config, payload: codec::encode(&founders()) },
        _ => Entry::command(term, LogIndex(index), Bytes::from(format!("{index};").repeat(200))),
    }
}

/// A store as a node leaves it: some entries over several segments, a vote, a snapshot, a compacted log; closed.
fn make(dir: &Path) {
    let cluster: ClusterId = founders().founding_cluster_id("at rest");
    FileEngine::create_with(Arc::new(RealFs), dir, cluster, NodeId(1), options()).unwrap();
    let store = open(dir).unwrap();
    let save = |update| block_on(store.save_raft_state(update)).unwrap();
    for index in 1..=ENTRIES {
        let entry = entry(index);
        let hard_state = HardState { term: entry.term, vote: Some(NodeId(1)), commit: LogIndex(index - 1) };
        save(RaftStateUpdate { hard_state: Some(hard_state), log: LogChange::Append(vec![entry]) });
    }
    let last = EntryId { term: entry(COMPACTED).term, index: LogIndex(COMPACTED) };
    let mut writer = block_on(store.stage_snapshot(SnapshotMeta { last, conf_state: founders() })).unwrap();
    block_on(writer.write(Bytes::from("the state machine ".repeat(300)))).unwrap();
    let staged = block_on(writer.finish()).unwrap();
    let update = RaftStateUpdate { hard_state: None, log: LogChange::CompactTo(last) };
    block_on(store.save_state_and_snapshot(update, staged)).unwrap();
    block_on(store.close()).unwrap();
}

/// Opens, reads everything, closes.
fn read(dir: &Path) -> Result<Content> {
    let store = open(dir)?;
    let state = block_on(store.read_raft_state())?;
    let range = state.outline.base().index.next()..state.outline.last_index().next();
    let entries = block_on(store.read_entries(range, u64::MAX))?;
    let snapshot = match block_on(store.read_snapshot())? {
        None => None,
        Some(reader) => {
            let meta = reader.meta.clone();
            Some((meta, block_on(reader.read_all())?))
        }
    };
    block_on(store.close())?;
    Ok(Content { state, entries, snapshot })
}

fn files(dir: &Path) -> Files {
    let mut found = Files::new();
    for entry in fs::read_dir(dir).unwrap().map(std::result::Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

/// Puts everything back as it was, whatever an opening has done.
fn restore(dir: &Path, whole: &Files) {
    let now = files(dir);
    now.keys().filter(|path| !whole.contains_key(*path)).for_each(|path| fs::remove_file(path).unwrap());
    for (path, bytes) in whole.iter().filter(|(path, bytes)| now.get(*path) != Some(bytes)) {
        fs::write(path, bytes).unwrap();
    }
}

/// How often damage was told, and how often it did no harm.
#[derive(Debug, Default)]
struct Classes {
    told: u64,
    harmless: u64,
}

/// Opens with `bytes` in the place of the file at `path`, and judges what comes of it.
fn judge(dir: &Path, whole: &Files, expected: &Content, path: &Path, bytes: &[u8], what: &str, classes: &mut Classes) {
    fs::write(path, bytes).unwrap();
    match read(dir) {
        Ok(content) => {
            assert_eq!(&content, expected, "{what}: something else was read");
            classes.harmless += 1;
        }
        Err(error) => {
            let text = error.to_string();
            assert_eq!(error.kind(), StorageErrorKind::Corrupt, "{what}: {text}");
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(text.contains(name) && text.contains(" at offset "), "{what} is not named: {text}");
            // What an opening does before a snapshot's body is read writes the same bytes again.
            let mut damaged = whole.clone();
            damaged.insert(path.to_owned(), bytes.to_vec());
            assert!(files(dir) == damaged, "{what}: it was refused, and something was changed");
            classes.told += 1;
        }
    }
    restore(dir, whole);
}

#[test]
fn every_cut_and_every_flipped_bit_is_told_or_harmless() {
    // Opening syncs, which is slow where it means something; here nothing is to survive a power cut.
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let dir = parent.path().join("n1");
    make(&dir);
    let (whole, expected) = (files(&dir), read(&dir).unwrap());
    assert_eq!(expected.entries.len() as u64, ENTRIES - COMPACTED);
    assert!(expected.snapshot.is_some() && files(&dir) == whole, "opening and closing changed the files");

    let mut cases = 0;
    let long = std::env::var_os("ERAFT_LONG").is_some();
    for (path, bytes) in whole.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        let name = path.strip_prefix(&dir).unwrap().display();
        let stride = if long { 1 } else { (bytes.len() / 40).max(1) };
        let places = || (0..bytes.len()).filter(|at| at % stride == 0 || (!long && *at < 24));
        let (mut cut, mut flipped) = (Classes::default(), Classes::default());
        for length in places() {
            let what = format!("{name} cut to {length}");
            judge(&dir, &whole, &expected, path, &bytes[..length], &what, &mut cut);
        }
        for at in places() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            let what = format!("{name}, bit {} of byte {at}", at % 8);
            judge(&dir, &whole, &expected, path, &damaged, &what, &mut flipped);
        }
        println!(
            "{name} ({} bytes): cut: {} told, {} harmless; flipped: {} told, {} harmless",
            bytes.len(),
            cut.told,
            cut.harmless,
            flipped.told,
            flipped.harmless
        );
        cases += cut.told + cut.harmless + flipped.told + flipped.harmless;
        assert_eq!(cut.harmless, 0, "a shorter file is never taken for a whole one");
        assert!(flipped.told > 0, "no flip in {name} was told");
    }
    println!("{cases} damaged stores were opened");
}
