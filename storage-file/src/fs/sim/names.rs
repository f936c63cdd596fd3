//! The names of a simulated disk: which directory holds what, which of it is durable, and what a crash undoes.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
};

use fastrand::Rng;

use super::{Fate, Reach};

/// What a name leads to.
pub(super) type Inode = u64;

/// One name of one directory.
type Slot = (Inode, OsString);

/// All directories of a disk.
///
/// Invariants:
///
/// 1. `now` is `durable` after all of `pending`, in order.
/// 2. An operation that fills a name which a pending rename has left survives only together with that rename, and the
///    operations on one inode survive as a prefix: so a file with a durable name always keeps its old or its new one.
/// 3. Everything else survives or is undone independently: journals keep more order, and a store must not lean on it.
#[derive(Clone, Debug)]
pub(super) struct Names {
    now: BTreeMap<Inode, BTreeMap<OsString, Inode>>,
    durable: BTreeMap<Inode, BTreeMap<OsString, Inode>>,
    pending: Vec<Operation>,
    next_operation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Remove,
    Rename,
}

#[derive(Clone, Debug)]
struct Operation {
    number: u64,
    verb: Verb,
    inode: Inode,
    /// The names it changes, and what they lead to then.
    effects: Vec<(Slot, Option<Inode>)>,
    /// The rename that had to happen for its name to be free.
    needs: Option<u64>,
}

impl Names {
    /// A disk with nothing but the root directory.
    pub(super) fn new(root: Inode) -> Names {
        let directories = BTreeMap::from([(root, BTreeMap::new())]);
        Names { now: directories.clone(), durable: directories, pending: Vec::new(), next_operation: 0 }
    }

    pub(super) fn lookup(&self, directory: Inode, name: &OsStr) -> Option<Inode> {
        self.now.get(&directory)?.get(name).copied()
    }

    /// The names in a directory; `None` where the inode is none.
    pub(super) fn list(&self, directory: Inode) -> Option<&BTreeMap<OsString, Inode>> {
        self.now.get(&directory)
    }

    pub(super) fn create(&mut self, slot: Slot, inode: Inode, is_directory: bool) {
        if is_directory {
            self.now.insert(inode, BTreeMap::new());
            self.durable.insert(inode, BTreeMap::new());
        }
        self.record(Verb::Create, inode, vec![(slot, Some(inode))]);
    }

    pub(super) fn remove(&mut self, slot: Slot, inode: Inode) {
        self.record(Verb::Remove, inode, vec![(slot, None)]);
    }

    pub(super) fn rename(&mut self, from: Slot, to: Slot, inode: Inode) {
        self.record(Verb::Rename, inode, vec![(from, None), (to, Some(inode))]);
    }

    /// Makes every operation that touched the directory durable, and with each the earlier ones that it rests on.
    pub(super) fn sync(&mut self, directory: Inode) {
        let mut chosen: BTreeSet<u64> = BTreeSet::new();
        let (mut inodes, mut needed) = (BTreeSet::new(), BTreeSet::new());
        for operation in self.pending.iter().rev() {
            let touches = operation.effects.iter().any(|((of, _), _)| *of == directory);
            if touches || inodes.contains(&operation.inode) || needed.contains(&operation.number) {
                chosen.insert(operation.number);
                inodes.insert(operation.inode);
                needed.extend(operation.needs);
            }
        }
        let (chosen, mut others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|operation| chosen.contains(&operation.number));
        for operation in &chosen {
            for (slot, _) in &operation.effects {
                // What came earlier under this name is history, whichever directory's sync it waits for.
                for other in others.iter_mut().filter(|other| other.number < operation.number) {
                    other.effects.retain(|(of, _)| of != slot);
                }
            }
            apply(&mut self.durable, operation);
        }
        others.retain(|other| !other.effects.is_empty());
        self.pending = others;
    }

    /// The power goes: each operation that was not synced is kept or undone.
    pub(super) fn crash(&mut self, rng: &mut Rng, fate: Fate, keep_probability: f64, reach: &mut Reach) {
        let (mut undone, mut stuck) = (BTreeSet::new(), BTreeSet::new());
        for operation in std::mem::take(&mut self.pending) {
            let kept = match fate {
                Fate::Lost => false,
                Fate::Kept => true,
                Fate::Random => rng.f64() < keep_probability,
            };
            let possible =
                !stuck.contains(&operation.inode) && operation.needs.is_none_or(|needed| !undone.contains(&needed));
            if kept && possible {
                reach.names_kept += 1;
                apply(&mut self.durable, &operation);
            } else {
                undone.insert(operation.number);
                stuck.insert(operation.inode);
                match operation.verb {
                    Verb::Create => reach.creates_undone += 1,
                    Verb::Remove => reach.removes_undone += 1,
                    Verb::Rename => reach.renames_undone += 1,
                }
            }
        }
        self.now.clone_from(&self.durable);
    }

    /// Makes a name durable by itself, whatever else is pending in its directory.
    pub(super) fn settle(&mut self, slot: &Slot, inode: Inode) {
        self.forget_pending(slot, inode);
        self.durable.entry(slot.0).or_default().insert(slot.1.clone(), inode);
    }

    /// Takes a name away durably.
    pub(super) fn uproot(&mut self, slot: &Slot, inode: Inode) {
        self.forget_pending(slot, inode);
        for directories in [&mut self.now, &mut self.durable] {
            directories.entry(slot.0).or_default().remove(&slot.1);
        }
    }

    fn forget_pending(&mut self, slot: &Slot, inode: Inode) {
        for operation in &mut self.pending {
            operation.effects.retain(|(of, _)| operation.inode != inode && of != slot);
        }
        self.pending.retain(|operation| !operation.effects.is_empty());
    }

    /// Every inode that some name leads to, now or after any crash.
    pub(super) fn referenced(&self, root: Inode) -> BTreeSet<Inode> {
        let renamed_or_removed = self.pending.iter().map(|operation| operation.inode);
        reachable(&[&self.now, &self.durable], std::iter::once(root).chain(renamed_or_removed))
    }

    /// Every inode that a path leads to now.
    pub(super) fn visible(&self, root: Inode) -> BTreeSet<Inode> {
        reachable(&[&self.now], [root])
    }

    /// Forgets directories that nothing leads to any more.
    pub(super) fn forget_all_but(&mut self, inodes: &BTreeSet<Inode>) {
        self.now.retain(|inode, _| inodes.contains(inode));
        self.durable.retain(|inode, _| inodes.contains(inode));
    }

    fn record(&mut self, verb: Verb, inode: Inode, effects: Vec<(Slot, Option<Inode>)>) {
        let fills = effects.iter().find(|(_, leads_to)| leads_to.is_some()).map(|(slot, _)| slot);
        let needs = fills.and_then(|fills| {
            let left_by_rename = |operation: &&Operation| {
                operation.verb == Verb::Rename
                    && operation.effects.iter().any(|(slot, to)| slot == fills && to.is_none())
            };
            self.pending.iter().rev().find(left_by_rename).map(|operation| operation.number)
        });
        let number = self.next_operation;
        self.next_operation += 1;
        let operation = Operation { number, verb, inode, effects, needs };
        apply(&mut self.now, &operation);
        self.pending.push(operation);
    }
}

fn apply(directories: &mut BTreeMap<Inode, BTreeMap<OsString, Inode>>, operation: &Operation) {
    for ((directory, name), leads_to) in &operation.effects {
        let names = directories.entry(*directory).or_default();
        match leads_to {
            Some(inode) => drop(names.insert(name.clone(), *inode)),
            // Only this file's own name: after an undone step, another file may stand under it.
            None if names.get(name) == Some(&operation.inode) => drop(names.remove(name)),
            None => {}
        }
    }
}

fn reachable(
    maps: &[&BTreeMap<Inode, BTreeMap<OsString, Inode>>],
    from: impl IntoIterator<Item = Inode>,
) -> BTreeSet<Inode> {
    let (mut found, mut waiting) = (BTreeSet::new(), Vec::from_iter(from));
    while let Some(inode) = waiting.pop() {
        if found.insert(inode) {
            waiting.extend(maps.iter().filter_map(|map| map.get(&inode)).flat_map(BTreeMap::values));
        }
    }
    found
}
