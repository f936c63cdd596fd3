//! The store that is damaged, as it was at three moments; and two that it could be mistaken for.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use eraft_core::{ClusterId, Expected, GroupId, NodeId, RaftStateUpdate, Result};
use futures_executor::block_on;

use super::{
    Store,
    files::{self, Files},
};
use crate::{CLUSTER, Handle, Model, NODE, make::*};

const GROUPS: [GroupId; 2] = [GroupId(0), GroupId(1)];

/// A tail that takes none of so many little saves without another file is none.
const MOST_STAGES: usize = 8;

/// All that a store shows: its groups, and what is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    listed: Vec<GroupId>,
    groups: BTreeMap<GroupId, Model>,
}

/// The store, closed, and everything that may be put in the place of its files.
pub(super) struct Reference {
    pub(super) dir: PathBuf,
    pub(super) whole: Files,
    pub(super) content: Content,
    /// Copies that were taken earlier, while the store was closed, with what they showed.
    pub(super) earlier: Vec<(Files, Content)>,
    /// Other stores with the same saves: another node's, another cluster's, and another one of this very node.
    pub(super) others: Vec<(&'static str, Files)>,
}

/// Opens, reads everything, closes.
pub(super) fn read(store: &dyn Store, dir: &Path, cluster: ClusterId, node: NodeId) -> Result<Content> {
    let engine = store.open(dir, Expected::exactly(cluster, node))?;
    let listed = block_on(engine.groups())?;
    let mut groups = BTreeMap::new();
    for id in GROUPS {
        groups.insert(id, block_on(Model::read(&block_on(engine.group(id))?))?);
    }
    block_on(engine.close())?;
    Ok(Content { listed, groups })
}

impl Content {
    /// How `found` differs from this; `None` where it does not.
    pub(super) fn difference(&self, found: &Content) -> Option<String> {
        if self.listed != found.listed {
            return Some(format!("groups: expected {:?}, found {:?}", self.listed, found.listed));
        }
        self.groups.iter().find_map(|(id, own)| {
            own.difference(&found.groups[id]).map(|difference| format!("group {id}: {difference}"))
        })
    }
}

/// Makes them all below `root`.
pub(super) fn make(store: &dyn Store, root: &Path, seed: u64) -> Reference {
    let dir = root.join("store");
    let mut stages = live(store, &dir, CLUSTER, NODE, seed);
    let (whole, content) = stages.pop().expect("a life has a last stage");
    let other = |name, cluster, node, seed| {
        let stages = live(store, &root.join(name), cluster, node, seed);
        (name, stages.into_iter().next_back().expect("a life has a last stage").0)
    };
    let others = vec![
        other("another node", CLUSTER, NodeId(NODE.0 + 1), seed + 1),
        other("another cluster", ClusterId(CLUSTER.0 + 1), NODE, seed + 2),
        other("another store of this node", CLUSTER, NODE, seed + 3),
    ];
    Reference { dir, whole, content, earlier: stages, others }
}

/// A store's life, closed several times: what it was then. The last two times it has the same tail.
fn live(store: &dyn Store, dir: &Path, cluster: ClusterId, node: NodeId, seed: u64) -> Vec<(Files, Content)> {
    store.create(dir, cluster, node, seed).expect("creating the reference store");
    let mut stages =
        vec![stage_of_life(store, dir, (cluster, node), youth), stage_of_life(store, dir, (cluster, node), middle)];
    let tail = |(files, _): &(Files, Content)| store.tail(&files.keys().cloned().collect::<Vec<_>>());
    for _ in 0..MOST_STAGES {
        stages.push(stage_of_life(store, dir, (cluster, node), age));
        if stages.iter().rev().map(tail).take(2).collect::<BTreeSet<_>>().len() == 1 {
            break;
        }
    }
    stages
}

fn stage_of_life(
    store: &dyn Store,
    dir: &Path,
    (cluster, node): (ClusterId, NodeId),
    live: fn(&[Handle; 2]),
) -> (Files, Content) {
    let engine = store.open(dir, Expected::exactly(cluster, node)).expect("opening the reference store");
    live(&GROUPS.map(|id| block_on(engine.group(id)).expect("a group of the reference store")));
    block_on(engine.close()).expect("closing the reference store");
    drop(engine);
    let of_data = || files::read(dir, |file| store.holds_data(file)).expect("reading the reference store's files");
    let files = of_data();
    files::write(dir, &files).expect("taking out what nothing depends on");
    let content = read(store, dir, cluster, node).expect("reading the reference store");
    assert!(
        !store.leaves_files_alone() || of_data() == files,
        "opening and closing an undamaged store changed its files"
    );
    files::write(dir, &files).expect("putting the reference store back");
    (files, content)
}

/// Votes, entries and a snapshot.
fn youth([first, second]: &[Handle; 2]) {
    save(first, RaftStateUpdate { hard_state: Some(voted(1, 0)), ..append(vec![config(1, 1, &[1, 2, 3])]) });
    save(first, append((2..9).map(|index| bulky(1, index, 500)).collect()));
    save(second, append((1..6).map(|index| bulky(3, index, 300)).collect()));
    publish(first, 1, 4, 1500);
}

/// Several files more, a truncation, a compaction and newer snapshots.
fn middle([first, second]: &[Handle; 2]) {
    save(first, append(entries(2, 8, 10)));
    (0..3).for_each(|n| save(first, append((11 + 4 * n..15 + 4 * n).map(|index| bulky(2, index, 1100)).collect())));
    save(second, append((6..12).map(|index| bulky(3, index, 900)).collect()));
    publish(first, 2, 12, 3000);
    save(first, compact(2, 12));
    publish(second, 3, 7, 700);
}

/// Little enough to end in the same file.
fn age([first, _]: &[Handle; 2]) {
    let next = block_on(first.read_raft_state()).expect("reading the reference store").outline.last_index().0 + 1;
    save(first, append(entries(2, next, next)));
}

fn save(handle: &Handle, update: RaftStateUpdate) {
    block_on(handle.save_raft_state(update)).expect("a save of the reference store");
}

fn publish(handle: &Handle, term: u64, index: u64, size_bytes: usize) {
    let staged = block_on(stage(handle, meta(term, index), &chunks(index, 2, size_bytes / 2)));
    let staged = staged.expect("a stage of the reference store");
    block_on(handle.save_state_and_snapshot(keep(), staged)).expect("a publication of the reference store");
}
