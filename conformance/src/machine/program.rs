//! Starting an administrator's programs.

use std::{
    ffi::OsStr,
    process::{Command, Stdio},
};

/// A command that is found where administrators' programs are, too: they are often missing from a user's path. It reads
/// nothing.
pub fn command(program: &str) -> Command {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(program);
    command.env("PATH", path).stdin(Stdio::null());
    command
}

/// Runs a program to its end.
///
/// # Errors
/// That it is not there, or what it said when it failed.
pub fn run<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Result<(), String> {
    answer(program, arguments).map(drop)
}

/// The same for what it prints.
pub(super) fn answer<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Result<String, String> {
    let output = command(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// Whether this process may mount, and trace others.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
