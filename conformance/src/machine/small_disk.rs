//! A disk that is soon full.

use std::path::{Path, PathBuf};

use super::{janitor::Janitor, run};

/// The name of what a machine must offer for it.
pub const SMALL_TMPFS: &str = "small-tmpfs";

/// A mounted tmpfs. It comes off when it is dropped, also by a failing test, and when the test's process ends.
#[derive(Debug)]
pub struct SmallDisk {
    directory: PathBuf,
    _janitor: Janitor,
}

impl SmallDisk {
    /// A fresh one of so many MiB.
    ///
    /// # Errors
    /// What this machine lacks for it.
    pub fn new(mebibytes: u64) -> Result<SmallDisk, String> {
        let directory =
            tempfile::Builder::new().prefix("eraft-small-disk-").tempdir().map_err(|error| error.to_string())?.keep();
        let mounted = directory.join("mounted");
        let janitor = Janitor::hire(&mounted, &directory)?;
        std::fs::create_dir(&mounted).map_err(|error| error.to_string())?;
        let options = format!("size={mebibytes}m,mode=0700");
        run(
            "mount",
            [Path::new("-t"), Path::new("tmpfs"), Path::new("-o"), Path::new(&options), Path::new("tmpfs"), &mounted],
        )?;
        Ok(SmallDisk { directory, _janitor: janitor })
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.directory.join("mounted")
    }
}
