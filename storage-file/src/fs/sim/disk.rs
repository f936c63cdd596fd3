//! The state of a simulated disk: inodes, names, faults, and the events that befall all of them at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io,
    path::{Component, Path, PathBuf},
};

use fastrand::Rng;
use rustix::io::Errno;

use super::{
    Counters, Fault, Policy, Reach,
    contents::{Contents, Dice, Survivors},
    faults::Plan,
    names::{Inode, Names},
};
use crate::fs::FileKind;

pub(super) const ROOT: Inode = 0;

/// Everything behind the one lock of a [`SimFs`](super::SimFs).
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) seed: u64,
    pub(super) rng: Rng,
    pub(super) names: Names,
    pub(super) nodes: BTreeMap<Inode, Node>,
    pub(super) plan: Plan,
    pub(super) reach: Reach,
    pub(super) capacity_bytes: Option<u64>,
    /// Counts kills and crashes: a handle or lock of an earlier one is stale.
    pub(super) boot: u64,
    pub(super) locked: BTreeSet<Inode>,
    /// How many handles each file has.
    pub(super) open: BTreeMap<Inode, u64>,
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
    next_inode: Inode,
    next_write: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) mode: u32,
    pub(super) body: Body,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    File(Contents),
    Dir,
    Symlink,
}

impl Disk {
    pub(super) fn new(seed: u64) -> Disk {
        Disk {
            seed,
            rng: Rng::with_seed(seed),
            names: Names::new(ROOT),
            nodes: BTreeMap::from([(ROOT, Node { mode: 0o700, body: Body::Dir })]),
            plan: Plan::default(),
            reach: Reach::default(),
            capacity_bytes: None,
            boot: 0,
            locked: BTreeSet::new(),
            open: BTreeMap::new(),
            read_bytes: 0,
            written_bytes: 0,
            next_inode: ROOT + 1,
            next_write: 0,
        }
    }

    pub(super) fn fork(&self, seed: u64) -> Disk {
        Disk {
            rng: Rng::with_seed(seed),
            names: self.names.clone(),
            nodes: self.nodes.clone(),
            capacity_bytes: self.capacity_bytes,
            next_inode: self.next_inode,
            next_write: self.next_write,
            ..Disk::new(seed)
        }
    }

    // Finding.

    /// The directory that a path's last name stands in, and that name.
    pub(super) fn slot(&self, path: &Path) -> io::Result<(Inode, OsString)> {
        let mut names = Vec::new();
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => names.push(name),
                Component::ParentDir | Component::Prefix(_) => return Err(Errno::INVAL.into()),
            }
        }
        let Some((name, parents)) = names.split_last() else { return Err(Errno::BUSY.into()) };
        let mut directory = ROOT;
        for parent in parents {
            directory = self.names.lookup(directory, parent).ok_or(Errno::NOENT)?;
            self.names.list(directory).ok_or(Errno::NOTDIR)?;
        }
        Ok((directory, (*name).to_owned()))
    }

    /// What a path leads to.
    pub(super) fn find(&self, path: &Path) -> io::Result<Inode> {
        match self.slot(path) {
            Ok((directory, name)) => Ok(self.names.lookup(directory, &name).ok_or(Errno::NOENT)?),
            // Only the root has no name.
            Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => Ok(ROOT),
            Err(error) => Err(error),
        }
    }

    /// The same, where it must be a directory.
    pub(super) fn find_dir(&self, path: &Path) -> io::Result<Inode> {
        let inode = self.find(path)?;
        self.names.list(inode).map(|_| inode).ok_or(Errno::NOTDIR.into())
    }

    pub(super) fn kind(&self, inode: Inode) -> io::Result<FileKind> {
        match self.nodes.get(&inode).map(|node| &node.body) {
            Some(Body::File(_)) => Ok(FileKind::File),
            Some(Body::Dir) => Ok(FileKind::Dir),
            Some(Body::Symlink) => Ok(FileKind::Symlink),
            None => Err(Errno::NOENT.into()),
        }
    }

    pub(super) fn contents(&mut self, inode: Inode) -> io::Result<&mut Contents> {
        match self.nodes.get_mut(&inode).map(|node| &mut node.body) {
            Some(Body::File(contents)) => Ok(contents),
            Some(Body::Dir) => Err(Errno::ISDIR.into()),
            Some(Body::Symlink) => Err(Errno::LOOP.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let (mut found, mut waiting) = (Vec::new(), vec![(PathBuf::from("/"), ROOT)]);
        while let Some((path, directory)) = waiting.pop() {
            for (name, inode) in self.names.list(directory).into_iter().flatten() {
                let path = path.join(name);
                found.push(path.clone());
                waiting.push((path, *inode));
            }
        }
        found.sort();
        found
    }

    // Changing.

    /// Gives a new inode a name that must be free.
    pub(super) fn create(&mut self, path: &Path, node: Node) -> io::Result<Inode> {
        let slot = self.slot(path).map_err(|error| match error.raw_os_error() {
            Some(raw) if raw == Errno::BUSY.raw_os_error() => Errno::EXIST.into(),
            _ => error,
        })?;
        if self.names.lookup(slot.0, &slot.1).is_some() {
            return Err(Errno::EXIST.into());
        }
        let inode = self.next_inode;
        self.next_inode += 1;
        self.names.create(slot, inode, matches!(node.body, Body::Dir));
        self.nodes.insert(inode, node);
        Ok(inode)
    }

    /// Takes as much of the bytes as `fault` and the free space allow.
    pub(super) fn write(&mut self, inode: Inode, bytes: &[u8], offset: u64, fault: Option<Fault>) -> io::Result<usize> {
        let offset = usize::try_from(offset).map_err(|_too_far| Errno::FBIG)?;
        let len = self.contents(inode)?.bytes().len() as u64;
        let end = offset.checked_add(bytes.len()).ok_or(Errno::FBIG)? as u64;
        let room = self.free_bytes().saturating_add(len);
        let fits = bytes.len() - usize::try_from(end.saturating_sub(room)).unwrap_or(usize::MAX).min(bytes.len());
        let wanted = match fault {
            // A failed write may have taken a part all the same.
            Some(fault) if fault != Fault::Short => self.rng.usize(..=fits),
            Some(_) if fits > 1 => self.rng.usize(1..fits),
            _ => fits,
        };
        let taken = bytes.get(..wanted).unwrap_or_default();
        let write = self.next_write;
        self.next_write += 1;
        self.contents(inode)?.write_at(taken, offset, write);
        self.written_bytes += taken.len() as u64;
        match fault.and_then(Fault::error) {
            Some(error) => Err(error),
            None if taken.is_empty() && !bytes.is_empty() => Err(Errno::NOSPC.into()),
            None => Ok(taken.len()),
        }
    }

    pub(super) fn sync(&mut self, inode: Inode, fault: Option<Fault>) -> io::Result<()> {
        let Disk { nodes, rng, reach, .. } = self;
        let Some(Node { body: Body::File(contents), .. }) = nodes.get_mut(&inode) else {
            return Err(Errno::BADF.into());
        };
        match fault.and_then(Fault::error) {
            None => contents.sync(rng),
            Some(error) => {
                reach.failed_syncs += 1;
                contents.fail_sync(rng, reach);
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let mut live = self.names.visible(ROOT);
        live.extend(self.open.keys());
        let lengths = live.iter().filter_map(|inode| self.nodes.get(inode)).map(|node| match &node.body {
            Body::File(contents) => contents.bytes().len() as u64,
            Body::Dir | Body::Symlink => 0,
        });
        lengths.sum()
    }

    /// Room for writes; without a bound, more than any test writes.
    pub(super) fn free_bytes(&self) -> u64 {
        // Without a bound it still counts down, as a large disk does.
        self.capacity_bytes.unwrap_or(1 << 50).saturating_sub(self.used_bytes())
    }

    pub(super) fn counters(&self) -> Counters {
        Counters { calls: self.plan.calls().clone(), read_bytes: self.read_bytes, written_bytes: self.written_bytes }
    }

    // What befalls everything at once.

    pub(super) fn kill(&mut self) {
        self.reach.kills += 1;
        self.reboot();
    }

    pub(super) fn crash(&mut self, policy: Policy) {
        self.reach.crashes += 1;
        self.reboot();
        // Now nearly all is lost, now nearly nothing: a fair coin alone would hardly ever lose just one thing.
        let keep_probability = [0.1, 0.5, 0.9].get(self.rng.usize(..3)).copied().unwrap_or(0.5);
        let stale: Vec<Vec<u8>> = self
            .nodes
            .values()
            .filter_map(|node| match &node.body {
                Body::File(contents) => Some(contents.bytes().to_vec()),
                Body::Dir | Body::Symlink => None,
            })
            .collect();
        self.names.crash(&mut self.rng, policy.names, keep_probability, &mut self.reach);
        self.forget_unreachable();
        let mut survivors = Survivors::default();
        let Disk { nodes, rng, reach, .. } = self;
        let mut dice = Dice { rng, data: policy.data, lengths: policy.lengths, keep_probability, stale: &stale };
        for node in nodes.values_mut() {
            if let Body::File(contents) = &mut node.body {
                contents.crash(&mut dice, reach, &mut survivors);
            }
        }
        let reordered = survivors.lost.first().zip(survivors.kept.last()).is_some_and(|(lost, kept)| lost < kept);
        reach.writes_reordered += u64::from(reordered);
        reach.writes_torn += survivors.kept.intersection(&survivors.lost).count() as u64;
    }

    pub(super) fn drop_caches(&mut self) {
        for node in self.nodes.values_mut() {
            if let Body::File(contents) = &mut node.body {
                contents.drop_cache();
            }
        }
    }

    /// Frees the inodes that no name and no handle can reach any more, whatever a crash brings back.
    pub(super) fn forget_unreachable(&mut self) {
        let mut kept = self.names.referenced(ROOT);
        self.names.forget_all_but(&kept);
        kept.extend(self.open.keys());
        self.nodes.retain(|inode, _| kept.contains(inode));
    }

    fn reboot(&mut self) {
        self.boot += 1;
        self.plan.restore_power();
        self.locked.clear();
        self.open.clear();
    }
}
