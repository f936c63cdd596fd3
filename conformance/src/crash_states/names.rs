//! The names on a disk: which directory holds what, which of it is durable, and what a crash undoes.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    path::{Component, Path, PathBuf},
};

use super::{
    fates::Fates,
    journal::{Inode, OperationId},
};

/// One name in one directory.
pub(super) type Slot = (Inode, OsString);

type Directories = BTreeMap<Inode, BTreeMap<OsString, Inode>>;

/// Invariants:
///
/// 1. `now` is `durable` after all of `pending`, in order.
/// 2. Of the operations on one inode a crash keeps a prefix, and what fills a name that a rename has left survives only
///    with that rename: so a file with a durable name always has its old or its new one.
/// 3. All else survives or is undone each by itself.
#[derive(Clone, Debug)]
pub(super) struct Names {
    now: Directories,
    durable: Directories,
    pending: Vec<PendingName>,
}

/// What was done to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Rename,
    Remove,
}

/// A change of names that is not durable.
#[derive(Clone, Debug)]
pub(super) struct PendingName {
    pub(super) operation: OperationId,
    pub(super) verb: Verb,
    inode: Inode,
    /// The names it changes, and what they lead to then.
    effects: Vec<(Slot, Option<Inode>)>,
    /// The rename that had to happen for its name to be free.
    needs: Option<OperationId>,
}

/// The directory `/`, which every disk has.
pub(super) const ROOT: Inode = Inode(0);

impl Names {
    pub(super) fn new() -> Names {
        let directories = BTreeMap::from([(ROOT, BTreeMap::new())]);
        Names { now: directories.clone(), durable: directories, pending: Vec::new() }
    }

    pub(super) fn lookup(&self, directory: Inode, name: &OsStr) -> Option<Inode> {
        self.now.get(&directory)?.get(name).copied()
    }

    /// The names in a directory; `None` where the inode is none.
    pub(super) fn list(&self, directory: Inode) -> Option<&BTreeMap<OsString, Inode>> {
        self.now.get(&directory)
    }

    /// The directory that a path's last name stands in, and that name; `None` for the root, and where a parent is missing.
    pub(super) fn slot(&self, path: &Path) -> Option<Slot> {
        let mut names: Vec<&OsStr> = Vec::new();
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => names.push(name),
                Component::ParentDir | Component::Prefix(_) => return None,
            }
        }
        let (name, parents) = names.split_last()?;
        let mut directory = ROOT;
        for parent in parents {
            directory = self.lookup(directory, parent)?;
        }
        self.list(directory)?;
        Some((directory, (*name).to_owned()))
    }

    /// What a path leads to.
    pub(super) fn find(&self, path: &Path) -> Option<Inode> {
        match self.slot(path) {
            Some((directory, name)) => self.lookup(directory, &name),
            None if path.components().all(|component| matches!(component, Component::RootDir)) => Some(ROOT),
            None => None,
        }
    }

    /// Every path, with what it leads to.
    pub(super) fn paths(&self) -> Vec<(PathBuf, Inode)> {
        let (mut found, mut waiting) = (Vec::new(), vec![(PathBuf::from("/"), ROOT)]);
        while let Some((path, directory)) = waiting.pop() {
            for (name, inode) in self.now.get(&directory).into_iter().flatten() {
                let path = path.join(name);
                found.push((path.clone(), *inode));
                waiting.push((path, *inode));
            }
        }
        found.sort();
        found
    }

    pub(super) fn pending(&self) -> &[PendingName] {
        &self.pending
    }

    // What an operation does.

    pub(super) fn create(&mut self, operation: OperationId, slot: Slot, inode: Inode, is_directory: bool) {
        if is_directory {
            self.now.insert(inode, BTreeMap::new());
            self.durable.insert(inode, BTreeMap::new());
        }
        self.record(operation, Verb::Create, inode, vec![(slot, Some(inode))]);
    }

    pub(super) fn remove(&mut self, operation: OperationId, slot: Slot, inode: Inode) {
        self.record(operation, Verb::Remove, inode, vec![(slot, None)]);
    }

    pub(super) fn rename(&mut self, operation: OperationId, from: Slot, to: Slot, inode: Inode) {
        self.record(operation, Verb::Rename, inode, vec![(from, None), (to, Some(inode))]);
    }

    /// Makes every operation that touched the directory durable, and with each the earlier ones that it rests on.
    pub(super) fn sync(&mut self, directory: Inode) {
        let mut chosen: BTreeSet<OperationId> = BTreeSet::new();
        let (mut inodes, mut needed) = (BTreeSet::new(), BTreeSet::new());
        for pending in self.pending.iter().rev() {
            let touches = pending.effects.iter().any(|((of, _), _)| *of == directory);
            if touches || inodes.contains(&pending.inode) || needed.contains(&pending.operation) {
                chosen.insert(pending.operation);
                inodes.insert(pending.inode);
                needed.extend(pending.needs);
            }
        }
        let (chosen, mut others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|pending| chosen.contains(&pending.operation));
        for synced in &chosen {
            for (slot, _) in &synced.effects {
                // What came earlier under this name is history, whichever directory's sync it waits for.
                for other in others.iter_mut().filter(|other| other.operation < synced.operation) {
                    other.effects.retain(|(of, _)| of != slot);
                }
            }
            apply(&mut self.durable, synced);
        }
        others.retain(|other| !other.effects.is_empty());
        self.pending = others;
    }

    /// What the power leaves.
    pub(super) fn crash(&self, fates: &mut dyn Fates) -> Names {
        let mut left = Names { now: BTreeMap::new(), durable: self.durable.clone(), pending: Vec::new() };
        let (mut undone, mut stuck) = (BTreeSet::new(), BTreeSet::new());
        for pending in &self.pending {
            let possible =
                !stuck.contains(&pending.inode) && pending.needs.is_none_or(|needed| !undone.contains(&needed));
            if fates.keeps_name(pending.operation) && possible {
                apply(&mut left.durable, pending);
            } else {
                undone.insert(pending.operation);
                stuck.insert(pending.inode);
            }
        }
        let kept = reachable(&[&left.durable], [ROOT]);
        left.durable.retain(|inode, _| kept.contains(inode));
        left.now = left.durable.clone();
        left
    }

    /// Every inode that some name leads to, now or after any crash.
    pub(super) fn referenced(&self) -> BTreeSet<Inode> {
        let pending = self.pending.iter().map(|pending| pending.inode);
        reachable(&[&self.now, &self.durable], std::iter::once(ROOT).chain(pending))
    }

    fn record(&mut self, operation: OperationId, verb: Verb, inode: Inode, effects: Vec<(Slot, Option<Inode>)>) {
        let fills = effects.iter().find(|(_, leads_to)| leads_to.is_some()).map(|(slot, _)| slot);
        let needs = fills.and_then(|fills| {
            let left_by_rename = |pending: &&PendingName| {
                pending.verb == Verb::Rename && pending.effects.iter().any(|(slot, to)| slot == fills && to.is_none())
            };
            self.pending.iter().rev().find(left_by_rename).map(|pending| pending.operation)
        });
        let pending = PendingName { operation, verb, inode, effects, needs };
        apply(&mut self.now, &pending);
        self.pending.push(pending);
    }
}

fn apply(directories: &mut Directories, pending: &PendingName) {
    for ((directory, name), leads_to) in &pending.effects {
        let names = directories.entry(*directory).or_default();
        match leads_to {
            Some(inode) => drop(names.insert(name.clone(), *inode)),
            // Only this file's own name: after an undone step, another file may stand under it.
            None if names.get(name) == Some(&pending.inode) => drop(names.remove(name)),
            None => {}
        }
    }
}

fn reachable(maps: &[&Directories], from: impl IntoIterator<Item = Inode>) -> BTreeSet<Inode> {
    let (mut found, mut waiting) = (BTreeSet::new(), Vec::from_iter(from));
    while let Some(inode) = waiting.pop() {
        if found.insert(inode) {
            waiting.extend(maps.iter().filter_map(|map| map.get(&inode)).flat_map(BTreeMap::values));
        }
    }
    found
}
