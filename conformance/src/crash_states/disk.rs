//! A disk in memory that writes a journal: what the author of a backend puts under a store instead of a real one.
//!
//! A backend over files does each of its calls here by the call of the same name; one over a single file (a database with
//! a storage trait of its own) makes that file once, and hands on its reads, writes, lengths and syncs. Nothing here syncs
//! unasked.
//!
//! A [`Disk`] is a process's view: after [`Disk::kill`] it reaches nothing any more, whatever threads still hold it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;

use super::{
    Image,
    journal::{Inode, Journal, Mark, Operation, OperationId},
};

/// After this a store that was to write, and has not, counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// A disk as one process sees it.
#[derive(Clone)]
pub struct Disk {
    shared: Arc<Shared>,
    process: u64,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    image: Image,
    journal: Journal,
    next_inode: u64,
    /// Counts the processes that have used the disk.
    process: u64,
    locked: BTreeSet<Inode>,
    open: BTreeMap<Inode, usize>,
    /// Changes wait while this is set.
    held: bool,
    waiting: usize,
}

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Dir,
    /// A file of this length.
    File {
        /// In bytes.
        len_bytes: u64,
    },
}

impl Disk {
    /// An empty disk: nothing but the root directory `/`.
    pub fn new() -> Disk {
        Disk::of(Image::new(), 0, 1)
    }

    /// A disk that holds `image`; its operations are numbered from `first`, and new files from `first_inode`. Both must be
    /// greater than all that the image knows.
    pub fn of(image: Image, first: OperationId, first_inode: u64) -> Disk {
        let state = State {
            image,
            journal: Journal { first, operations: Vec::new() },
            next_inode: first_inode,
            process: 0,
            locked: BTreeSet::new(),
            open: BTreeMap::new(),
            held: false,
            waiting: 0,
        };
        Disk { shared: Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }), process: 0 }
    }

    // For whoever drives the store.

    /// The process ends: every view and handle from before reaches nothing, locks are free. What was written stays, and
    /// is as durable as it was. The new process's view.
    #[must_use]
    pub fn kill(&self) -> Disk {
        let mut state = self.state();
        state.process += 1;
        state.locked.clear();
        state.open.clear();
        state.held = false;
        self.shared.changed.notify_all();
        Disk { shared: Arc::clone(&self.shared), process: state.process }
    }

    /// Puts a mark into the journal.
    pub fn mark(&self, mark: Mark) {
        self.state().journal.operations.push(Operation::Mark(mark));
    }

    /// The journal so far, and the disk as it is.
    pub fn look(&self) -> (Journal, Image) {
        let state = self.state();
        (state.journal.clone(), state.image.clone())
    }

    /// How many changes the journal has.
    pub fn operations(&self) -> usize {
        self.state().journal.mutating()
    }

    /// The number that the next new file gets.
    pub fn next_inode(&self) -> u64 {
        self.state().next_inode
    }

    /// Lets no change through until [`Disk::let_go`]: a store that is given saves meanwhile gathers them, on any machine.
    pub fn hold(&self) {
        self.state().held = true;
    }

    /// Waits until a change is being held up.
    ///
    /// # Panics
    /// If none comes within a minute.
    pub fn wait_until_held_up(&self) {
        let wait = |state: &mut State| state.waiting == 0;
        let waited = self.shared.changed.wait_timeout_while(self.state(), STUCK_AFTER, wait);
        let (state, ended) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(state);
        assert!(!ended.timed_out(), "stuck: a save was handed in, and nothing was written within {STUCK_AFTER:?}");
    }

    /// Lets changes through again.
    pub fn let_go(&self) {
        self.state().held = false;
        self.shared.changed.notify_all();
    }

    // For the store.

    /// Makes a directory; its parent must exist, and the name must not.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` for the parent, `Other` for a process that is gone.
    pub fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin_change()?;
        let inode = state.new_inode(path)?;
        state.record(Operation::CreateDir { path: path.to_owned(), inode });
        Ok(())
    }

    /// Makes an empty file that does not exist, open for reading and writing.
    ///
    /// # Errors
    /// As for [`Disk::create_dir`].
    pub fn create_file(&self, path: &Path) -> io::Result<DiskFile> {
        let mut state = self.begin_change()?;
        let inode = state.new_inode(path)?;
        state.record(Operation::CreateFile { path: path.to_owned(), inode });
        Ok(self.handle(&mut state, inode))
    }

    /// Opens a file that exists.
    ///
    /// # Errors
    /// `NotFound`, `IsADirectory`, `Other` for a process that is gone.
    pub fn open_file(&self, path: &Path) -> io::Result<DiskFile> {
        let mut state = self.begin()?;
        match state.node(path)? {
            (_, Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            (inode, Node::File { .. }) => Ok(self.handle(&mut state, inode)),
        }
    }

    /// What stands under a name.
    ///
    /// # Errors
    /// `NotFound`, `Other` for a process that is gone.
    pub fn node(&self, path: &Path) -> io::Result<Node> {
        Ok(self.begin()?.node(path)?.1)
    }

    /// The names in a directory.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `Other` for a process that is gone.
    pub fn list(&self, path: &Path) -> io::Result<Vec<(OsString, Node)>> {
        let state = self.begin()?;
        let inode = state.dir(path)?;
        let names = state.image.names.list(inode).into_iter().flatten();
        names.map(|(name, _)| Ok((name.clone(), state.node(&path.join(name))?.1))).collect()
    }

    /// Gives a file or directory another name, replacing a file by a file and an empty directory by a directory.
    ///
    /// # Errors
    /// `NotFound`, `IsADirectory`, `NotADirectory`, `DirectoryNotEmpty`, `Other` for a process that is gone.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.begin_change()?;
        let is_dir = state.node(from)?.1 == Node::Dir;
        if from == to {
            return Ok(());
        }
        match state.node(to) {
            Ok((_, Node::Dir)) if !is_dir => return Err(io::ErrorKind::IsADirectory.into()),
            Ok((_, Node::File { .. })) if is_dir => return Err(io::ErrorKind::NotADirectory.into()),
            Ok((inode, Node::Dir)) => state.must_be_empty(inode)?,
            Ok((_, Node::File { .. })) => {}
            Err(_) if state.image.names.slot(to).is_none() => return Err(io::ErrorKind::NotFound.into()),
            Err(_) => {}
        }
        state.record(Operation::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    /// Removes a file's name; its bytes stay readable through handles that are open.
    ///
    /// # Errors
    /// `NotFound`, `IsADirectory`, `Other` for a process that is gone.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin_change()?;
        if state.node(path)?.1 == Node::Dir {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        state.record(Operation::Remove { path: path.to_owned() });
        Ok(())
    }

    /// Removes a directory that holds nothing.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `DirectoryNotEmpty`, `Other` for a process that is gone.
    pub fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin_change()?;
        let inode = state.dir(path)?;
        state.must_be_empty(inode)?;
        state.record(Operation::Remove { path: path.to_owned() });
        Ok(())
    }

    /// Makes durable which names a directory holds.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `Other` for a process that is gone.
    pub fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin_change()?;
        state.dir(path)?;
        state.record(Operation::SyncDir { path: path.to_owned() });
        let State { image, open, .. } = &mut *state;
        image.forget_unreachable(open);
        Ok(())
    }

    /// Takes the exclusive lock of a file that exists.
    ///
    /// # Errors
    /// `WouldBlock` where it is held, `NotFound`, `Other` for a process that is gone.
    pub fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        let mut state = self.begin()?;
        let (inode, _) = state.node(path)?;
        if !state.locked.insert(inode) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(DiskLock { disk: self.clone(), inode })
    }

    fn handle(&self, state: &mut State, inode: Inode) -> DiskFile {
        *state.open.entry(inode).or_default() += 1;
        DiskFile { disk: self.clone(), inode }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.process != self.process {
            return Err(io::Error::other("the process that this call comes from is gone"));
        }
        Ok(state)
    }

    fn begin_change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state.held && state.process == self.process {
            state.waiting += 1;
            self.shared.changed.notify_all();
            let held = |state: &mut State| state.held && state.process == self.process;
            state = self.shared.changed.wait_while(state, held).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        drop(state);
        self.begin()
    }
}

impl Default for Disk {
    fn default() -> Disk {
        Disk::new()
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("process", &self.process).field("image", &self.state().image).finish()
    }
}

impl State {
    fn record(&mut self, operation: Operation) {
        let id = self.journal.first + self.journal.operations.len() as u64;
        self.image.apply(id, &operation);
        self.journal.operations.push(operation);
    }

    fn new_inode(&mut self, path: &Path) -> io::Result<Inode> {
        if self.image.names.find(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.image.names.slot(path).ok_or(io::ErrorKind::NotFound)?;
        let inode = Inode(self.next_inode);
        self.next_inode += 1;
        Ok(inode)
    }

    fn node(&self, path: &Path) -> io::Result<(Inode, Node)> {
        let inode = self.image.names.find(path).ok_or(io::ErrorKind::NotFound)?;
        match self.image.files.get(&inode) {
            Some(file) => Ok((inode, Node::File { len_bytes: file.len() })),
            None => Ok((inode, Node::Dir)),
        }
    }

    fn dir(&self, path: &Path) -> io::Result<Inode> {
        match self.node(path)? {
            (inode, Node::Dir) => Ok(inode),
            (_, Node::File { .. }) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn must_be_empty(&self, directory: Inode) -> io::Result<()> {
        match self.image.names.list(directory).is_none_or(BTreeMap::is_empty) {
            true => Ok(()),
            false => Err(io::ErrorKind::DirectoryNotEmpty.into()),
        }
    }
}

/// An open file. Every call is positioned, so that threads share one handle.
pub struct DiskFile {
    disk: Disk,
    inode: Inode,
}

impl DiskFile {
    /// Reads at `offset`; gives fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// `Other` for a process that is gone.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.begin()?;
        Ok(state.image.files.get(&self.inode).map_or(0, |file| file.read_at(buf, offset)))
    }

    /// Writes all the bytes at `offset`, lengthening the file where need be.
    ///
    /// # Errors
    /// `Other` for a process that is gone.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.disk.begin_change()?.record(Operation::Write { inode: self.inode, offset, bytes });
        Ok(())
    }

    /// How long the file is.
    ///
    /// # Errors
    /// `Other` for a process that is gone.
    pub fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.disk.begin()?.image.files.get(&self.inode).map_or(0, |file| file.len()))
    }

    /// Cuts the file, or lengthens it with zeros.
    ///
    /// # Errors
    /// `Other` for a process that is gone.
    pub fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.disk.begin_change()?.record(Operation::SetLength { inode: self.inode, len_bytes });
        Ok(())
    }

    /// Makes all that was written durable, and the length with it.
    ///
    /// # Errors
    /// `Other` for a process that is gone.
    pub fn sync(&self) -> io::Result<()> {
        self.disk.begin_change()?.record(Operation::Sync { inode: self.inode });
        Ok(())
    }
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.process == self.disk.process
            && let Some(handles) = state.open.get_mut(&self.inode)
        {
            *handles -= 1;
            if *handles == 0 {
                state.open.remove(&self.inode);
            }
        }
    }
}

impl fmt::Debug for DiskFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskFile").field("inode", &self.inode).finish_non_exhaustive()
    }
}

/// A lock that is held until this guard is dropped.
pub struct DiskLock {
    disk: Disk,
    inode: Inode,
}

impl Drop for DiskLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.process == self.disk.process {
            state.locked.remove(&self.inode);
        }
    }
}

impl fmt::Debug for DiskLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskLock").field("inode", &self.inode).finish_non_exhaustive()
    }
}

/// The path of every file, for messages.
pub(super) fn listing(image: &Image) -> String {
    let line = |(path, len): (PathBuf, Option<u64>)| match len {
        Some(len) => format!("    {:>9}  {}\n", len, path.display()),
        None => format!("    {:>9}  {}\n", "directory", path.display()),
    };
    image.listing().into_iter().map(line).collect()
}
