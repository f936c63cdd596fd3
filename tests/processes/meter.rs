//! What a process and a directory take of the machine, as the kernel counts it.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use rustix::process::Pid;

const KIB: u64 = 1024;
/// What the system counts allocated blocks in, whatever the file system's own are.
const BLOCK_BYTES: u64 = 512;

/// Memory of one process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was resident since the start, or since [`Memory::forget_peak`].
    pub peak: u64,
}

impl Memory {
    /// Of the process `pid`; `None` where the system does not tell, or the process is gone.
    pub fn of(pid: Pid) -> Option<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        Some(Memory { resident: kib("VmRSS")? * KIB, peak: kib("VmHWM")? * KIB })
    }

    /// Has the process's peak count from now on.
    pub fn forget_peak(pid: Pid) {
        let _only_linux_can = fs::write(format!("/proc/{}/clear_refs", pid.as_raw_nonzero()), "5");
    }
}

/// What a directory takes of its disk, and in how many files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// By allocated blocks.
    pub bytes: u64,
    pub files: u64,
}

impl Disk {
    /// Of everything under `dir`; what goes while it is counted may count or not.
    pub fn of(dir: &Path) -> Disk {
        let mut all = Disk::default();
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.is_dir() {
                let inner = Disk::of(&entry.path());
                all = Disk { bytes: all.bytes + inner.bytes, files: all.files + inner.files };
            } else {
                all = Disk { bytes: all.bytes + found.blocks() * BLOCK_BYTES, files: all.files + 1 };
            }
        }
        all
    }
}

/// For a person.
pub fn mib(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}
