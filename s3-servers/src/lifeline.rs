//! What must go when this process goes, however it ends.
//!
//! Servers are shared by all tests of a process, so they live in statics, which are never dropped; and a test may be killed. A shell
//! waits at the end of a pipe whose other end only this process holds: when the pipe closes it does what it was told.

use std::{
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

/// Does something when it is dropped, or when this process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Lifeline {
    shell: Child,
}

impl Lifeline {
    /// A shell command and its arguments, which it finds in `$1` and so on.
    pub(crate) fn new(command: &str, arguments: &[&str]) -> std::io::Result<Lifeline> {
        let mut shell = Command::new("sh");
        // A group of its own: an interrupt at the terminal is not meant for it.
        shell.arg("-c").arg(format!("cat; {command}")).arg("lifeline").args(arguments).process_group(0);
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Lifeline { shell })
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
