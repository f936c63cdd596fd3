//! What a process did to a disk, in order, as plain data; and between the operations the marks of whoever watched.
//!
//! A position in a journal is the number of operations before it. The position of an operation names it everywhere: a
//! crash keeps or loses operations by these numbers.

use std::{fmt, path::PathBuf};

use bytes::Bytes;
use eraft_core::GroupId;

/// What a name leads to; never used twice on one disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inode(pub u64);

/// Which operation, counted over the whole life of a disk.
pub type OperationId = u64;

/// One change of a disk, or one promise asked of it.
#[derive(Clone, PartialEq, Eq)]
pub enum Operation {
    /// A directory was made.
    CreateDir {
        /// Its name.
        path: PathBuf,
        /// What the name leads to.
        inode: Inode,
    },
    /// An empty file was made.
    CreateFile {
        /// Its name.
        path: PathBuf,
        /// What the name leads to.
        inode: Inode,
    },
    /// Bytes were written, lengthening the file where need be.
    Write {
        /// The file.
        inode: Inode,
        /// Where they begin.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// The file was cut or lengthened with zeros.
    SetLength {
        /// The file.
        inode: Inode,
        /// Its length now.
        len_bytes: u64,
    },
    /// The file's bytes and length were synced.
    Sync {
        /// The file.
        inode: Inode,
    },
    /// A name was changed for another, which it replaced.
    Rename {
        /// The old name.
        from: PathBuf,
        /// The new one.
        to: PathBuf,
    },
    /// The name of a file, or of an empty directory, was removed.
    Remove {
        /// The name.
        path: PathBuf,
    },
    /// The names in a directory were synced.
    SyncDir {
        /// The directory.
        path: PathBuf,
    },
    /// Nothing was done; something was seen.
    Mark(Mark),
}

/// What the one who drives a store knows at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The store's creation has been acknowledged.
    Created,
    /// The store was opened, and all that it shows was read: it may not be lost any more.
    Opened,
    /// A group's `save`-th save, counted from 1, was handed in.
    Submitted {
        /// The group.
        group: GroupId,
        /// Which of its saves.
        save: usize,
    },
    /// It was acknowledged.
    Acknowledged {
        /// The group.
        group: GroupId,
        /// Which of its saves.
        save: usize,
    },
    /// What begins here, for whoever reads the journal.
    Note(&'static str),
}

impl Operation {
    /// Whether it changes what the disk holds or what of it is durable; a mark does not.
    pub fn is_mutating(&self) -> bool {
        !matches!(self, Operation::Mark(_))
    }
}

impl fmt::Debug for Operation {
    /// One line, without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::CreateDir { path, inode } => write!(f, "create directory {} as {}", path.display(), inode.0),
            Operation::CreateFile { path, inode } => write!(f, "create {} as {}", path.display(), inode.0),
            Operation::Write { inode, offset, bytes } => {
                write!(f, "write {} bytes at {offset} of {}", bytes.len(), inode.0)
            }
            Operation::SetLength { inode, len_bytes } => write!(f, "set the length of {} to {len_bytes}", inode.0),
            Operation::Sync { inode } => write!(f, "sync {}", inode.0),
            Operation::Rename { from, to } => write!(f, "rename {} to {}", from.display(), to.display()),
            Operation::Remove { path } => write!(f, "remove {}", path.display()),
            Operation::SyncDir { path } => write!(f, "sync directory {}", path.display()),
            Operation::Mark(mark) => write!(f, "-- {mark:?}"),
        }
    }
}

/// Operations in the order in which they took effect.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// The number of the first operation.
    pub first: OperationId,
    /// The operations.
    pub operations: Vec<Operation>,
}

impl Journal {
    /// How many operations change the disk; marks are not counted.
    pub fn mutating(&self) -> usize {
        self.operations.iter().filter(|operation| operation.is_mutating()).count()
    }

    /// The operations around a position, one a line, the position marked.
    pub fn around(&self, position: usize) -> String {
        let (from, to) = (position.saturating_sub(12), (position + 4).min(self.operations.len()));
        let mut text = String::new();
        for (at, operation) in self.operations.iter().enumerate().take(to).skip(from) {
            if at == position {
                text.push_str("    ======== the power goes here ========\n");
            }
            text.push_str(&format!("    {:>6}  {operation:?}\n", self.first + at as u64));
        }
        if to == position {
            text.push_str("    ======== the power goes here ========\n");
        }
        text
    }
}
