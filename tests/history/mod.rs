//! What clients asked and were told, key by key, with the times of both.
//!
//! Times are taken before a request is sent and after its reply was read, from one monotonic clock of this process: so an
//! operation took effect at some moment between its two times, if the service is linearizable. An operation whose outcome
//! nobody knows has no second time: it may take effect at any moment after its first, or never.

#![allow(dead_code, unused_imports, reason = "each test uses the part it needs")]

mod settle;
mod verdict;

use std::{
    collections::BTreeMap,
    fmt,
    ops::AddAssign,
    time::{Duration, Instant},
};

pub use settle::settled;
pub use verdict::{Verdict, search, verdict};

/// What an operation did to its key, as far as its client was told. Numbers stand for values; 0 is a key that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Read this.
    Read(i64),
    /// Wrote this, which no other operation on the key writes.
    Write(i64),
    /// Added one, and was told this sum, if anything.
    Incr(Option<i64>),
}

/// One operation on one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub act: Act,
    /// Before it was sent.
    pub call: Duration,
    /// After its reply was read; none where its outcome is unknown. A read always has one: without a reply it tells nothing.
    pub end: Option<Duration>,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.end.map_or("...".to_owned(), |end| format!("{:.6}", end.as_secs_f64()));
        write!(f, "[{:.6} .. {end}] {:?}", self.call.as_secs_f64(), self.act)
    }
}

/// The clock of a run.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// What has passed since the start.
    pub fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// How much was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub histories: usize,
    pub operations: usize,
    pub unknown: usize,
}

impl AddAssign for Checked {
    fn add_assign(&mut self, more: Checked) {
        self.histories += more.histories;
        self.operations += more.operations;
        self.unknown += more.unknown;
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Checked { histories, operations, unknown } = self;
        write!(
            f,
            "{histories} histories with {operations} operations linearizable, {unknown} of unknown outcome in them"
        )
    }
}

/// All operations of some clients.
#[derive(Clone, Debug, Default)]
pub struct History {
    keys: BTreeMap<String, Vec<Operation>>,
}

impl History {
    pub fn add(&mut self, key: &str, operation: Operation) {
        self.keys.entry(key.to_owned()).or_default().push(operation);
    }

    /// Takes over another client's.
    pub fn merge(&mut self, other: History) {
        for (key, operations) in other.keys {
            self.keys.entry(key).or_default().extend(operations);
        }
    }

    /// How many operations there were on this key.
    pub fn count(&self, key: &str) -> i64 {
        self.keys.get(key).map_or(0, |operations| i64::try_from(operations.len()).unwrap())
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Fails, with the operation that cannot have been and what led to it, unless each key's history is linearizable. A
    /// checker that gives up has not shown it either.
    pub fn check(&self) -> Checked {
        let judged = self.keys.iter().map(|(key, operations)| (key, verdict(operations)));
        let wrong: Vec<String> = judged
            .filter_map(|(key, verdict)| match verdict {
                Verdict::Linearizable => None,
                Verdict::Impossible { operation, before } => {
                    let before: Vec<String> = before.iter().map(|one| format!("\n    {one}")).collect();
                    Some(format!("the history of {key} is not linearizable: {operation}\n  after{}", before.concat()))
                }
                Verdict::GaveUp => Some(format!("the checker gave up on the history of {key}")),
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let operations = || self.keys.values().flatten();
        let unknown = operations().filter(|operation| operation.end.is_none()).count();
        Checked { histories: self.keys.len(), operations: operations().count(), unknown }
    }
}
