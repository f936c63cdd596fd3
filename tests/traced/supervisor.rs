//! Nodes that one `strace` follows from their first call to their last.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Stdio},
};

use eraft_conformance::machine::{STRACE, command};

use crate::processes::{Node, kill, wait_until};

/// Whatever changes files or leaves on a socket.
const CALLS: &str =
    "?open,openat,?rename,renameat,renameat2,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,sendto,sendmsg";
/// Every sync returns so many microseconds late: whoever does not wait for it is sure to be early.
const LATE_US: u32 = 5000;
/// The longest write that is recorded whole.
const MAX_BYTES: u32 = 1 << 18;

/// A shell that runs what it is told to, followed with all that it starts. When it is dropped all of them are killed.
pub struct Supervisor {
    strace: Child,
    shell: Option<ChildStdin>,
    record: PathBuf,
}

impl Supervisor {
    /// Whose record is to be written in `dir`.
    pub fn start(dir: &Path) -> Supervisor {
        let record = dir.join("record");
        let mut strace = command(STRACE);
        strace.args(["-f", "-qq", "-yy", "-xx", "--seccomp-bpf", "-s", &MAX_BYTES.to_string(), "-e", "signal=none"]);
        strace.args(["-e", &format!("trace={CALLS}"), "-e", &format!("inject=fsync,fdatasync:delay_exit={LATE_US}")]);
        strace.arg("-o").arg(&record);
        strace.args([
            "sh",
            "-c",
            "while read -r line; do eval \"$line\" & nodes=\"$nodes $!\"; done; kill -9 $nodes; wait",
        ]);
        let mut strace = strace.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Supervisor { shell: strace.stdin.take(), strace, record }
    }

    /// Starts a node.
    pub fn run(&mut self, node: &Node) {
        let [program, data, log] = [node.program.path(), &node.data, &node.log].map(|path| path.to_str().unwrap());
        let line = format!("exec '{program}' run --data '{data}' </dev/null 2>>'{log}'\n");
        self.shell.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
        wait_until("it answers", || node.info("process_id"));
    }

    /// Kills it.
    pub fn kill(&self, node: &Node) {
        kill(wait_until("it says which process it is", || node.info("process_id")).parse().unwrap());
        wait_until("it is gone", || node.info("process_id").is_none().then_some(()));
    }

    /// Kills all, and gives what was recorded.
    pub fn end(mut self) -> String {
        drop(self.shell.take());
        self.strace.wait().unwrap();
        fs::read_to_string(&self.record).unwrap()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.shell.take());
        let _ = self.strace.wait();
    }
}
