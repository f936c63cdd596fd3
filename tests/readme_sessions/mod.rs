//! README's sessions: reading them, and the processes they start.
//!
//! The first terminal is the starter's. What it prints is compared from where the last comparison ended. Nothing that was
//! started outlives the stage, also when a comparison fails.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::processes::{self, Program};
use masks::{Cast, masked, number_after};

pub mod masks;

/// How long anything may take to be printed; on an idle machine all of it takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// One ```` ```console ```` block.
#[derive(Debug, Default)]
pub struct Session {
    /// What is printed before anything is typed: by the first terminal.
    pub goes_on: Vec<String>,
    /// What is typed.
    pub typed: Vec<Typed>,
}

/// A command, and what it prints.
#[derive(Debug)]
pub struct Typed {
    /// Without its prompt.
    pub command: String,
    /// Line by line.
    pub prints: Vec<String>,
}

/// The sessions of a text, in order.
pub fn sessions(text: &str) -> Vec<Session> {
    let mut sessions: Vec<Session> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match (line, inside) {
            ("```console", _) => {
                sessions.push(Session::default());
                inside = true;
            }
            ("```", _) => inside = false,
            (line, true) => {
                let session = sessions.last_mut().unwrap();
                match (line.strip_prefix("$ "), session.typed.last_mut()) {
                    (Some(command), _) => {
                        session.typed.push(Typed { command: command.to_owned(), prints: Vec::new() });
                    }
                    (None, Some(typed)) => typed.prints.push(line.to_owned()),
                    (None, None) => session.goes_on.push(line.to_owned()),
                }
            }
            _ => {}
        }
    }
    sessions
}

/// The processes of the sessions.
#[derive(Debug)]
pub struct Stage {
    program: Program,
    dir: tempfile::TempDir,
    cast: Cast,
    base_port: u16,
    /// README's starter's table: where its process ids are explained.
    readme_table: Vec<String>,
    terminals: Vec<Terminal>,
}

/// A process in the foreground of a terminal.
#[derive(Debug)]
struct Terminal {
    process: Child,
    printed: PathBuf,
    /// Lines compared so far.
    compared: usize,
}

impl Stage {
    /// Nothing runs yet; the script's first command starts this program.
    pub fn set(program: Program, script: &[Session]) -> Stage {
        let readme_table = script[0].typed[0].prints.clone();
        let base_port = processes::free_base_port();
        let cast = Cast::new(7001, base_port);
        Stage { program, dir: tempfile::tempdir().unwrap(), cast, base_port, readme_table, terminals: Vec::new() }
    }

    /// The starter, where README would start it: data goes to the directory it is started in. What README types behind the
    /// program's name goes along.
    pub fn start(&mut self, typed: &Typed) {
        let port = self.base_port.to_string();
        let flags = typed.command.split_once(" -- ").map_or("", |(_, flags)| flags).split_whitespace();
        self.terminal(&["--base-port", &port].into_iter().chain(flags).collect::<Vec<_>>());
        self.expect_first_terminal(&typed.prints);
        let here = self.terminals[0].lines();
        let leader = |lines: &[String]| {
            let line = lines.iter().rev().find(|line| line.contains(" leads (term ")).expect("somebody leads");
            u16::try_from(number_after(line, "node ").unwrap()).unwrap()
        };
        self.cast.elect(leader(&typed.prints), leader(&here));
    }

    /// A node brought back by hand; what it prints comes in its own terminal.
    pub fn bring_back(&mut self, data: &str, typed: &Typed) {
        let node = number_after(data, "eraft-data/n").expect("README brings a node of its cluster back");
        let node = self.cast.node(u16::try_from(node).unwrap());
        self.terminal(&["run", "--data", &format!("eraft-data/n{node}")]);
        let last = self.terminals.len() - 1;
        self.expect(last, &typed.prints);
    }

    /// The first terminal prints these lines next.
    pub fn expect_first_terminal(&mut self, lines: &[String]) {
        if !lines.is_empty() {
            self.expect(0, lines);
        }
    }

    /// `redis-cli`, as at a terminal.
    pub fn ask(&mut self, typed: &Typed) {
        let mut words = typed.command.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let port = words.iter().position(|word| word == "-p").expect("README names a port") + 1;
        words[port] = self.cast.client_port(&words[port]);
        // A node that is just back, or a cluster between two leaders, says "ask again soon"; whoever types does.
        let started = Instant::now();
        let (printed, errors) = loop {
            let mut asked = Command::new(&words[0]);
            let output = asked.args(&words[1..]).env("FAKETTY", "1").stdin(Stdio::null()).output().unwrap();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            let (printed, errors) = (text(output.stdout), text(output.stderr));
            if !printed.starts_with("(error) CLUSTERDOWN") || started.elapsed() > PATIENCE {
                break (printed, errors);
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let lines: Vec<String> = printed.lines().map(|line| masked(&self.cast.to_readme(line))).collect();
        let wanted: Vec<String> = typed.prints.iter().map(|line| masked(line)).collect();
        assert_eq!(lines, wanted, "`{}`, here `{}` {errors}\n{}", typed.command, words.join(" "), self.all_printed());
    }

    /// `kill -9` of a node whose process id README's table shows.
    pub fn kill(&mut self, readme_pid: &str) {
        let readme_row = self.readme_table.iter().find(|line| line.split_whitespace().any(|word| word == readme_pid));
        let node = readme_row.and_then(|row| number_after(row, "node ")).expect("README kills a process of its table");
        let node = self.cast.node(u16::try_from(node).unwrap());
        let table = self.terminals[0].lines();
        let row = table.iter().find(|line| line.starts_with(&format!("  node {node} "))).unwrap();
        let pid = i32::try_from(number_after(row, "pid ").unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }

    /// Ctrl-C in every terminal; all must end.
    pub fn end(mut self) {
        for terminal in &mut self.terminals {
            kill_process(Pid::from_child(&terminal.process), Signal::INT).unwrap();
            let started = Instant::now();
            while terminal.process.try_wait().unwrap().is_none() {
                assert!(started.elapsed() < PATIENCE, "Ctrl-C did not end it:\n{}", terminal.text());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn terminal(&mut self, args: &[&str]) {
        let printed = self.dir.path().join(format!("terminal-{}", self.terminals.len()));
        let file = File::create(&printed).unwrap();
        let mut command = Command::new(self.program.path());
        command.args(args).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        self.terminals.push(Terminal { process: command.spawn().unwrap(), printed, compared: 0 });
    }

    /// Waits until the terminal has printed as many lines as are wanted, and compares them.
    fn expect(&mut self, terminal: usize, wanted: &[String]) {
        let wanted: Vec<String> = wanted.iter().map(|line| masked(line)).filter(|line| !line.is_empty()).collect();
        let started = Instant::now();
        let (next, lines) = loop {
            let terminal = &self.terminals[terminal];
            let all = terminal.lines();
            let (next, lines) = self.comparable(&all, terminal.compared, &wanted);
            if lines.len() >= wanted.len() || started.elapsed() > PATIENCE {
                break (next, lines);
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(lines, wanted, "README, and what was printed here:\n{}", self.all_printed());
        self.terminals[terminal].compared = next;
    }

    /// The next lines that are not empty, masked, as many as are wanted; an election that README does not have there is left
    /// out, since how many it takes, and whether a machine stalls, is chance. Also where they end.
    fn comparable(&self, all: &[String], from: usize, wanted: &[String]) -> (usize, Vec<String>) {
        let mut lines: Vec<String> = Vec::new();
        let mut next = from;
        for (at, line) in all.iter().enumerate().skip(from) {
            let line = masked(&self.cast.to_readme(line));
            let by_chance = line.contains(" leads (term ") && wanted.get(lines.len()) != Some(&line);
            if !by_chance && lines.len() == wanted.len() {
                break;
            }
            next = at + 1;
            if !by_chance && !line.is_empty() {
                lines.push(line);
            }
        }
        (next, lines)
    }

    fn all_printed(&self) -> String {
        self.terminals.iter().map(Terminal::text).collect::<Vec<_>>().join("\n--- the next terminal\n")
    }
}

impl Terminal {
    fn text(&self) -> String {
        read(&self.printed)
    }

    /// The complete lines.
    fn lines(&self) -> Vec<String> {
        let text = self.text();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete.lines().map(str::to_owned).collect()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
