//! Three nodes as processes, and what can be done to them.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Client, Memory, Program, Reply, free_base_port};

const PATIENCE: Duration = Duration::from_secs(60);
/// Long, for a machine that stalls: who is dead refuses at once.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

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
    /// What it runs.
    pub program: Program,
    /// What it is started with beside its directory.
    pub flags: Vec<String>,
    /// What it is started by, if not by itself: a command and its first arguments, which the program's follow.
    pub starter: Vec<String>,
    /// Where it writes what it has to say.
    pub log: PathBuf,
    process: Option<Child>,
}

impl Node {
    /// Founds a member of the cluster of `voters`, on plain files, which serves clients at `client`.
    pub fn found(data: PathBuf, id: u64, client: String, voters: &str) -> Node {
        Node::found_on(Program::FileNode, data, id, client, voters)
    }

    /// The same of a node of another program.
    pub fn found_on(program: Program, data: PathBuf, id: u64, client: String, voters: &str) -> Node {
        let made = init_on(program, &data, &id.to_string(), voters);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Node::in_place(program, data, id, client)
    }

    /// One whose directory is there already.
    pub fn in_place(program: Program, data: PathBuf, id: u64, client: String) -> Node {
        let log = data.with_extension("log");
        Node { id, data, client, program, flags: Vec::new(), starter: Vec::new(), log, process: None }
    }

    /// Where the others reach it.
    pub fn peer(&self) -> String {
        peer_of(&self.client)
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(self.process.as_ref().unwrap())
    }

    /// Starts its process. It ends with this one: its standard input is a pipe from here.
    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut words = self.starter.iter().map(OsString::from).chain([self.program.path().into()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
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

    /// Stops it where it stands, until [`Node::resume`].
    pub fn pause(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
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
    /// Founds a cluster on plain files under `dir`, each member by itself, as three machines would.
    pub fn found(dir: &Path) -> Trio {
        Trio::found_on(Program::FileNode, dir)
    }

    /// The same of the nodes of another program.
    pub fn found_on(program: Program, dir: &Path) -> Trio {
        Trio::found_on_hosts(program, dir, Trio::on_loopback())
    }

    /// The same with a directory for each.
    pub fn found_at(dirs: [PathBuf; 3]) -> Trio {
        Trio::found_in(Program::FileNode, dirs, Trio::on_loopback())
    }

    /// The same where its nodes serve clients at these addresses, and each other 100 ports above.
    pub fn found_on_hosts(program: Program, dir: &Path, clients: [String; 3]) -> Trio {
        Trio::found_in(program, [1, 2, 3].map(|id| dir.join(format!("n{id}"))), clients)
    }

    /// Where the clients of three nodes on loopback connect.
    pub fn on_loopback() -> [String; 3] {
        let base = free_base_port();
        [base, base + 1, base + 2].map(|port| format!("127.0.0.1:{port}"))
    }

    fn found_in(program: Program, dirs: [PathBuf; 3], clients: [String; 3]) -> Trio {
        let voter = |(id, client): (u64, &String)| format!("{id}={}/{client}", peer_of(client));
        let voters = (1..).zip(&clients).map(voter).collect::<Vec<_>>().join(",");
        let nodes = (1..).zip(dirs).zip(clients);
        Trio { nodes: nodes.map(|((id, data), client)| Node::found_on(program, data, id, client, &voters)).collect() }
    }

    /// Has its nodes take a snapshot every so many bytes of log, and keep so few entries that one who was away needs it.
    pub fn compact_often(&mut self, max_log_bytes: u64, trailing_entries: u64) {
        let flags = ["--max-log-bytes".to_owned(), max_log_bytes.to_string()].into_iter();
        let flags: Vec<String> = flags.chain(["--trailing-entries".to_owned(), trailing_entries.to_string()]).collect();
        self.nodes.iter_mut().for_each(|node| node.flags.clone_from(&flags));
    }

    /// Starts all three, and waits until each of them answers: two are enough to lead.
    pub fn start(&mut self) {
        self.nodes.iter_mut().for_each(Node::start);
        self.nodes.iter().for_each(|node| {
            wait_until("a started node answers", || node.info("role"));
        });
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

fn peer_of(client: &str) -> String {
    let (host, port) = client.rsplit_once(':').unwrap();
    format!("{host}:{}", port.parse::<u16>().unwrap() + 100)
}

/// Runs `init` for one node on plain files.
pub fn init(data: &Path, id: &str, voters: &str) -> Output {
    init_on(Program::FileNode, data, id, voters)
}

fn init_on(program: Program, data: &Path, id: &str, voters: &str) -> Output {
    let mut command = Command::new(program.path());
    command.arg("init").arg("--data").arg(data).args(["--id", id, "--voters", voters]);
    command.stdin(Stdio::null()).output().unwrap()
}
