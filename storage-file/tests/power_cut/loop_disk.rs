//! A file system in a file, whose power can be cut.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// The file systems that know how to be shut down.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FileSystem {
    Ext4,
    Xfs,
}

/// A mounted loop device, unmounted and removed when it is dropped, also by a failing test.
pub(crate) struct LoopDisk {
    directory: tempfile::TempDir,
    mounted: bool,
}

impl FileSystem {
    /// The name of what a machine must offer for it.
    pub(crate) fn probe(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "loop-ext4",
            FileSystem::Xfs => "loop-xfs",
        }
    }
}

impl LoopDisk {
    /// A fresh file system; an error says what this machine lacks for it.
    pub(crate) fn new(kind: FileSystem) -> Result<LoopDisk, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("not root".to_owned());
        }
        // The smallest that its mkfs accepts; the file is sparse.
        let (mkfs, mebibytes) = match kind {
            FileSystem::Ext4 => ("mkfs.ext4", 64),
            FileSystem::Xfs => ("mkfs.xfs", 320),
        };
        let directory =
            tempfile::Builder::new().prefix("eraft-power-cut-").tempdir().map_err(|error| error.to_string())?;
        let mut disk = LoopDisk { directory, mounted: false };
        let image = File::create(disk.image()).map_err(|error| error.to_string())?;
        image.set_len(mebibytes << 20).map_err(|error| error.to_string())?;
        std::fs::create_dir(disk.path()).map_err(|error| error.to_string())?;
        run(mkfs, &[Path::new("-q"), &disk.image()])?;
        run("xfs_io", &[Path::new("-V")])?;
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    /// From now on nothing reaches the disk, and nothing that waits in memory ever will.
    pub(crate) fn cut_power(&self) {
        run("xfs_io", &[Path::new("-x"), Path::new("-c"), Path::new("shutdown"), &self.path()]).unwrap();
    }

    /// Takes it off and puts it back: memory is forgotten, the journal is replayed.
    pub(crate) fn restart(&mut self) {
        self.unmount().unwrap();
        self.mount().unwrap();
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    fn mount(&mut self) -> Result<(), String> {
        run("mount", &[Path::new("-o"), Path::new("loop"), &self.image(), &self.path()])?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), String> {
        let mut outcome = Ok(());
        // A process that was just killed may hold it for another moment.
        for _ in 0..50 {
            outcome = run("umount", &[&self.path()]);
            if outcome.is_ok() {
                self.mounted = false;
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        outcome
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        if self.mounted
            && let Err(error) = self.unmount()
        {
            let _last_resort = run("umount", &[Path::new("-l"), &self.path()]);
            println!("{} did not come off at once: {error}", self.path().display());
        }
    }
}

fn run(program: &str, arguments: &[&Path]) -> Result<(), String> {
    // Administrators' programs are often missing from a user's path.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}
