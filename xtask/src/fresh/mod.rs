//! `cargo xtask fresh`: README's two commands, as they are written, on a bare Debian 12.
//!
//! `debootstrap` makes the Debian once; each run copies it, gives the copy this machine's Rust toolchain and way to the
//! network, clones the project's HEAD into it, and types there what README says. So what somebody finds who has nothing but a
//! toolchain is seen, not assumed.
//!
//! All of it happens in mount and process namespaces of its own: when their first process ends, however it ends, every mount and
//! every process in there is gone. Nothing outside the work folder may be changed.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use self::room::Room;
use crate::{cargo, probe};

mod base;
mod example;
mod readme;
mod resp;
mod room;
mod typed;

/// What `cargo xtask fresh` may be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this one of README's two commands.
    #[arg(long, value_enum)]
    only: Option<Step>,
    /// Where the Debian and its copy are kept [default: fresh, among the build results]; it takes some 6 GB.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The Debian mirror [default: the one that this machine's apt uses].
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Leave the copy, with all that was built in it, for a look.
    #[arg(long)]
    keep: bool,
    /// Make the Debian anew, instead of the one that an earlier run left.
    #[arg(long)]
    renew: bool,
    /// Set where it runs in the namespaces already.
    #[arg(long, hide = true)]
    inside: bool,
}

/// One of README's two commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Step {
    /// Three nodes, until one leads; a write and a read; Ctrl-C.
    Example,
    /// Every test.
    Test,
}

/// What has to be here, and the package that brings it.
const NEEDED: [(&str, &str); 7] = [
    ("debootstrap", "debootstrap"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("chroot", "coreutils"),
    ("cp", "coreutils"),
    ("git", "git"),
];

/// Runs README's commands in a fresh Debian; true when both did what README says.
pub(crate) fn run(args: &Args) -> Result<bool> {
    check_machine()?;
    let dir = args.dir.clone().unwrap_or_else(|| cargo::target_dir().join("fresh"));
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let dir = dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()))?;
    if args.inside {
        return inside(args, &dir);
    }
    let lock = std::fs::File::create(dir.join("lock")).context("cannot make the lock file")?;
    ensure!(
        lock.try_lock().is_ok(),
        "another `cargo xtask fresh` runs in {}: wait for it, or use --dir",
        dir.display()
    );
    let status = in_namespaces(args, &dir)?;
    // Only now, when no mount can be in it any more.
    if !args.keep {
        room::remove(&room::path(&dir))?;
    }
    Ok(status.success())
}

fn check_machine() -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "`cargo xtask fresh` mounts and changes roots: run it as root");
    let missing: Vec<_> = NEEDED.iter().filter(|(program, _)| probe::find(program).is_none()).collect();
    if let Some((program, _)) = missing.first() {
        let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
        packages.dedup();
        bail!("no {program} here: apt-get install {}", packages.join(" "));
    }
    Ok(())
}

/// Runs this program again, where its mounts and processes are its own.
fn in_namespaces(args: &Args, dir: &Path) -> Result<ExitStatus> {
    let own = std::env::current_exe().context("where this program lies")?;
    let mut command = Command::new("setpriv");
    // Whatever ends this process ends unshare, which takes the first process of the namespace with it, and that takes all.
    command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--"]);
    // The first process of a namespace inherits orphans, and must reap them: a shell does. (`exit` keeps it from becoming
    // the program instead of starting it.)
    command.args(["sh", "-c", "\"$@\"; exit $?", "sh"]);
    command.arg(own).args(["fresh", "--inside", "--dir"]).arg(dir);
    match args.only {
        Some(Step::Example) => command.args(["--only", "example"]),
        Some(Step::Test) => command.args(["--only", "test"]),
        None => &mut command,
    };
    if let Some(mirror) = &args.mirror {
        command.args(["--mirror", mirror]);
    }
    if args.renew {
        command.arg("--renew");
    }
    command.status().context("setpriv did not start")
}

/// The run itself.
fn inside(args: &Args, dir: &Path) -> Result<bool> {
    let started = Instant::now();
    let step = |what: &str| println!("\n== {what} ({} s so far)", started.elapsed().as_secs());

    step("a bare Debian 12");
    let base = base::found_or_made(dir, args.mirror.as_deref(), args.renew)?;
    step("a copy of it, with a Rust toolchain and the project");
    let room = Room::furnish(&base, &room::path(dir))?;
    room.print_inventory()?;
    let commands = readme::commands(&room.read("README.md")?)?;

    let mut outcomes = Vec::new();
    if args.only != Some(Step::Test) {
        step(&format!("README: {}", commands.example));
        outcomes.push((&commands.example, example::try_out(&room, &commands.example)));
    }
    if args.only != Some(Step::Example) {
        step(&format!("README: {}", commands.test));
        outcomes.push((&commands.test, test(&room, &commands.test)));
    }

    step("done");
    for (command, outcome) in &outcomes {
        match outcome {
            Ok(what) => println!("passed  {command}: {what}"),
            Err(why) => println!("FAILED  {command}: {why:#}"),
        }
    }
    Ok(outcomes.iter().all(|(_, outcome)| outcome.is_ok()))
}

/// Types the command for the tests, and gives its summary.
fn test(room: &Room, command: &str) -> Result<String> {
    let mut typed = room.type_in(command)?;
    let mut last = String::new();
    while let Some(line) = typed.next_line()? {
        if !line.trim().is_empty() {
            last = line;
        }
    }
    let status = typed.wait()?;
    ensure!(status.success(), "{status}: {last}");
    ensure!(last.contains(" passed, 0 failed, "), "its last line is no summary: {last}");
    Ok(last)
}
