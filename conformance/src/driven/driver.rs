//! A driver's process, as the one who gives it orders sees it.

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use super::{
    Subject,
    lines::{number, parse_entry, parse_id, parse_snapshot, parse_state},
    script::Model,
};
use eraft_core::{EntryId, LogIndex, LogOutline, SnapshotMeta};

/// Set for a process that is to serve.
pub(super) const DRIVER: &str = "ERAFT_DRIVER";

/// Any will do, as long as it is always the same.
const WHOSE: &str = "7 1";

/// It is killed when it is dropped.
#[derive(Debug)]
pub(super) struct Driver {
    process: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What a driver said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Done,
    Saved(u64),
    /// What failed, and all that was said of it.
    Failed(String, String),
    Unstaged(u64, String),
    /// A line of what was read.
    Part(String),
    /// Nothing more: it is gone.
    Gone,
}

impl Driver {
    /// Starts one, and waits until it takes orders.
    pub(super) fn start(subject: &Subject) -> Driver {
        let mut command = Command::new(&subject.program);
        command.args(&subject.arguments).env(DRIVER, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let orders = process.stdin.take().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut driver = Driver { process, orders, lines };
        assert_eq!(driver.hear(), Said::Done, "the driver did not say that it is ready");
        driver
    }

    /// Its threads, the oldest first.
    pub(super) fn threads(&self) -> Vec<u32> {
        let tasks = std::fs::read_dir(PathBuf::from(format!("/proc/{}/task", self.process.id())));
        let names = tasks.into_iter().flatten().flatten().map(|task| task.file_name().to_string_lossy().into_owned());
        let mut threads: Vec<u32> = names.filter_map(|name| name.parse().ok()).collect();
        threads.sort_unstable();
        threads
    }

    /// Gives an order; nobody may be there to take it.
    pub(super) fn order(&mut self, line: &str) {
        let _it_may_be_gone = self.orders.write_all(format!("{line}\n").as_bytes());
    }

    /// Orders `create` or `open`, and waits for what comes of it.
    pub(super) fn at(&mut self, order: &str, store: &Path) -> Said {
        self.order(&format!("{order} {} {WHOSE}", store.display()));
        self.hear()
    }

    /// Orders the store closed, and waits.
    pub(super) fn close(&mut self) -> Said {
        self.order("close");
        self.hear()
    }

    /// The next thing that it says.
    pub(super) fn hear(&mut self) -> Said {
        loop {
            let Some(Ok(line)) = self.lines.next() else { return Said::Gone };
            let Some(said) = line.strip_prefix('@') else { continue };
            let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
            return match word {
                "ready" | "created" | "opened" | "closed" | "read" => Said::Done,
                "saved" => Said::Saved(number(rest)),
                "failed" => {
                    let (what, text) = rest.split_once(' ').unwrap();
                    Said::Failed(what.to_owned(), text.to_owned())
                }
                "unstaged" => {
                    let (which, text) = rest.split_once(' ').unwrap();
                    Said::Unstaged(number(which), text.to_owned())
                }
                _ => Said::Part(said.to_owned()),
            };
        }
    }

    /// Everything that the store holds; or how that failed.
    pub(super) fn read(&mut self) -> Result<Model, Said> {
        self.order("read");
        let mut model = Model::blank();
        let mut last = EntryId::ZERO;
        loop {
            let line = match self.hear() {
                Said::Part(line) => line,
                Said::Done => break,
                other => return Err(other),
            };
            let (word, rest) = line.split_once(' ').unwrap();
            match word {
                "state" => model.state.hard_state = parse_state(rest),
                "log" => {
                    let (base, end) = rest.split_once(' ').unwrap();
                    model.state.outline = LogOutline::new(parse_id(base));
                    last = parse_id(end);
                }
                "entry" => {
                    let (index, entry) = rest.split_once(',').unwrap();
                    let entry = parse_entry(LogIndex(number(index)), entry);
                    model.state.outline.append(std::slice::from_ref(&entry)).unwrap();
                    model.entries.insert(entry.index, entry);
                }
                "snapshot" => {
                    let (last, bytes) = parse_snapshot(rest);
                    model.state.snapshot = Some(SnapshotMeta { last, conf_state: Model::conf_state() });
                    model.snapshot = bytes;
                }
                other => panic!("a driver said {other:?} of what it read"),
            }
        }
        assert_eq!(model.state.outline.last(), last, "the log does not end where it says");
        Ok(model)
    }

    /// Kills it.
    pub(super) fn kill(&mut self) {
        let _it_may_have_ended = self.process.kill();
    }

    /// Waits for its end; whether it was a kill.
    pub(super) fn was_killed(&mut self) -> bool {
        self.process.wait().unwrap().signal() == Some(9)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _it_may_have_ended = self.process.kill();
        let _it_is_gone = self.process.wait();
    }
}
