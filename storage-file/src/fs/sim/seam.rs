//! The simulated disk behind the seam: each call counted, failed where the plan says so, then done.

use std::{io, path::Path};

use rustix::io::Errno;

use super::{
    Call, Fault, SimFs,
    contents::Contents,
    disk::{Body, Disk, Node},
    names::Inode,
};
use crate::fs::{Access, DirEntry, FileKind, Fs, FsFile, FsLock, Metadata};

#[derive(Debug)]
struct SimFile {
    fs: SimFs,
    inode: Inode,
    boot: u64,
    access: Access,
}

#[derive(Debug)]
struct SimLock {
    fs: SimFs,
    inode: Inode,
    boot: u64,
}

impl SimFs {
    /// Counts the call and fails it where planned; for calls that have no part to do.
    fn begin(&self, call: Call) -> io::Result<std::sync::MutexGuard<'_, Disk>> {
        let mut disk = self.lock();
        match disk.plan.meet(call)?.and_then(Fault::error) {
            Some(error) => Err(error),
            None => Ok(disk),
        }
    }

    fn handle(&self, disk: &mut Disk, inode: Inode, access: Access) -> Box<dyn FsFile> {
        *disk.open.entry(inode).or_default() += 1;
        Box::new(SimFile { fs: self.clone(), inode, boot: disk.boot, access })
    }
}

impl Fs for SimFs {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.begin(Call::CreateDir)?.create(path, Node { mode: 0o700, body: Body::Dir }).map(drop)
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let mut disk = self.begin(Call::CreateFile)?;
        let inode = disk.create(path, Node { mode: 0o600, body: Body::File(Contents::default()) })?;
        Ok(self.handle(&mut disk, inode, Access::ReadWrite))
    }

    fn open_file(&self, path: &Path, access: Access) -> io::Result<Box<dyn FsFile>> {
        let mut disk = self.begin(Call::Open)?;
        let inode = disk.find(path)?;
        disk.contents(inode)?;
        Ok(self.handle(&mut disk, inode, access))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let disk = self.begin(Call::ReadDir)?;
        let directory = disk.find_dir(path)?;
        let names = disk.names.list(directory).into_iter().flatten();
        names.map(|(name, inode)| Ok(DirEntry { name: name.clone(), kind: disk.kind(*inode)? })).collect()
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let mut disk = self.begin(Call::Metadata)?;
        let inode = disk.find(path)?;
        let kind = disk.kind(inode)?;
        let mode = disk.nodes.get(&inode).map_or(0, |node| node.mode);
        let len_bytes = disk.contents(inode).map_or(0, |contents| contents.bytes().len() as u64);
        Ok(Metadata { kind, len_bytes, mode })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.begin(Call::Rename)?;
        let (from_slot, to_slot) = (disk.slot(from)?, disk.slot(to)?);
        let inode = disk.names.lookup(from_slot.0, &from_slot.1).ok_or(Errno::NOENT)?;
        if from_slot == to_slot {
            return Ok(());
        }
        let is_dir = disk.kind(inode)? == FileKind::Dir;
        if is_dir && to.starts_with(from) {
            return Err(Errno::INVAL.into());
        }
        if let Some(replaced) = disk.names.lookup(to_slot.0, &to_slot.1) {
            match (is_dir, disk.names.list(replaced)) {
                (true, None) => return Err(Errno::NOTDIR.into()),
                (false, Some(_)) => return Err(Errno::ISDIR.into()),
                (true, Some(held)) if !held.is_empty() => return Err(Errno::NOTEMPTY.into()),
                (true, Some(_)) | (false, None) => {}
            }
        }
        disk.names.rename(from_slot, to_slot, inode);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.begin(Call::RemoveFile)?;
        let slot = disk.slot(path)?;
        let inode = disk.names.lookup(slot.0, &slot.1).ok_or(Errno::NOENT)?;
        if disk.kind(inode)? == FileKind::Dir {
            return Err(Errno::ISDIR.into());
        }
        disk.names.remove(slot, inode);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.begin(Call::RemoveDir)?;
        let slot = disk.slot(path)?;
        let inode = disk.names.lookup(slot.0, &slot.1).ok_or(Errno::NOENT)?;
        if !disk.names.list(inode).ok_or(Errno::NOTDIR)?.is_empty() {
            return Err(Errno::NOTEMPTY.into());
        }
        disk.names.remove(slot, inode);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        let fault = disk.plan.meet(Call::SyncDir)?;
        let directory = disk.find_dir(path)?;
        if let Some(error) = fault.and_then(Fault::error) {
            disk.reach.failed_syncs += 1;
            return Err(error);
        }
        disk.names.sync(directory);
        disk.forget_unreachable();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        let mut disk = self.begin(Call::Lock)?;
        let inode = disk.find(path)?;
        disk.contents(inode)?;
        if !disk.locked.insert(inode) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { fs: self.clone(), inode, boot: disk.boot }))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let disk = self.begin(Call::Metadata)?;
        disk.find(path)?;
        Ok(disk.free_bytes())
    }
}

impl SimFile {
    /// Refuses a handle from before a crash or kill, then counts the call.
    fn begin(&self, call: Call) -> io::Result<(std::sync::MutexGuard<'_, Disk>, Option<Fault>)> {
        let mut disk = self.fs.lock();
        if disk.boot != self.boot {
            return Err(io::Error::other("a stale handle: its process is gone since a crash or a kill"));
        }
        let fault = disk.plan.meet(call)?;
        Ok((disk, fault))
    }
}

impl FsFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let (mut disk, fault) = self.begin(Call::Read)?;
        if let Some(error) = fault.and_then(Fault::error) {
            return Err(error);
        }
        let wanted = match fault {
            Some(_) if buf.len() > 1 => disk.rng.usize(1..buf.len()),
            _ => buf.len(),
        };
        let read = disk.contents(self.inode)?.read_at(buf.get_mut(..wanted).unwrap_or_default(), offset);
        disk.read_bytes += read as u64;
        Ok(read)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let (mut disk, fault) = self.begin(Call::Write)?;
        if self.access == Access::Read {
            return Err(Errno::BADF.into());
        }
        disk.write(self.inode, buf, offset, fault)
    }

    fn len_bytes(&self) -> io::Result<u64> {
        let (mut disk, fault) = self.begin(Call::Metadata)?;
        match fault.and_then(Fault::error) {
            Some(error) => Err(error),
            None => Ok(disk.contents(self.inode)?.bytes().len() as u64),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mut disk, fault) = self.begin(Call::SyncData)?;
        disk.sync(self.inode, fault)
    }

    fn sync_all(&self) -> io::Result<()> {
        let (mut disk, fault) = self.begin(Call::SyncAll)?;
        disk.sync(self.inode, fault)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut disk = self.fs.lock();
        if disk.boot == self.boot
            && let Some(handles) = disk.open.get_mut(&self.inode)
        {
            *handles -= 1;
            if *handles == 0 {
                disk.open.remove(&self.inode);
                disk.forget_unreachable();
            }
        }
    }
}

impl FsLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut disk = self.fs.lock();
        if disk.boot == self.boot {
            disk.locked.remove(&self.inode);
        }
    }
}
