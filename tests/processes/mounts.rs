//! Directories that a disk bounds, or that nobody may write to: a small tmpfs, and a read-only view.
//!
//! Both are mounts, which take root. Each goes with the test that made it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use eraft_conformance::machine::skip;

/// The probe that these stand for, in `cargo xtask test`.
const PROBE: &str = "small-tmpfs";

/// Something mounted at a directory of its own.
pub struct Mounted(PathBuf);

impl Mounted {
    /// A disk of `mebibytes` at `at`, or the reason, printed, why `test` is skipped.
    pub fn small_disk(test: &str, at: PathBuf, mebibytes: u64) -> Option<Mounted> {
        let options = format!("size={mebibytes}m,mode=0700");
        Mounted::new(test, at, &[&["-t", "tmpfs", "-o", &options, "tmpfs"]])
    }

    /// The directory `of` as it is, but read-only, at `at`; or the reason, printed, why `test` is skipped.
    pub fn read_only_view(test: &str, of: &Path, at: PathBuf) -> Option<Mounted> {
        let of = of.to_str().unwrap();
        Mounted::new(test, at, &[&["-o", "bind", of], &["-o", "remount,ro,bind", of]])
    }

    fn new(test: &str, at: PathBuf, calls: &[&[&str]]) -> Option<Mounted> {
        fs::create_dir(&at).unwrap();
        let mounted = Mounted(at);
        for arguments in calls {
            let done = Command::new("mount").args(*arguments).arg(&mounted.0).output();
            if !done.is_ok_and(|done| done.status.success()) {
                skip(test, PROBE, "nothing can be mounted here; run as root");
                return None;
            }
        }
        Some(mounted)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes up all of its space but `left_bytes`, with a file that is not the node's.
    pub fn fill(&self, left_bytes: u64) {
        let found = rustix::fs::statvfs(&self.0).unwrap();
        let filler = vec![0; usize::try_from((found.f_bavail * found.f_frsize).saturating_sub(left_bytes)).unwrap()];
        fs::write(self.0.join("filler"), filler).unwrap();
    }

    /// Takes the filler away, if there is one.
    pub fn free(&self) {
        let filler = self.0.join("filler");
        if filler.exists() {
            fs::remove_file(filler).unwrap();
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}
