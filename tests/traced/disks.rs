//! What is durable on a node's disk, as its system calls show.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use eraft_core::{HardState, LogIndex, NodeId, Term, codec};

use super::{calls::Call, marks};

/// Terms that are looked for in what is written.
const TERMS: std::ops::Range<u64> = 2..60;

/// RocksDB's log: a block, and the header of each record or part of one.
const LOG_BLOCK_BYTES: usize = 32 << 10;
const LOG_HEADER_BYTES: usize = 7;

/// Something that a node may vouch for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// The command with this mark.
    Command(u32),
    /// A hard state of this term with this vote.
    Vote(Term, Option<NodeId>),
}

/// The files under one directory.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    files: BTreeMap<PathBuf, File>,
    /// What each sync that runs will have covered.
    syncing: BTreeMap<usize, Covered>,
    durable: BTreeSet<Fact>,
    needles: Vec<(Vec<u8>, Fact)>,
    pub syncs: u64,
}

/// Facts of one file: on their way to the disk, and there but not yet under a durable name.
#[derive(Debug, Default)]
struct File {
    written: Vec<Fact>,
    synced: Vec<Fact>,
    unnamed: bool,
    /// How much was appended since it was created.
    length: usize,
}

/// Of the file `path` its first so many facts; or, in the directory `path`, these names.
#[derive(Debug)]
struct Covered {
    path: PathBuf,
    facts: usize,
    names: Vec<PathBuf>,
}

impl Disk {
    /// Whatever is under `root` when the record begins has a durable name.
    pub fn new(root: &Path, nodes: u64) -> Disk {
        let votes = || std::iter::once(None).chain((1..=nodes).map(|node| Some(NodeId(node))));
        let states = TERMS.flat_map(|term| votes().map(move |vote| (Term(term), vote)));
        let needles = states.map(|(term, vote)| (needle(term, vote), Fact::Vote(term, vote))).collect();
        let (files, syncing, durable) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Disk { root: root.to_owned(), files, syncing, durable, needles, syncs: 0 }
    }

    /// Whether it survives a power cut from now on.
    pub fn holds(&self, fact: Fact) -> bool {
        self.durable.contains(&fact)
    }

    /// Whether a hard state of this term survives, whoever was voted for.
    pub fn holds_term(&self, term: Term) -> bool {
        self.durable
            .range(Fact::Vote(term, None)..)
            .next()
            .is_some_and(|fact| matches!(fact, Fact::Vote(found, _) if *found == term))
    }

    /// A call begins; what it covers is what had been written by now.
    pub fn begin(&mut self, number: usize, call: &Call) {
        if !matches!(call.name.as_str(), "fsync" | "fdatasync") {
            return;
        }
        let Some(path) = self.own(call.file()) else { return };
        let facts = self.files.get(&path).map_or(0, |file| file.written.len());
        let unnamed = self.files.iter().filter(|(name, file)| file.unnamed && name.parent() == Some(&path));
        let names = unnamed.map(|(name, _)| name.clone()).collect();
        self.syncing.insert(number, Covered { path, facts, names });
    }

    /// A call has returned.
    pub fn end(&mut self, number: usize, call: &Call) {
        let done = call.result.is_some_and(|result| result >= 0);
        match call.name.as_str() {
            "fsync" | "fdatasync" => {
                if let Some(covered) = self.syncing.remove(&number).filter(|_| done) {
                    self.synced(covered);
                }
            }
            "open" | "openat" if done && call.arguments.contains("O_CREAT") => {
                if let Some(path) = self.own(call.strings().first().map(|path| as_path(path))) {
                    self.files.insert(path, File { unnamed: true, ..File::default() });
                }
            }
            "rename" | "renameat" | "renameat2" if done => {
                let names: Vec<_> = call.strings().iter().filter_map(|path| self.own(Some(as_path(path)))).collect();
                if let [from, to] = names.as_slice() {
                    let file = self.files.remove(from).unwrap_or_default();
                    self.files.insert(to.clone(), File { unnamed: true, ..file });
                }
            }
            "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" => {
                let Some(path) = self.own(call.file()) else { return };
                let bytes = call.written();
                let from = self.files.get(&path).map_or(0, |file| file.length);
                let mut facts = self.facts(&bytes);
                if path.extension().is_some_and(|extension| extension == "log") {
                    facts.extend(self.facts(&without_headers(from, &bytes)));
                }
                let file = self.files.entry(path).or_default();
                file.written.extend(facts);
                file.length = from + bytes.len();
            }
            _ => {}
        }
    }

    fn synced(&mut self, covered: Covered) {
        self.syncs += 1;
        for name in covered.names {
            self.files.entry(name).or_default().unnamed = false;
        }
        if let Some(file) = self.files.get_mut(&covered.path) {
            file.synced.extend(file.written.drain(..covered.facts.min(file.written.len())));
        }
        for file in self.files.values_mut().filter(|file| !file.unnamed) {
            self.durable.extend(file.synced.drain(..));
        }
    }

    fn facts(&self, bytes: &[u8]) -> Vec<Fact> {
        let votes = self.needles.iter().filter(|(needle, _)| bytes.windows(needle.len()).any(|found| found == needle));
        marks(bytes).into_iter().map(Fact::Command).chain(votes.map(|(_, fact)| *fact)).collect()
    }

    fn own(&self, path: Option<PathBuf>) -> Option<PathBuf> {
        path.filter(|path| path.starts_with(&self.root))
    }
}

/// What RocksDB appended to its log at `from`, with whatever a block's end cut in two in one piece again: each block begins
/// with a header.
fn without_headers(from: usize, bytes: &[u8]) -> Vec<u8> {
    let in_header = |at: usize| (from + at) % LOG_BLOCK_BYTES < LOG_HEADER_BYTES;
    bytes.iter().enumerate().filter(|(at, _)| !in_header(*at)).map(|(_, byte)| *byte).collect()
}

fn as_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8(bytes.to_owned()).unwrap())
}

/// A hard state without the version before it and the commit index behind.
fn needle(term: Term, vote: Option<NodeId>) -> Vec<u8> {
    let encoded = codec::encode(&HardState { term, vote, commit: LogIndex(0) });
    encoded[1..encoded.len() - 1].to_owned()
}
