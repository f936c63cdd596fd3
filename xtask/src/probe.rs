//! What this machine offers to tests that need more than a Rust toolchain.
//!
//! A probe tries the thing itself where that is cheap (a loop device is mounted, not guessed at from a device node), and
//! leaves nothing behind outside the target directory. A test that needs something absent prints
//! `SKIPPED <test>: <reason>`; the table printed here says the same beforehand, with the way to install it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{cargo, s3_image};

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

/// RocksDB's C header becomes Rust by it; no other tool is needed for that.
pub(crate) const LIBCLANG: &str = "apt-get install libclang-dev, or set LIBCLANG_PATH to the directory of libclang.so";

/// Everything probed, in the order of the table.
pub(crate) static PROBES: [Probe; 11] = [
    Probe {
        name: "libclang",
        serves: "RocksDB: its backend, the node on it (compiled once: half an hour of a core)",
        install: LIBCLANG,
        check: libclang,
    },
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
        check: || from_pypi("redis-py", "tests/redis_py/requirements.txt"),
    },
    Probe {
        name: "docker",
        serves: "S3 servers in containers, stopped and paused under way",
        install: "apt-get install docker.io, start its engine, and cargo xtask s3-image (or docker pull MinIO's)",
        check: s3_image::probe,
    },
    Probe {
        name: "moto",
        serves: "snapshots in an S3 server that others wrote",
        install: "apt-get install python3-venv, and let it reach pypi.org once",
        check: || from_pypi("moto", "s3-servers/moto.txt"),
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
    Probe {
        name: "netns",
        serves: "nodes on hosts of their own, cut off from each other",
        install: "run as root; apt-get install iproute2 nftables",
        check: netns,
    },
    Probe {
        name: "faketime",
        serves: "nodes whose clocks jump or stand still",
        install: "apt-get install libfaketime",
        check: faketime,
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

/// Finds libclang as the build of RocksDB's bindings will: by the very same code.
pub(crate) fn libclang() -> Result<String, String> {
    let found = clang_sys::load().ok().and_then(|()| clang_sys::get_library());
    let set = std::env::var_os("LIBCLANG_PATH").map(|path| format!(" at LIBCLANG_PATH={}", path.display()));
    match found {
        Some(library) => Ok(library.path().display().to_string()),
        None => Err(format!("no libclang{}", set.unwrap_or_default())),
    }
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

/// Makes a network namespace with a link to another one and a rule in it, and takes both away again.
fn netns() -> Result<String, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("not root".into());
    }
    programs(&["ip", "nft"])?;
    let names = ["a", "b"].map(|side| format!("eraft-probe-{}-{side}", std::process::id()));
    let tried = try_netns(&names);
    for name in &names {
        let _ = ip(&["netns", "del", name]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
    tried.map(|()| "ip netns, veth, nft".to_owned())
}

fn try_netns([here, there]: &[String; 2]) -> Result<(), String> {
    succeed(&mut ip(&["netns", "add", here]))?;
    succeed(&mut ip(&["netns", "add", there]))?;
    succeed(&mut ip(&["-n", here, "link", "add", "out", "type", "veth", "peer", "name", "in", "netns", there]))?;
    let chain =
        "add table inet probe; add chain inet probe forward { type filter hook forward priority 0; policy drop; }";
    succeed(&mut ip(&["netns", "exec", here, "nft", chain]))
}

fn ip(arguments: &[&str]) -> Command {
    let mut command = Command::new(find("ip").unwrap_or_else(|| "ip".into()));
    let path = std::env::var("PATH").unwrap_or_default();
    command.args(arguments).env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// Asks for the time under a library that says it is 1999.
fn faketime() -> Result<String, String> {
    let dirs = ["/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
    let triplets = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut libraries = dirs.into_iter().chain(triplets).map(|dir| dir.join("faketime/libfaketimeMT.so.1"));
    let library = libraries.find(|file| file.is_file()).ok_or("no libfaketimeMT.so.1")?;
    let mut date = Command::new("date");
    date.arg("+%Y").env("LD_PRELOAD", &library).env("FAKETIME", "@1999-12-24 20:30:00");
    let output = date.output().map_err(|error| format!("date: {error}"))?;
    let year = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if year == "1999" {
        Ok("libfaketime".into())
    } else {
        Err(format!("it is {year} in spite of {}", library.display()))
    }
}

/// Brings what these requirements ask for into the target directory, by the very script that its tests use, so that it is there
/// for good.
fn from_pypi(name: &str, requirements: &str) -> Result<String, String> {
    programs(&["python3"])?;
    let (installer, wanted) = (cargo::root().join("xtask/from_pypi.py"), cargo::root().join(requirements));
    succeed(Command::new("python3").arg(installer).arg(wanted).arg(cargo::target_dir().join(name)))?;
    Ok(format!("python3, {name}"))
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
