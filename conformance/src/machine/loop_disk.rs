//! A file system in a file, whose power can be cut.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{is_root, janitor::Janitor, program::answer, run};

/// The file systems that know how to be shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileSystem {
    /// ext4, with the options that make it forgive least.
    Ext4,
    /// XFS.
    Xfs,
}

/// A mounted loop device. It comes off when it is dropped, also by a failing test, and when the test's process ends.
///
/// ```no_run
/// use eraft_conformance::machine::{FileSystem, LoopDisk, skip};
///
/// let mut disk = match LoopDisk::new(FileSystem::Ext4, 320) {
///     Ok(disk) => disk,
///     Err(reason) => return skip("my_test", FileSystem::Ext4.probe(), &reason),
/// };
/// std::fs::write(disk.path().join("file"), "not synced").unwrap();
/// disk.cut_power();
/// disk.restart();
/// assert!(!disk.path().join("file").exists());
/// ```
#[derive(Debug)]
pub struct LoopDisk {
    kind: FileSystem,
    directory: PathBuf,
    janitor: Option<Janitor>,
}

impl FileSystem {
    /// The name of what a machine must offer for it.
    pub fn probe(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "loop-ext4",
            FileSystem::Xfs => "loop-xfs",
        }
    }

    /// What makes one: the program, and the least that it accepts, in MiB.
    fn mkfs(self) -> (&'static str, u64) {
        match self {
            FileSystem::Ext4 => ("mkfs.ext4", 64),
            FileSystem::Xfs => ("mkfs.xfs", 320),
        }
    }

    /// ext4 commits its journal every five seconds and flushes what replaces a file: a help that no store may count on.
    fn options(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "commit=600,noauto_da_alloc",
            // It may be mounted a second time while a file system that was shut down is not quite gone.
            FileSystem::Xfs => "nouuid",
        }
    }
}

impl LoopDisk {
    /// A fresh file system of so many MiB, or of the least that its kind allows; the file is sparse.
    ///
    /// # Errors
    /// What this machine lacks for it.
    pub fn new(kind: FileSystem, mebibytes: u64) -> Result<LoopDisk, String> {
        if !is_root() {
            return Err("not root".to_owned());
        }
        let directory =
            tempfile::Builder::new().prefix("eraft-loop-disk-").tempdir().map_err(|error| error.to_string())?;
        let mut disk = LoopDisk { kind, directory: directory.keep(), janitor: None };
        disk.janitor = Some(Janitor::hire(&disk.path(), &disk.directory)?);
        let (mkfs, least) = kind.mkfs();
        let image_path = disk.image();
        let image = File::create(&image_path).map_err(|error| error.to_string())?;
        image.set_len(mebibytes.max(least) << 20).map_err(|error| error.to_string())?;
        std::fs::create_dir(disk.path()).map_err(|error| error.to_string())?;
        let mut options = vec![Path::new("-q")];
        // Or a part of ext4 would be for root alone, and a disk that root has filled have less than nothing for others.
        options.extend((kind == FileSystem::Ext4).then_some(["-m", "0"].map(Path::new)).into_iter().flatten());
        options.push(&image_path);
        run(mkfs, options)?;
        run("xfs_io", ["-V"])?;
        disk.mount()?;
        Ok(disk)
    }

    /// Which it is.
    pub fn kind(&self) -> FileSystem {
        self.kind
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.directory.join("mounted")
    }

    /// From now on nothing reaches the disk, and nothing that waits in memory ever will. Its journal is not flushed.
    ///
    /// # Panics
    /// Where it cannot be shut down.
    pub fn cut_power(&self) {
        run("xfs_io", [Path::new("-x"), Path::new("-c"), Path::new("shutdown"), &self.path()]).unwrap();
    }

    /// Takes it off and puts it back: memory is forgotten, the journal is replayed. Nothing may be open on it but what
    /// belongs to a process that was just killed.
    ///
    /// # Panics
    /// Where it does not come off, or not on again.
    pub fn restart(&mut self) {
        self.unmount().unwrap();
        self.mount().unwrap();
    }

    fn image(&self) -> PathBuf {
        self.directory.join("image")
    }

    /// On a loop device of its own every time. A process that unshares its mounts keeps what was mounted then; `mount -o loop`
    /// would find the old device again, and on it the file system that was shut down.
    fn mount(&self) -> Result<(), String> {
        let device = answer("losetup", [Path::new("--find"), Path::new("--show"), &self.image()])?;
        let device = Path::new(&device);
        let mounted = run("mount", [Path::new("-o"), Path::new(self.kind.options()), device, &self.path()]);
        // It is in use: it goes when it no longer is.
        run("losetup", [Path::new("--detach"), device])?;
        mounted
    }

    fn unmount(&self) -> Result<(), String> {
        let mut outcome = Ok(());
        // A process that was just killed may hold it for another moment.
        for _ in 0..3000 {
            outcome = run("umount", [&self.path()]);
            if outcome.is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        process::Stdio,
    };

    use super::*;
    use crate::machine::skip;

    /// What was synced is there after a cut; what was not is gone, bytes and names alike.
    fn a_power_cut_forgets(test: &str, kind: FileSystem) {
        let mut disk = match LoopDisk::new(kind, 64) {
            Ok(disk) => disk,
            Err(reason) => return skip(test, kind.probe(), &reason),
        };
        let (kept, renamed, lost) = (disk.path().join("kept"), disk.path().join("renamed"), disk.path().join("lost"));
        let mut file = File::create(&kept).unwrap();
        file.write_all(b"synced").unwrap();
        file.sync_all().unwrap();
        File::open(disk.path()).unwrap().sync_all().unwrap();
        file.write_all(b", not synced").unwrap();
        std::fs::rename(&kept, &renamed).unwrap();
        std::fs::write(&lost, "not synced").unwrap();
        drop(file);
        disk.cut_power();
        assert!(std::fs::write(disk.path().join("late"), "after the cut").is_err(), "the disk still takes writes");
        disk.restart();
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), "synced");
        assert!(!renamed.exists() && !lost.exists(), "a name that was not synced has survived");
    }

    #[test]
    fn power_comes_back_also_where_another_process_has_copied_the_mounts() {
        let test = "power_comes_back_also_where_another_process_has_copied_the_mounts";
        let mut disk = match LoopDisk::new(FileSystem::Ext4, 64) {
            Ok(disk) => disk,
            Err(reason) => return skip(test, FileSystem::Ext4.probe(), &reason),
        };
        let mut unshare = crate::machine::command("unshare");
        // It says a word when it has them, and ends with its input.
        unshare.args(["--mount", "sh", "-c", "echo here; cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut other = unshare.spawn().unwrap();
        let mut word = [0; 5];
        other.stdout.as_mut().unwrap().read_exact(&mut word).unwrap();
        disk.cut_power();
        disk.restart();
        let written = std::fs::write(disk.path().join("file"), "after the cut");
        drop(other.stdin.take());
        other.wait().unwrap();
        written.unwrap();
    }

    #[test]
    fn a_power_cut_forgets_what_was_not_synced_on_ext4() {
        a_power_cut_forgets("a_power_cut_forgets_what_was_not_synced_on_ext4", FileSystem::Ext4);
    }

    #[test]
    fn a_power_cut_forgets_what_was_not_synced_on_xfs() {
        a_power_cut_forgets("a_power_cut_forgets_what_was_not_synced_on_xfs", FileSystem::Xfs);
    }
}
