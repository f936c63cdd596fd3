//! Three nodes as processes, and what can be done to them.

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Pid;

use super::{Client, Memory, Reply, file_node, free_base_port};

const PATIENCE: Duration = Duration::from_secs(60);
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks again and again until `look` finds something; fails, saying what for, after a minute.
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited for {PATIENCE:?} in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// One node: its directory, its address, and its process while it has one.
pub struct Node {
    pub id: u64,
    pub data: PathBuf,
    pub client: String,
    /// What it is started with beside its directory.
    pub flags: Vec<String>,
    /// Its limit of open files, where it is not this process's.
    pub max_open_files: Option<u64>,
    /// Where it writes what it has to say.
    pub log: PathBuf,
    process: Option<Child>,
}

impl Node {
    /// Founds a member of the cluster of `voters`, which serves clients at `client`.
    pub fn found(data: PathBuf, id: u64, client: String, voters: &str) -> Node {
        let made = init(&data, &id.to_string(), voters);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let log = data.with_extension("log");
        Node { id, data, client, flags: Vec::new(), max_open_files: None, log, process: None }
    }

    /// Where the others reach it.
    pub fn peer(&self) -> String {
        let (host, port) = self.client.split_once(':').unwrap();
        format!("{host}:{}", port.parse::<u16>().unwrap() + 100)
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(self.process.as_ref().unwrap())
    }

    /// Starts its process. It ends with this one: its standard input is a pipe from here.
    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = match self.max_open_files {
            None => Command::new(file_node()),
            Some(most) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {most}; exec \"$@\""), "sh"]).arg(file_node());
                shell
            }
        };
        command.arg("run").arg("--until-stdin-closes").arg("--data").arg(&self.data).args(&self.flags);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().unwrap());
    }

    /// What it takes of memory now; nothing where the system does not tell.
    pub fn memory(&self) -> Memory {
        Memory::of(self.pid()).unwrap_or_default()
    }

    /// Kills it, and sees that this is what ended it.
    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        let status = process.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "node {} had ended by itself: {status}\n{}", self.id, self.said());
    }

    /// What it wrote to standard error, in all its lives.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// One fact out of its `INFO`; `None` while it does not answer.
    pub fn info(&self, name: &str) -> Option<String> {
        let mut client = Client::connect(&self.client, CALL_TIMEOUT).ok()?;
        let Ok(Reply::Bulk(text)) = client.call(&["INFO"]) else { return None };
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.to_owned()))
    }

    /// One of the numbers out of its `INFO`.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.info(name)?.parse().ok()
    }

    /// What it holds, in one number.
    pub fn digest(&self) -> Option<Reply> {
        Client::connect(&self.client, CALL_TIMEOUT).ok()?.call(&["DEBUG", "DIGEST"]).ok()
    }
}

/// A cluster of one, under `dir`, that serves.
pub fn alone(dir: &Path) -> Node {
    let base = free_base_port();
    let data = dir.join("n1");
    let voters = format!("1=127.0.0.1:{}/127.0.0.1:{base}", base + 100);
    let mut node = Node::found(data, 1, format!("127.0.0.1:{base}"), &voters);
    node.start();
    wait_until("the only node leads", || node.info("role").filter(|role| role == "leader"));
    node
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if thread::panicking() {
            eprintln!("node {} said:\n{}", self.id, self.said());
        }
    }
}

/// A cluster of three.
pub struct Trio {
    pub nodes: Vec<Node>,
}

impl Trio {
    /// Founds a cluster under `dir`, each member by itself, as three machines would.
    pub fn found(dir: &Path) -> Trio {
        Trio::found_at([1, 2, 3].map(|id| dir.join(format!("n{id}"))))
    }

    /// The same with a directory for each.
    pub fn found_at(dirs: [PathBuf; 3]) -> Trio {
        let base = free_base_port();
        let address = |id: u16| format!("127.0.0.1:{}/127.0.0.1:{}", base + 99 + id, base + id - 1);
        let voters = (1..=3).map(|id| format!("{id}={}", address(id))).collect::<Vec<_>>().join(",");
        let nodes = (1..=3).zip(dirs).map(|(id, data): (u16, PathBuf)| {
            Node::found(data, id.into(), format!("127.0.0.1:{}", base + id - 1), &voters)
        });
        Trio { nodes: nodes.collect() }
    }

    /// Has its nodes take a snapshot every so many bytes of log, and keep so few entries that one who was away needs it.
    pub fn compact_often(&mut self, max_log_bytes: u64, trailing_entries: u64) {
        let flags = ["--max-log-bytes".to_owned(), max_log_bytes.to_string()].into_iter();
        let flags: Vec<String> = flags.chain(["--trailing-entries".to_owned(), trailing_entries.to_string()]).collect();
        self.nodes.iter_mut().for_each(|node| node.flags.clone_from(&flags));
    }

    /// Starts all three.
    pub fn start(&mut self) {
        self.nodes.iter_mut().for_each(Node::start);
    }

    /// The place of the node that leads, and its term, once one does.
    pub fn leader(&self) -> (usize, u64) {
        wait_until("a leader", || {
            let claims = self.nodes.iter().enumerate().filter_map(|(place, node)| {
                let leads = node.info("role")? == "leader";
                leads.then_some((place, node.number("term")?))
            });
            claims.max_by_key(|(_, term)| *term)
        })
    }

    /// Waits until all three have applied the same and hold the same; returns up to where.
    pub fn agree(&self) -> u64 {
        wait_until("all nodes agree", || {
            let applied: Option<Vec<u64>> = self.nodes.iter().map(|node| node.number("applied")).collect();
            let digests: Option<Vec<Reply>> = self.nodes.iter().map(Node::digest).collect();
            let (applied, digests) = (applied?, digests?);
            let same = applied.iter().all(|one| *one == applied[0]) && digests.iter().all(|one| *one == digests[0]);
            same.then_some(applied[0])
        })
    }

    /// Where clients connect, node by node.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.client.clone()).collect()
    }
}

/// Runs `init` for one node.
pub fn init(data: &Path, id: &str, voters: &str) -> Output {
    let mut command = Command::new(file_node());
    command.arg("init").arg("--data").arg(data).args(["--id", id, "--voters", voters]);
    command.stdin(Stdio::null()).output().unwrap()
}
