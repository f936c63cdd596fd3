//! A copy of the bare Debian that somebody sits down at: with a toolchain, the network, and the project, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::typed::Typed;
use crate::cargo;

/// Where things are, seen from inside.
const TOOLCHAIN: &str = "/opt/rust";
const USER: &str = "/srv/user";
const PROJECT: &str = "/srv/user/eraft";
const BUNDLE: &str = "/srv/eraft.bundle";
const PATH: &str = "/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// How this machine finds its way to the network: names, and whom to trust.
const NETWORK: [&str; 3] = ["/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt"];

/// What must not be needed, so must not be there.
const ABSENT: [&str; 7] = ["redis-cli", "docker", "clang", "protoc", "cmake", "python3", "strace"];

/// The room, as seen from outside.
#[derive(Debug)]
pub(super) struct Room {
    root: PathBuf,
}

/// Where the room is under the work folder.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("room")
}

/// Removes a room or a Debian; never what is mounted in it, should anything be.
pub(super) fn remove(root: &Path) -> Result<()> {
    succeed(Command::new("rm").args(["-rf", "--one-file-system"]).arg(root))
}

impl Room {
    /// Copies the Debian, and brings in what README assumes.
    pub(super) fn furnish(base: &Path, root: &Path) -> Result<Room> {
        remove(root)?;
        succeed(Command::new("cp").args(["-a", "--reflink=auto"]).arg(base).arg(root))?;
        let room = Room { root: root.to_path_buf() };
        room.mount()?;
        for file in NETWORK {
            room.bring(Path::new(file), file)?;
        }
        room.bring(&cargo_home().join("config.toml"), &format!("{USER}/.cargo/config.toml"))?;
        room.clone_project()?;
        Ok(room)
    }

    /// Types `command` where README is.
    pub(super) fn type_in(&self, command: &str) -> Result<Typed> {
        println!("  $ {command}");
        Typed::start(self.command(PROJECT, command))
    }

    /// A file of the project.
    pub(super) fn read(&self, file: &str) -> Result<String> {
        let path = self.outside(PROJECT).join(file);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Says what is there, and sees that what must not be needed is not.
    pub(super) fn print_inventory(&self) -> Result<()> {
        let debian = fs::read_to_string(self.outside("/etc/debian_version")).context("it is no Debian")?;
        let rustc = self.output("rustc --version")?;
        let head = self.output("git log -1 --format=%h --abbrev=12")?;
        println!("Debian {}, {}, the project at {}", debian.trim(), rustc.trim(), head.trim());
        let found: Vec<&str> = ABSENT.into_iter().filter(|program| self.has(program)).collect();
        ensure!(found.is_empty(), "it is not bare, it has {}: make it anew with --renew", found.join(", "));
        let libclang = self.output("find /usr /opt -name 'libclang*'")?;
        ensure!(libclang.is_empty(), "it is not bare, it has {libclang}");
        println!("not there: libclang, {}", ABSENT.join(", "));
        Ok(())
    }

    fn has(&self, program: &str) -> bool {
        PATH.split(':').any(|dir| self.outside(dir).join(program).exists())
    }

    /// What the kernel gives every process, and the toolchain. All of it is gone with the namespace.
    fn mount(&self) -> Result<()> {
        let (proc, dev) = (self.outside("/proc"), self.outside("/dev"));
        succeed(Command::new("mount").args(["-t", "proc", "proc"]).arg(proc))?;
        succeed(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "dev"]).arg(&dev))?;
        for device in DEVICES {
            let (host, here) = (Path::new("/dev").join(device), dev.join(device));
            fs::File::create(&here).with_context(|| format!("cannot make {}", here.display()))?;
            succeed(Command::new("mount").arg("--bind").arg(host).arg(here))?;
        }
        std::os::unix::fs::symlink("/proc/self/fd", dev.join("fd")).context("cannot make /dev/fd")?;
        let toolchain = self.outside(TOOLCHAIN);
        fs::create_dir_all(&toolchain).with_context(|| format!("cannot make {}", toolchain.display()))?;
        succeed(Command::new("mount").arg("--bind").arg(machines_toolchain()?).arg(&toolchain))?;
        succeed(Command::new("mount").args(["-o", "remount,ro,bind"]).arg(&toolchain))
    }

    /// Copies a file of this machine in, where there is one.
    fn bring(&self, file: &Path, inside: &str) -> Result<()> {
        let target = self.outside(inside);
        if !file.exists() {
            return Ok(());
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        fs::copy(file, &target).with_context(|| format!("cannot copy {} in", file.display()))?;
        Ok(())
    }

    /// Clones HEAD, as a reader would; what is not committed is not part of it.
    fn clone_project(&self) -> Result<()> {
        let (user, bundle) = (self.outside(USER), self.outside(BUNDLE));
        fs::create_dir_all(&user).with_context(|| format!("cannot make {}", user.display()))?;
        let mut git = Command::new("git");
        succeed(git.current_dir(cargo::root()).args(["bundle", "create", "--quiet"]).arg(bundle).arg("HEAD"))?;
        succeed(&mut self.command(USER, &format!("git clone --quiet {BUNDLE} {PROJECT}")))
    }

    fn output(&self, command: &str) -> Result<String> {
        let output = self.command(PROJECT, command).output().context("chroot did not start")?;
        ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A command inside, in `dir`, that knows nothing of this machine but how to reach the network.
    fn command(&self, dir: &str, command: &str) -> Command {
        let mut chroot = Command::new("chroot");
        chroot.arg(&self.root).args(["sh", "-c", &format!("cd {dir} && exec {command}")]);
        chroot.env_clear().env("PATH", PATH).env("HOME", USER).env("TERM", "dumb");
        chroot.envs(std::env::vars().filter(|(name, _)| is_a_way_out(name)));
        chroot
    }

    /// A path inside, as it is reached from outside.
    fn outside(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }
}

/// Whether a variable says how to reach the network.
fn is_a_way_out(name: &str) -> bool {
    let proxy = name.to_ascii_lowercase().ends_with("_proxy");
    proxy || ["CARGO_HTTP_", "CARGO_NET_", "CARGO_SOURCE_"].iter().any(|prefix| name.starts_with(prefix))
}

fn cargo_home() -> PathBuf {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo"))
}

/// The directory of the toolchain that runs this.
fn machines_toolchain() -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().context("rustc did not start")?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let whole = sysroot.join("bin/cargo").exists() && sysroot != Path::new("/usr");
    ensure!(whole, "the toolchain in {} cannot be brought along: install one with rustup", sysroot.display());
    Ok(sysroot)
}

fn succeed(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{name} did not start"))?;
    if output.status.success() {
        return Ok(());
    }
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
    bail!("{name} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim())
}
