//! What a disk holds: names and bytes, what of them is durable, and what is left of them after a crash.
//!
//! The rules are those of docs/TESTING.md, "The disk we assume". Files are shared between images until one changes, so
//! that an image costs what differs from the one that it was made of.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    fates::Fates,
    file::{File, PendingWrite},
    journal::{Inode, Operation, OperationId},
    names::{Names, Verb},
};

/// A disk at one moment.
///
/// Invariant: every inode that a name leads to, now or after any crash, is a directory in `names` or a file in `files`.
#[derive(Clone)]
pub struct Image {
    pub(super) names: Arc<Names>,
    pub(super) files: BTreeMap<Inode, Arc<File>>,
}

/// Something that a crash may undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) operation: OperationId,
    pub(super) change: Change,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Name(Verb),
    Write(Inode, PendingWrite),
}

impl Default for Image {
    fn default() -> Image {
        Image::new()
    }
}

impl Image {
    /// An empty disk: nothing but the root directory `/`.
    pub fn new() -> Image {
        Image { names: Arc::new(Names::new()), files: BTreeMap::new() }
    }

    /// Does one operation, which was possible when it was recorded. What is done to a file that no name leads to any
    /// more changes nothing.
    pub fn apply(&mut self, id: OperationId, operation: &Operation) {
        match operation {
            Operation::CreateDir { path, inode } => {
                let slot = self.names.slot(path).expect("the journal makes directories before what is in them");
                Arc::make_mut(&mut self.names).create(id, slot, *inode, true);
            }
            Operation::CreateFile { path, inode } => {
                let slot = self.names.slot(path).expect("the journal makes directories before what is in them");
                Arc::make_mut(&mut self.names).create(id, slot, *inode, false);
                self.files.insert(*inode, Arc::default());
            }
            Operation::Write { inode, offset, bytes } => self.change(*inode, |file| file.write_at(id, *offset, bytes)),
            Operation::SetLength { inode, len_bytes } => self.change(*inode, |file| file.set_len(id, *len_bytes)),
            Operation::Sync { inode } => self.change(*inode, File::sync),
            Operation::Rename { from, to } => {
                let slots = self.names.slot(from).zip(self.names.slot(to));
                let (from_slot, to_slot) = slots.expect("the journal renames what exists");
                let inode = self.names.find(from).expect("the journal renames what exists");
                Arc::make_mut(&mut self.names).rename(id, from_slot, to_slot, inode);
            }
            Operation::Remove { path } => {
                let found = self.names.slot(path).zip(self.names.find(path));
                let (slot, inode) = found.expect("the journal removes what exists");
                Arc::make_mut(&mut self.names).remove(id, slot, inode);
            }
            Operation::SyncDir { path } => {
                let inode = self.names.find(path).expect("the journal syncs directories that exist");
                Arc::make_mut(&mut self.names).sync(inode);
            }
            Operation::Mark(_) => {}
        }
    }

    /// What the power leaves, as `fates` says wherever the disk promises nothing. All of it is durable.
    pub fn crash(&self, fates: &mut dyn Fates) -> Image {
        let names = match self.names.pending().is_empty() {
            true => Arc::clone(&self.names),
            false => Arc::new(self.names.crash(fates)),
        };
        let kept = names.referenced();
        let stale = |seed: u64, sector: usize| {
            let other = self.files.values().nth((seed % self.files.len().max(1) as u64) as usize)?;
            Some(other.sector(sector).clone())
        };
        let left = self.files.iter().filter(|(inode, _)| kept.contains(inode)).map(|(inode, file)| {
            let left = if file.is_durable() { Arc::clone(file) } else { Arc::new(file.crash(*inode, fates, &stale)) };
            (*inode, left)
        });
        Image { files: left.collect(), names }
    }

    /// Forgets the files that no name leads to, whatever a crash brings back, but for those in `open`.
    pub(super) fn forget_unreachable(&mut self, open: &BTreeMap<Inode, usize>) {
        let kept = self.names.referenced();
        self.files.retain(|inode, _| kept.contains(inode) || open.contains_key(inode));
    }

    /// All that a crash may undo, in the order in which it was done.
    pub(super) fn pending(&self) -> Vec<Pending> {
        let names = self.names.pending().iter();
        let names = names.map(|name| Pending { operation: name.operation, change: Change::Name(name.verb) });
        let writes = self.files.iter().filter(|(_, file)| !file.is_durable()).flat_map(|(inode, file)| {
            let of_file =
                |write: PendingWrite| Pending { operation: write.operation, change: Change::Write(*inode, write) };
            file.pending().into_iter().map(of_file)
        });
        let mut pending: Vec<Pending> = names.chain(writes).collect();
        pending.sort_by_key(|pending| pending.operation);
        pending
    }

    /// A number for the disk's content: what reads see, and what a crash would leave of it. Equal content, equal number,
    /// however it came about.
    pub fn content_hash(&self) -> u64 {
        let mut hash = 0;
        let mut mix = |number: u64| hash = (hash ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        for (path, inode) in self.names.paths() {
            mix(xxh3_64_with_seed(path.as_os_str().as_encoded_bytes(), 1));
            if let Some(file) = self.files.get(&inode) {
                file.hash(&mut mix);
            }
        }
        mix(self.names.pending().len() as u64);
        hash
    }

    /// Every path, with its length where it is a file.
    pub fn listing(&self) -> Vec<(PathBuf, Option<u64>)> {
        let length = |inode: &Inode| self.files.get(inode).map(|file| file.len());
        self.names.paths().into_iter().map(|(path, inode)| (path, length(&inode))).collect()
    }

    /// The bytes under a name, as reads see them; `None` where no file has it.
    pub fn read_file(&self, path: impl AsRef<std::path::Path>) -> Option<Vec<u8>> {
        let file = self.files.get(&self.names.find(path.as_ref())?)?;
        let mut bytes = vec![0; file.len() as usize];
        file.read_at(&mut bytes, 0);
        Some(bytes)
    }

    fn change(&mut self, inode: Inode, change: impl FnOnce(&mut File)) {
        if let Some(file) = self.files.get_mut(&inode) {
            change(Arc::make_mut(file));
        }
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.listing()).finish()
    }
}
