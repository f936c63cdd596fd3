//! What this machine offers to tests that need more than a Rust toolchain.
//!
//! A probe tries the thing itself where that is cheap (a loop device is mounted, not guessed at from a device node), and
//! leaves nothing behind outside the target directory. A test that needs something absent prints
//! `SKIPPED <test>: <reason>`; the table printed here says the same beforehand, with the way to install it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cargo;

/// One thing that a test may need.
#[derive(Debug)]
pub(crate) struct Probe {
    /// The name in `--require`, in `ci/required` and in a test's reason for skipping.
    pub(crate) name: &'static str,
    /// Which tests need it.
    pub(crate) serves: &'static str,
    /// How to have it.
    pub(crate) install: &'static str,
    check: fn() -> Result<String, String>,
}

/// What a probe found: what is there, or what is missing.
#[derive(Debug)]
pub(crate) struct Finding {
    /// The probe that was made.
    pub(crate) probe: &'static Probe,
    /// A word on what was found, or on what was not.
    pub(crate) found: Result<String, String>,
}

/// Both need `xfs_io`, which cuts the power.
const LOOP_EXT4: &str = "run as root; apt-get install e2fsprogs xfsprogs util-linux mount";
const LOOP_XFS: &str = "run as root; apt-get install xfsprogs util-linux mount";

/// Everything probed, in the order of the table.
pub(crate) static PROBES: [Probe; 6] = [
    Probe {
        name: "redis-tools",
        serves: "README's sessions, the example spoken to by redis-cli",
        install: "apt-get install redis-tools",
        check: || programs(&["redis-cli", "redis-benchmark"]),
    },
    Probe {
        name: "redis-py",
        serves: "the example spoken to by redis-py's cluster client",
        install: "apt-get install python3-venv, and let it reach pypi.org once",
        check: redis_py,
    },
    Probe {
        name: "loop-ext4",
        serves: "power cuts on a real ext4",
        install: LOOP_EXT4,
        check: || loop_mount("ext4", 32),
    },
    Probe { name: "loop-xfs", serves: "power cuts on a real XFS", install: LOOP_XFS, check: || loop_mount("xfs", 320) },
    Probe {
        name: "strace",
        serves: "failing system calls of an unmodified process",
        install: "apt-get install strace",
        check: || programs(&["strace"]),
    },
    Probe {
        name: "small-tmpfs",
        serves: "nodes on full and on read-only disks",
        install: "run as root; apt-get install mount",
        check: small_tmpfs,
    },
];

/// Makes every probe.
pub(crate) fn all() -> Vec<Finding> {
    PROBES.iter().map(|probe| Finding { probe, found: (probe.check)() }).collect()
}

/// Prints the findings as a table: what is included, what will be skipped, and how to change that.
pub(crate) fn print_table(findings: &[Finding]) {
    println!("this machine:");
    for Finding { probe, found } in findings {
        match found {
            Ok(what) => println!("  included  {:<12} {what}; for {}", probe.name, probe.serves),
            Err(why) => {
                println!("  SKIPPED   {:<12} {why}; for {}", probe.name, probe.serves);
                println!("            {:<12} to include it: {}", "", probe.install);
            }
        }
    }
}

/// Where `program` lies on the path, the system's own directories included (they are often missing from a user's).
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from));
    dirs.map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn programs(names: &[&str]) -> Result<String, String> {
    let missing: Vec<&str> = names.iter().copied().filter(|name| find(name).is_none()).collect();
    if missing.is_empty() { Ok(names.join(", ")) } else { Err(format!("no {}", missing.join(", no "))) }
}

/// Mounts a tmpfs of 1 MiB, and takes it down again.
fn small_tmpfs() -> Result<String, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("not root".into());
    }
    programs(&["mount", "umount"])?;
    let dir = std::env::temp_dir().join(format!("eraft-probe-tmpfs-{}", std::process::id()));
    std::fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let tried = succeed(Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&dir))
        .and_then(|()| succeed(Command::new("umount").arg(&dir)));
    let removed = std::fs::remove_dir(&dir).map_err(|error| format!("{} is left behind: {error}", dir.display()));
    tried.and(removed).map(|()| "mount".to_owned())
}

/// Brings redis-py into the target directory by the very script that its test uses, so that it is there for good.
fn redis_py() -> Result<String, String> {
    programs(&["python3"])?;
    let (installer, place) = (cargo::root().join("tests/redis_py/install.py"), cargo::target_dir().join("redis-py"));
    succeed(Command::new("python3").arg(installer).arg(place))?;
    Ok("python3, redis-py".into())
}

/// Mounts a sparse file of `mib` MiB with a fresh file system, cuts its power, and takes it down again.
fn loop_mount(kind: &str, mib: u64) -> Result<String, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("not root".into());
    }
    let mkfs = format!("mkfs.{kind}");
    programs(&[&mkfs, "mount", "umount", "xfs_io"])?;
    let dir = std::env::temp_dir().join(format!("eraft-probe-{kind}-{}", std::process::id()));
    let tried = try_loop_mount(&dir, &mkfs, mib);
    let _ = Command::new("umount").arg(dir.join("mnt")).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let removed = std::fs::remove_dir_all(&dir).map_err(|error| format!("{} is left behind: {error}", dir.display()));
    tried.and(removed).map(|()| format!("{mkfs}, mount, xfs_io shutdown"))
}

fn try_loop_mount(dir: &Path, mkfs: &str, mib: u64) -> Result<(), String> {
    let (image, mount) = (dir.join("image"), dir.join("mnt"));
    std::fs::create_dir_all(&mount).map_err(|error| format!("{}: {error}", mount.display()))?;
    let file = std::fs::File::create(&image).map_err(|error| format!("{}: {error}", image.display()))?;
    file.set_len(mib * 1024 * 1024).map_err(|error| format!("{}: {error}", image.display()))?;
    succeed(Command::new(mkfs).arg("-q").arg(&image))?;
    succeed(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mount))?;
    succeed(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&mount))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name} failed: {}", text.lines().next().unwrap_or("no message")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = PROBES.iter().map(|probe| probe.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PROBES.len());
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = programs(&["sh", "a-program-that-nobody-has"]).unwrap_err();
        assert_eq!(error, "no a-program-that-nobody-has");
    }
}
